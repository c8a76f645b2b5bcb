"""Customers' certificates: which fingerprints an address is bound to, on whose word, and what waits for a decision.

Rules:
1. Only a trusted entry binds: MANUAL (a person decided) or VOUCHED (signed by a key that a person decided on).
2. A different fingerprint for an address that has one is a pending change, whoever brings it; never an overwrite.
   A person takes it (the old one stays beside it until it is dropped) or not (then it isn't proposed again).
3. The same fingerprint again changes nothing but its trust, and that only upwards.
4. This is memory only: the parent feeds it at start and on change; persistence is the store's business.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from keys.errors import BadData, MissingKey, TooLarge
from keys.limits import ADDRESS_BYTES, CUSTOMERS_MAX
from keys.openpgp import Certificate, Fingerprint


class Trust(StrEnum):
    """How far a binding of a certificate to an address is believed."""

    CANDIDATE = "candidate"
    AUTHENTICATED = "authenticated"
    VOUCHED = "vouched"
    MANUAL = "manual"


class Provenance(StrEnum):
    """Where a certificate came from."""

    ADMIN = "admin"
    ATTACHED = "attached"
    AUTOCRYPT = "autocrypt"
    WKD = "wkd"
    KEY_SERVER = "key-server"


class Standing(StrEnum):
    """What an entry counts for now."""

    BOUND = "bound"
    CANDIDATE = "candidate"
    PENDING = "pending"
    DECLINED = "declined"


_RANK: Final = {Trust.CANDIDATE: 0, Trust.AUTHENTICATED: 1, Trust.VOUCHED: 2, Trust.MANUAL: 3}
TRUSTED: Final = frozenset({Trust.VOUCHED, Trust.MANUAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One address and one certificate. `address` is a lower-case addr-spec."""

    address: str
    fingerprint: Fingerprint
    trust: Trust
    provenance: Provenance
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What an import came to: the certificate as it now is (`data`: binary and minimal, merged with what was known
    before; what the store keeps), and how it stands with each address."""

    certificate: Certificate
    data: bytes = field(repr=False)
    entries: tuple[Entry, ...]


def normal(address: str) -> str:
    """Lower-case. Raises BadData for what can't be an addr-spec."""
    if not 3 <= len(address.encode("utf-8", "replace")) <= ADDRESS_BYTES or "@" not in address[1:-1]:
        raise BadData
    if any(character.isspace() or ord(character) < 32 for character in address):
        raise BadData
    return address.lower()


class Directory:
    def __init__(self) -> None:
        self._by_address: dict[str, dict[Fingerprint, Entry]] = {}
        self._by_fingerprint: dict[Fingerprint, set[str]] = {}

    def bound(self, address: str) -> tuple[Fingerprint, ...]:
        """The certificates that an address is bound to, in the order in which they were bound."""
        entries = self._by_address.get(address.lower(), {})
        return tuple(entry.fingerprint for entry in entries.values() if entry.standing is Standing.BOUND)

    def signers(self, fingerprint: Fingerprint) -> tuple[str, ...]:
        """The addresses that a certificate is bound to, sorted."""
        addresses = self._by_fingerprint.get(fingerprint, set())
        return tuple(sorted(a for a in addresses if self._by_address[a][fingerprint].standing is Standing.BOUND))

    def propose(
        self, address: str, fingerprint: Fingerprint, trust: Trust, provenance: Provenance, *, decided: bool = False
    ) -> Entry:
        """How it now stands. `decided`: a person or the store has said so before, so nothing is left to decide.
        Raises BadData, TooLarge (the directory is full)."""
        address = normal(address)
        entries = self._by_address.get(address, {})
        known = entries.get(fingerprint)
        if known is None and len(self._by_fingerprint) >= CUSTOMERS_MAX and fingerprint not in self._by_fingerprint:
            raise TooLarge
        if known is not None and _RANK[trust] < _RANK[known.trust]:
            trust = known.trust
        standing = self._standing(entries, known, trust, decided)
        entry = Entry(
            address=address, fingerprint=fingerprint, trust=trust, standing=standing,
            provenance=known.provenance if known is not None and trust is known.trust else provenance,
        )  # fmt: skip
        self._put(entry)
        return entry

    def restore(self, entries: Iterable[Entry]) -> None:
        """As they stood before; from the store."""
        for entry in entries:
            self._put(replace(entry, address=normal(entry.address)))

    def decide(self, address: str, fingerprint: Fingerprint, *, take: bool) -> Entry:
        """A person's word on an entry. Raises MissingKey."""
        entry = self._by_address.get(address.lower(), {}).get(fingerprint)
        if entry is None:
            raise MissingKey
        if take:
            entry = replace(entry, trust=Trust.MANUAL, standing=Standing.BOUND)
        else:
            entry = replace(entry, standing=Standing.DECLINED)
        self._put(entry)
        return entry

    def drop(self, fingerprint: Fingerprint) -> None:
        """Forgets the certificate everywhere. A pending change stays pending until a person decides."""
        for address in self._by_fingerprint.pop(fingerprint, set()):
            entries = self._by_address[address]
            del entries[fingerprint]
            if not entries:
                del self._by_address[address]

    def entries(self) -> tuple[Entry, ...]:
        return tuple(entry for entries in self._by_address.values() for entry in entries.values())

    def pending(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries() if entry.standing is Standing.PENDING)

    def __contains__(self, fingerprint: Fingerprint) -> bool:
        return fingerprint in self._by_fingerprint

    def _standing(
        self, entries: dict[Fingerprint, Entry], known: Entry | None, trust: Trust, decided: bool
    ) -> Standing:
        if decided:
            return Standing.BOUND if trust in TRUSTED else Standing.CANDIDATE
        if known is not None and known.standing is not Standing.CANDIDATE:
            return known.standing
        others: Iterable[Entry] = (entry for entry in entries.values() if entry is not known)
        if any(entry.standing is Standing.BOUND for entry in others):
            return Standing.PENDING
        return Standing.BOUND if trust in TRUSTED else Standing.CANDIDATE

    def _put(self, entry: Entry) -> None:
        self._by_address.setdefault(entry.address, {})[entry.fingerprint] = entry
        self._by_fingerprint.setdefault(entry.fingerprint, set()).add(entry.address)

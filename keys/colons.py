"""gpg's key listings (GnuPG, doc/DETAILS, "Format of the colon listings") as our types.

Rule: a user id is read for its address alone; names and comments are dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from keys.openpgp import Certificate, Fingerprint, OwnKey
from keys.status import FINGERPRINT, moment

_ESCAPE: Final = re.compile(r"\\x([0-9a-fA-F]{2})")
_ADDRESS: Final = re.compile(r"[^\s<>@\"]{1,64}@[^\s<>@\"]{1,255}")
_BRACKETED: Final = re.compile(r"<([^<>]*)>\s*$")
_EPOCH: Final = datetime.fromtimestamp(0, UTC)


@dataclass(slots=True)
class Subkey:
    """`capabilities` are small letters: e, s, c, a. `usable`: neither revoked, expired nor invalid."""

    fingerprint: str
    key_id: str
    capabilities: str
    usable: bool
    expired: bool
    secret: bool


@dataclass(slots=True)
class Listed:
    """One certificate or key of ours with its parts; `subkeys[0]` is the primary key."""

    created_at: datetime
    expires_at: datetime | None
    revoked: bool
    expired: bool
    capabilities: str
    addresses: list[str] = field(default_factory=list)
    subkeys: list[Subkey] = field(default_factory=list)

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.subkeys[0].fingerprint)

    def certificate(self) -> Certificate:
        return Certificate(
            fingerprint=self.fingerprint,
            addresses=tuple(dict.fromkeys(self.addresses)),
            created_at=self.created_at,
            expires_at=self.expires_at,
            revoked=self.revoked,
            can_encrypt="E" in self.capabilities and "D" not in self.capabilities and not self.revoked,
        )

    def own_key(self) -> OwnKey:
        usable = not self.revoked and not self.expired
        return OwnKey(
            fingerprint=self.fingerprint,
            addresses=tuple(dict.fromkeys(self.addresses)),
            created_at=self.created_at,
            expires_at=self.expires_at,
            revoked=self.revoked,
            can_sign=usable and any(k.secret and k.usable and "s" in k.capabilities for k in self.subkeys),
            can_decrypt=any(k.secret and "e" in k.capabilities for k in self.subkeys),
        )


def parse(listing: bytes) -> list[Listed]:
    """Of `--with-colons --fixed-list-mode --with-subkey-fingerprint`, public or secret. What has no fingerprint is left
    out."""
    keys: list[Listed] = []
    for line in listing.decode("utf-8", "replace").splitlines():
        words = line.split(":")
        words += [""] * (21 - len(words))
        kind = words[0]
        if kind in ("pub", "sec"):
            keys.append(_listed(words))
            keys[-1].subkeys.append(_subkey(words))
        elif not keys:
            continue
        elif kind in ("sub", "ssb"):
            keys[-1].subkeys.append(_subkey(words))
        elif kind == "fpr" and not keys[-1].subkeys[-1].fingerprint and FINGERPRINT.fullmatch(words[9]):
            keys[-1].subkeys[-1].fingerprint = words[9]
        elif kind == "uid" and words[1] not in ("r", "i"):
            address = address_of(_unescape(words[9]))
            if address:
                keys[-1].addresses.append(address)
    return [key for key in keys if all(subkey.fingerprint for subkey in key.subkeys)]


def address_of(user_id: str) -> str:
    """The addr-spec of a user id, lower-case: what stands in the last angle brackets, or the whole; or nothing."""
    found = _BRACKETED.search(user_id)
    address = (found[1] if found else user_id).strip()
    return address.lower() if _ADDRESS.fullmatch(address) else ""


def _listed(words: list[str]) -> Listed:
    return Listed(
        created_at=moment(words[5]) or _EPOCH,
        expires_at=moment(words[6]),
        revoked=words[1] == "r",
        expired=words[1] == "e",
        capabilities=words[11],
    )


def _subkey(words: list[str]) -> Subkey:
    return Subkey(
        fingerprint="",
        key_id=words[4],
        capabilities="".join(letter for letter in words[11] if letter.islower()),
        usable=words[1] not in ("r", "e", "i", "d"),
        expired=words[1] == "e",
        secret=words[0] in ("sec", "ssb") and words[14] != "#",
    )


def _unescape(text: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)

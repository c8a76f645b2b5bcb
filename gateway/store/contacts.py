"""Contacts: customers as we know them, their addresses and certificates. All sealed; found again by blind index.

Rules: each contact has data keys of its own; destroying them (`erase`) makes all that we keep of them unreadable, in
backups too. An address belongs to one contact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from channels.contract import Address
from gateway.ids import Clock, Ids
from gateway.store.database import Database
from keys.atrest import AtRest
from keys.stamp import StampedHead, StampedRow


class Stamper(Protocol):
    """The key process's client, or `keys.stamping.Stamper`."""

    def stamp(self, stamped: StampedRow | StampedHead, /) -> bytes: ...


class Trust(StrEnum):
    """What the directory makes of a certificate. Only TRUSTED is sealed to and believed."""

    CANDIDATE = "candidate"
    TRUSTED = "trusted"
    REJECTED = "rejected"


class Provenance(StrEnum):
    """Where a certificate came from."""

    MESSAGE = "message"
    ADMIN = "admin"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A certificate as it is bound to an address."""

    fingerprint: str
    address: Address
    trust: Trust
    provenance: Provenance
    certificate: bytes = field(repr=False)
    added_at: int


class Contacts:
    """The inspector's side."""

    def __init__(self, db: Database, *, atrest: AtRest, desk_atrest: AtRest, clock: Clock, ids: Ids) -> None:
        raise NotImplementedError

    async def find(self, channel: str, address: Address) -> str | None:
        """The contact's id."""
        raise NotImplementedError

    async def certificates(self, channel: str, address: Address) -> tuple[Bound, ...]:
        raise NotImplementedError

    async def all_certificates(self, cursor: str = "", limit: int = 100) -> tuple[list[Bound], str]:
        raise NotImplementedError

    async def bind(
        self, channel: str, address: Address, fingerprint: str, certificate: bytes, trust: Trust, provenance: Provenance
    ) -> bool:
        """Adds or changes a binding (makes the contact if need be). False if it stood so already."""
        raise NotImplementedError

    async def unbind(self, channel: str, address: Address, fingerprint: str) -> bool:
        raise NotImplementedError

    async def erase(self, contact: str, by: str) -> bool:
        """Destroys the contact's data keys and deletes what is sealed under them. False if there is none such."""
        raise NotImplementedError

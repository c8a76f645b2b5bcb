"""Held: what is kept beside a held message, for the reviewer and for the notice that its sender may get.

Both are sealed at rest and bound to the message's row: the first with the key that desk and inspector share, the second
with the inspector's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from channels.contract import Address
from gateway.codec import pack, unpack
from gateway.sanitized import SafeText, Trust
from keys.atrest import AtRest


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldSight:
    """What a reviewer may see without opening anything: sanitized, and facts. `author` is the one From address, "" when
    there is none; `subject` is "" when the message could not be opened."""

    author: SafeText
    subject: SafeText
    trust: Trust
    octets: int
    attachments: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldContact:
    """Whom a notice about the message goes to."""

    to: Address
    mailbox: str
    language: str
    encrypted: bool


def seal_sight(atrest: AtRest, row: str, sight: HeldSight) -> bytes:
    return atrest.seal(pack(sight), f"held/{row}/sight")


def open_sight(atrest: AtRest, row: str, sealed: bytes) -> HeldSight:
    """Raises a KeysError, BadFrame."""
    return unpack(HeldSight, atrest.open(sealed, f"held/{row}/sight").reveal())


def seal_contact(atrest: AtRest, row: str, contact: HeldContact) -> bytes:
    return atrest.seal(pack(contact), f"held/{row}/contact")


def open_contact(atrest: AtRest, row: str, sealed: bytes) -> HeldContact:
    """Raises a KeysError, BadFrame."""
    return unpack(HeldContact, atrest.open(sealed, f"held/{row}/contact").reveal())

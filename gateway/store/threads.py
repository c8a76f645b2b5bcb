"""Threads: what ties a message to a conversation – case numbers, signed reply addresses, Message-IDs.

A case number is `V-7K3M-92QX`: seven random characters of Crockford's base 32 and a check character, a sum over GF(32)
that finds any one wrong character and any two swapped ones. It says nothing and can't be guessed in sequence; and it
counts only for the contact whose it is (`gateway.store.queue`).

A reply address is `support+v7k3m92qx-TAG@acme.example`: the case number, and 16 characters of a keyed hash over it.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from typing import Final

from sqlalchemy import bindparam, select

from gateway.store import schema
from gateway.store.statements import Prepared, adding
from keys.secret import Secret

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: no I, L, O, U."""
_LOOKALIKES: Final = str.maketrans("OIL", "011")
_QUOTED: Final = re.compile(
    r"(?<![0-9A-Za-z])V[-\u2010-\u2014 ]?([0-9A-Za-z]{4})[-\u2010-\u2014 ]?([0-9A-Za-z]{4})(?![0-9A-Za-z])", re.I
)
_TAG: Final = re.compile(r"v([0-9a-z]{8})-([a-z2-7]{16})")
_MOST_QUOTED: Final = 10


def new_number() -> str:
    """A fresh case number. Random; the store sees to it that it is unique."""
    value = [secrets.randbelow(32) for _ in range(7)]
    return _spell("".join(ALPHABET[one] for one in [*value, _check(value)]))


def read_number(text: str) -> str | None:
    """The number in its proper spelling, from any spelling ("v7k3m92qx", O for 0, I for 1); None if it isn't one."""
    found = _QUOTED.fullmatch(text.strip())
    return None if found is None else _proper(found[1] + found[2])


def quoted_numbers(text: str) -> tuple[str, ...]:
    """All case numbers in a text, in order, each once; at most ten."""
    found: dict[str, None] = {}
    for match in _QUOTED.finditer(text):
        number = _proper(match[1] + match[2])
        if number is not None:
            found[number] = None
            if len(found) == _MOST_QUOTED:
                break
    return tuple(found)


def _proper(characters: str) -> str | None:
    plain = characters.upper().translate(_LOOKALIKES)
    if any(one not in ALPHABET for one in plain):
        return None
    value = [ALPHABET.index(one) for one in plain]
    return _spell(plain) if _check(value[:7]) == value[7] else None


def _spell(characters: str) -> str:
    return f"V-{characters[:4]}-{characters[4:]}"


def _check(value: list[int]) -> int:
    """The c with v1·a + v2·a² + … + v7·a⁷ + c = 0 over GF(32), a primitive: two different places never weigh the
    same, so that no swap goes unseen."""
    total, weight = 0, 1
    for one in value:
        weight = _times(weight, 2)
        total ^= _times(one, weight)
    return total


def _times(a: int, b: int) -> int:
    """In GF(32), modulo x⁵ + x² + 1."""
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 32:
            a ^= 0b100101
        b >>= 1
    return product


class ReplyTokens:
    def __init__(self, key: Secret[bytes]) -> None:
        """`key`: 32 bytes (threads.key)."""
        self._key = hmac.digest(key.reveal(), b"vestibule reply address 1", "sha256")

    def tag(self, number: str) -> str:
        """The plus-tag for a case number: 26 characters, [a-z0-9-]."""
        plain = number.replace("-", "").lower()
        return f"{plain}-{self._mac(plain)}"

    def address(self, mailbox: str, number: str) -> str:
        """The mailbox's address with the tag in it."""
        local, _, domain = mailbox.rpartition("@")
        return f"{local}+{self.tag(number)}@{domain}"

    def read(self, tag: str) -> str | None:
        """The case number of a tag of ours; None for anything else."""
        found = _TAG.fullmatch(tag.lower())
        if found is None or not hmac.compare_digest(found[2], self._mac("v" + found[1])):
            return None
        return _proper(found[1])

    def _mac(self, plain: str) -> str:
        return base64.b32encode(hmac.digest(self._key, plain.encode(), "sha256")[:10]).decode().lower()


JOINED: Final = Prepared(
    select(schema.threads.c.conversation_id).where(
        schema.threads.c.contact_id == bindparam("contact"), schema.threads.c.index == bindparam("wanted")
    )
)
TIE: Final = adding(schema.threads, ["contact_id", "index", "conversation_id"], unless=["contact_id", "index"])
NUMBERED: Final = Prepared(
    select(schema.conversations.c.id, schema.conversations.c.contact_id).where(
        schema.conversations.c.number == bindparam("wanted")
    )
)

"""The header block of a message as raw bytes, split strictly (RFC 5322, sections 2.1 and 2.2), decoded by nobody.

Rules:
1. Every byte belongs to one field or to a fault; nothing is repaired, so that two readers can't read two messages.
2. Linear in time; the size is looked at before anything else.
3. A name with blanks before its colon (obsolete syntax) still counts as that field, but not as an exact one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HEADER_BLOCK_BYTES: Final = 65_536  # as gateway.limits; a test holds them equal
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_NEXT_FIELD: Final = re.compile(rb"\r\n(?![ \t])")
_BLANK_FOLD: Final = re.compile(rb"\r\n[ \t]+(?=\r\n|\Z)")
_NAME: Final = re.compile(rb"[!-9;-~]+")  # ftext, RFC 5322, section 3.6.8

SINGLE: Final = frozenset(
    {
        "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references",
        "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id",
        "content-description",
    }
)  # fmt: skip
"""Fields of which there may be one: RFC 5322, section 3.6, and RFC 2045, section 3."""


class HeaderFault(StrEnum):
    """What is wrong with a header block."""

    TOO_LARGE = "too-large"
    CONTROL = "control"
    BARE_CR_OR_LF = "bare-cr-or-lf"
    LEADING_FOLD = "leading-fold"
    NO_COLON = "no-colon"
    BAD_NAME = "bad-name"
    SPACED_NAME = "spaced-name"
    BLANK_FOLD = "blank-fold"
    REPEATED = "repeated"


AMBIGUOUS: Final = frozenset(
    {
        HeaderFault.TOO_LARGE, HeaderFault.CONTROL, HeaderFault.BARE_CR_OR_LF, HeaderFault.LEADING_FOLD,
        HeaderFault.NO_COLON, HeaderFault.BAD_NAME, HeaderFault.REPEATED,
    }
)  # fmt: skip
"""Faults with which two programs may see two different messages: nothing can be said of the author."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `name` is lower-case, without blanks; `raw` is the whole field without its last CRLF; `value` is what
    follows the colon, folding included. `exact`: the name obeys RFC 5322 and the colon follows it at once."""

    name: str
    raw: bytes
    value: bytes
    exact: bool


@dataclass(frozen=True, slots=True)
class HeaderBlock:
    """`body` is the offset of the body's first byte. A block that is too large has no fields."""

    fields: tuple[Field, ...]
    body: int
    faults: frozenset[HeaderFault]

    def named(self, name: str) -> tuple[Field, ...]:
        """The fields of that (lower-case) name, in order."""
        return tuple(each for each in self.fields if each.name == name)

    def values(self, name: str) -> tuple[bytes, ...]:
        return tuple(each.value for each in self.fields if each.name == name)


def read(raw: bytes, *, max_bytes: int = HEADER_BLOCK_BYTES) -> HeaderBlock:
    """Splits the header block of a message whose lines end in CRLF. Never raises."""
    if raw[:2] == b"\r\n":
        return HeaderBlock((), 2, frozenset())
    end = raw.find(b"\r\n\r\n", 0, max_bytes + 4)
    if end < 0 and len(raw) > max_bytes:
        return HeaderBlock((), len(raw), frozenset({HeaderFault.TOO_LARGE}))
    if end < 0:
        block, body = raw.removesuffix(b"\r\n"), len(raw)
    else:
        block, body = raw[:end], end + 4
    if not block:
        return HeaderBlock((), body, frozenset())
    faults: set[HeaderFault] = set()
    if _CONTROL.search(block):
        faults.add(HeaderFault.CONTROL)
    if _BARE.search(block):
        faults.add(HeaderFault.BARE_CR_OR_LF)
    if _BLANK_FOLD.search(block):
        faults.add(HeaderFault.BLANK_FOLD)
    fields: list[Field] = []
    seen: set[str] = set()
    for unit in units(block):
        if unit[:1] in (b" ", b"\t"):
            faults.add(HeaderFault.LEADING_FOLD)
        field = _field(unit)
        if field is None:
            faults.add(HeaderFault.NO_COLON)
            continue
        if not field.exact:
            obsolete = _NAME.fullmatch(unit[: unit.index(b":")].rstrip(b" \t"))
            faults.add(HeaderFault.SPACED_NAME if obsolete else HeaderFault.BAD_NAME)
        if field.name in SINGLE and field.name in seen:
            faults.add(HeaderFault.REPEATED)
        seen.add(field.name)
        fields.append(field)
    return HeaderBlock(tuple(fields), body, frozenset(faults))


def _field(unit: bytes) -> Field | None:
    name, colon, value = unit.partition(b":")
    if not colon:
        return None
    exact = _NAME.fullmatch(name) is not None
    return Field(name.strip(b" \t\r\n").lower().decode("latin-1"), unit, value, exact)


def units(head: bytes) -> list[bytes]:
    """A header block as its fields, whatever they are; joined by CRLF they are the block again."""
    return _NEXT_FIELD.split(head)


def unfold(value: bytes) -> bytes:
    """Takes the folding out of a field's value (RFC 5322, section 2.2.3)."""
    return value.replace(b"\r\n", b"")


def to_crlf(raw: bytes) -> bytes:
    """A message from a file whose lines end in LF alone, with CRLF. One that has any CRLF is left as it is: mixed line
    ends are a fault to be seen, not to be mended."""
    return raw if b"\r" in raw else raw.replace(b"\n", b"\r\n")

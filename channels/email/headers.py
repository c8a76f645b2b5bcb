"""The header block of a message, read in one way for all: for SMTP, which strips and traces by places; for DKIM and
ARC, which hash the very octets; for opening, which shows (RFC 5322, sections 2.1, 2.2 and 3.6).

Rules:
1. Nothing is repaired. What programs read in different ways is a fault, named beside the fields.
2. A line that is neither a field nor goes on with one ends the block and is the body's first: so it is shown, and none
   below it counts as a header.
3. A name with blanks before its colon (obsolete syntax), or with octets that no name has, counts as the name that is
   left without them, but not as an exact one.
4. Lines end in CRLF. LF alone is taken for it where there is no CR at all, as in files and in decrypted text.
5. Linear in time, and never beyond its limit in size.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

HEADER_BLOCK_BYTES: Final = 65_536  # as gateway.limits; a test holds them equal
HEADERS: Final = 200  # fields; as gateway.limits

_FIELD: Final = re.compile(
    rb"([^: \t\r\n]++)((?:[ \t]|\r?\n[ \t])*+):([^\n]*+(?:\n[ \t][^\n]*+)*+)(\n|\Z)"
)  # name, blanks, value, line end
_NAME: Final = re.compile(rb"[!-9;-~]++")  # ftext, RFC 5322, section 3.6.8
_NOISE: Final = re.compile(rb"[^!-~]++")
_CONTROLS: Final = bytes({*range(32), 127} - set(b"\t\r\n"))
_BLANK_FOLD: Final = re.compile(rb"\n[ \t]++(?=\r?\n|\r?\Z)")
_SEPARATOR: Final = re.compile(rb"From (?![ \t]*:)[^\n]*+(?:\n|\Z)")

CONTENT_SINGLE: Final = frozenset(
    {
        "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "content-id",
        "content-description",
    }
)  # fmt: skip
"""Fields of which a message or a part may have one: RFC 2045, section 3."""
SINGLE: Final = CONTENT_SINGLE | {
    "from", "sender", "reply-to", "to", "cc", "bcc", "subject", "date", "message-id", "in-reply-to", "references",
}  # fmt: skip
"""Fields of which a message may have one: RFC 5322, section 3.6, too."""


class HeaderFault(StrEnum):
    """What is wrong with a header block. NO_FIELD: it ends in a line that is none, not in an empty one. LF_ENDS: as
    rule 4 takes it, but nothing that could be sent or signed."""

    TOO_LARGE = "too-large"
    TOO_MANY = "too-many"
    CONTROL = "control"
    BARE_CR_OR_LF = "bare-cr-or-lf"
    LF_ENDS = "lf-ends"
    NO_FIELD = "no-field"
    BAD_NAME = "bad-name"
    SPACED_NAME = "spaced-name"
    BLANK_FOLD = "blank-fold"
    REPEATED = "repeated"


@dataclass(frozen=True, slots=True)
class Field:
    """One field. `name` is lower-case, see rule 3; `raw` is the whole field without its last line end; `value` is what
    follows the colon, folding included. `exact`: the name obeys RFC 5322 and the colon follows it at once. `start` and
    `end` (with the line end) are its place in the message; 0 for a field that was made, not read."""

    name: str
    raw: bytes
    value: bytes
    exact: bool = True
    start: int = 0
    end: int = 0

    def text(self) -> str:
        """Unfolded, as UTF-8 (RFC 6532); other octets become surrogates, which no grammar takes."""
        return unfold(self.value).decode("utf-8", "surrogateescape").strip(" \t")


@dataclass(frozen=True, slots=True)
class Block:
    """`body` is the offset of the body's first octet. The fields of a block that is too large are those that fit."""

    fields: tuple[Field, ...]
    body: int
    faults: frozenset[HeaderFault]

    def named(self, name: str) -> tuple[Field, ...]:
        """The fields of that (lower-case) name, in order."""
        return tuple(each for each in self.fields if each.name == name)

    def first(self, name: str) -> Field | None:
        return next((each for each in self.fields if each.name == name), None)

    def values(self, name: str) -> tuple[bytes, ...]:
        return tuple(each.value for each in self.fields if each.name == name)


def read(raw: bytes, *, max_bytes: int = HEADER_BLOCK_BYTES) -> Block:
    """The header block of a whole message. Never raises."""
    return read_block(raw, beginning(raw), len(raw), single=SINGLE, max_bytes=max_bytes)


def beginning(raw: bytes) -> int:
    """Where a message begins: behind the line that an mbox puts in front of it (RFC 4155), if it is there."""
    found = _SEPARATOR.match(raw)
    return found.end() if found else 0


def read_block(
    source: bytes, start: int, end: int, *, single: frozenset[str], max_bytes: int = HEADER_BLOCK_BYTES
) -> Block:
    """The header block at `start` of a message or part that ends at `end`. `single`: the fields of which there may be
    one. Never raises."""
    fields: list[Field] = []
    faults: set[HeaderFault] = set()
    most = min(end, start + max_bytes + 1)
    at = start
    while found := _FIELD.match(source, at, most):
        if found.end() - start > max_bytes:
            faults.add(HeaderFault.TOO_LARGE)
            break
        fields.append(_field(source, found, faults))
        at = found.end()
    block = source[start:at]
    if len(block.translate(None, _CONTROLS)) < len(block):
        faults.add(HeaderFault.CONTROL)
    feeds, returns, pairs = block.count(b"\n"), block.count(b"\r"), block.count(b"\r\n")
    if returns > pairs or feeds > pairs:
        lone = source.find(b"\r", start, end) < 0
        faults.add(HeaderFault.LF_ENDS if lone else HeaderFault.BARE_CR_OR_LF)
    if _BLANK_FOLD.search(block):
        faults.add(HeaderFault.BLANK_FOLD)
    if len(fields) > HEADERS:
        faults.add(HeaderFault.TOO_MANY)
    names = [each.name for each in fields if each.name in single]
    if len(set(names)) < len(names):
        faults.add(HeaderFault.REPEATED)
    for line_end in (b"\r\n", b"\n"):
        if source.startswith(line_end, at, end):
            return Block(tuple(fields), at + len(line_end), frozenset(faults))
    if at < end and HeaderFault.TOO_LARGE not in faults:
        faults.add(HeaderFault.NO_FIELD)
    return Block(tuple(fields), at, frozenset(faults))


def _field(source: bytes, found: re.Match[bytes], faults: set[HeaderFault]) -> Field:
    name, blanks, value = found[1], found[2], found[3]
    if found[4]:
        value = value.removesuffix(b"\r")
    known = _NAME.fullmatch(name) is not None
    if not known or b"\n" in blanks:
        faults.add(HeaderFault.BAD_NAME)
    elif blanks:
        faults.add(HeaderFault.SPACED_NAME)
    raw = source[found.start() : found.start(3) + len(value)]
    plain = (name if known else _NOISE.sub(b"", name)).lower().decode("ascii")
    return Field(plain, raw, value, known and not blanks, found.start(), found.end())


def without(raw: bytes, fields: Iterable[Field]) -> bytes:
    """A message without some of the fields that were read from it, given in their order."""
    kept, at = [], 0
    for field in fields:
        kept.append(raw[at : field.start])
        at = field.end
    kept.append(raw[at:])
    return b"".join(kept)


def unfold(value: bytes) -> bytes:
    """Takes the folding out of a field's value (RFC 5322, section 2.2.3)."""
    return value.replace(b"\r\n", b"").replace(b"\n", b"")


def to_crlf(raw: bytes) -> bytes:
    """A message from a file whose lines end in LF alone, with CRLF. One that has any CR is left as it is: mixed line
    ends are a fault to be seen, not to be mended."""
    return raw if b"\r" in raw else raw.replace(b"\n", b"\r\n")

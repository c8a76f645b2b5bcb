"""What header fields mean for an agent: their values, what is odd about them, and encoded words (RFC 2047).

Rules:
1. The block is read by `channels.email.headers`, as transport authentication reads it; its faults become oddities.
2. Every function is linear in its input and total: hostile input gives an oddity or plain text, never an exception
   but `TooMuch`. The stdlib's own header parsers are not used: some need a minute for 200 KB (cpython #136063).
3. Values stay bytes until somebody asks for text. Fields that are read have a cap; others may be long (ARC, Exchange).
4. Of several fields of one name the first counts; that there were several is an oddity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from channels.email.headers import CONTENT_SINGLE, SINGLE, Field, HeaderFault, read_block, unfold
from gateway import limits
from gateway.decoding import base64_octets, text_of
from gateway.opened import Oddity
from gateway.reading import Reading, TooMuch

_CAPPED: Final = SINGLE - {"to", "cc", "bcc", "references", "in-reply-to", "content-description"}
"""Read closely. Threads grow long References, circulars a long To: those are read in linear time or not at all."""
_ODD: Final = {
    HeaderFault.NO_FIELD: Oddity.HEADER_BODY_GAP,
    HeaderFault.BAD_NAME: Oddity.BAD_HEADER,
    HeaderFault.SPACED_NAME: Oddity.BAD_HEADER,
    HeaderFault.BARE_CR_OR_LF: Oddity.BARE_NEWLINE,
}
_TOO_MUCH: Final = {HeaderFault.TOO_LARGE: "header-block", HeaderFault.TOO_MANY: "headers"}


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one header block in their order: lower-case names, values unfolded and without outer blanks."""

    pairs: tuple[tuple[str, bytes], ...] = ()

    def all(self, name: str) -> list[bytes]:
        return [value for known, value in self.pairs if known == name]

    def first(self, name: str) -> bytes | None:
        return next((value for known, value in self.pairs if known == name), None)

    def text(self, name: str) -> str:
        """The first of this name, encoded words decoded; "" when there is none."""
        value = self.first(name)
        return "" if value is None else words(value)

    def __contains__(self, name: str) -> bool:
        return any(known == name for known, _ in self.pairs)


def header(source: bytes, start: int, end: int, reading: Reading, *, mail: bool) -> tuple[Fields, int]:
    """The fields of the message or part at `start`, and where its body begins. `mail`: a message's own header, where
    RFC 5322 allows but one of some fields; otherwise a part's. Raises TooMuch."""
    block = read_block(source, start, end, single=SINGLE if mail else CONTENT_SINGLE)
    for fault, oddity in _ODD.items():
        if fault in block.faults:
            reading.note(oddity)
    for fault, reason in _TOO_MUCH.items():
        if fault in block.faults:
            raise TooMuch(reason)
    fields = Fields(tuple((each.name, _value(each, reading)) for each in block.fields))
    if HeaderFault.REPEATED in block.faults:
        _repeated(fields, reading, mail=mail)
    return fields, block.body


def _value(field: Field, reading: Reading) -> bytes:
    value = unfold(field.value)
    if len(value) > limits.HEADER_BYTES:
        if field.name in _CAPPED:
            raise TooMuch("header")
        reading.note(Oddity.LONG_HEADER)
    if b"\0" in field.raw:
        reading.note(Oddity.NUL)
    return value.strip(b" \t\r")


def _repeated(fields: Fields, reading: Reading, *, mail: bool) -> None:
    seen: dict[str, bytes] = {}
    for name, value in fields.pairs:
        if name not in seen:
            seen[name] = value
        elif name == "content-transfer-encoding" and seen[name].lower() != value.lower():
            reading.note(Oddity.CONFLICTING_TRANSFER_ENCODING)
        elif name in CONTENT_SINGLE:
            reading.note(Oddity.DUPLICATE_CONTENT_HEADER)
        elif mail and name in SINGLE:
            reading.note(Oddity.SEVERAL_FROM if name == "from" else Oddity.DUPLICATE_HEADER)


# --- RFC 2047

_WORD: Final = re.compile(rb"=\?([^?\s]{1,60})\?([bBqQ])\?([^?]*)\?=")
_ESCAPED: Final = re.compile(rb"=([0-9A-Fa-f]{2})")


def words(value: bytes) -> str:
    """A field's text with its encoded words decoded: one line, without control characters. Blanks between adjacent
    encoded words vanish, and such of one charset are joined before decoding (a letter may stand across two)."""
    out: list[str] = []
    pending: list[bytes] = []
    charset = b""
    at = 0

    def flush() -> None:
        if pending:
            out.append(text_of(b"".join(pending), charset.decode("latin-1"))[0])
            pending.clear()

    for word in _WORD.finditer(value):
        between = value[at : word.start()]
        if between.strip(b" \t\r\n") or not pending:
            flush()
            out.append(plain(between))
        kind = word[1].split(b"*")[0].lower()
        if kind != charset:
            flush()
        charset = kind
        if word[2] in b"bB":
            pending.append(base64_octets(word[3])[0])
        else:
            pending.append(_ESCAPED.sub(lambda m: bytes([int(m[1], 16)]), word[3].replace(b"_", b" ")))
        at = word.end()
    flush()
    out.append(plain(value[at:]))
    return one_line("".join(out))


def plain(value: bytes) -> str:
    """Raw header bytes: UTF-8 (RFC 6532), else Latin-1."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("latin-1")


_UNPRINTED: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


def one_line(text: str) -> str:
    return _UNPRINTED.sub(" ", text).strip()

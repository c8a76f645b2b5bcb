"""Header fields: reading a header block (RFC 5322) and encoded words (RFC 2047).

Rules:
1. Every function is linear in its input and total: hostile input gives an oddity or plain text, never an exception
   but `TooMuch`. The stdlib's own header parsers are not used: some need a minute for 200 KB (cpython #136063).
2. Values stay bytes until somebody asks for text. Fields that are read have a cap; others may be long (ARC, Exchange).
3. Of several fields of one name the first counts; that there were several is an oddity.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gateway import limits
from gateway.decoding import base64_octets, text_of
from gateway.opened import Oddity
from gateway.reading import Reading, TooMuch

SINGLE: Final = frozenset({
    b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"message-id", b"in-reply-to", b"references", b"subject",
    b"date",
})  # fmt: skip
"""RFC 5322, section 3.6: at most one of each."""
CONTENT_SINGLE: Final = frozenset({b"content-type", b"content-transfer-encoding", b"content-disposition",
                                   b"content-id", b"mime-version"})  # fmt: skip
_CAPPED: Final = (SINGLE | CONTENT_SINGLE) - {b"to", b"cc", b"bcc", b"references", b"in-reply-to"}
"""Read closely. Threads grow long References, circulars a long To: those are read in linear time or not at all."""
_NAME: Final = re.compile(rb"[!-9;-~]+")
_NOISE: Final = re.compile(rb"[^a-z0-9-]+")
_LINE_BREAK: Final = re.compile(rb"\r?\n")


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one header block in their order: lower-case names, values unfolded and without outer blanks."""

    pairs: tuple[tuple[bytes, bytes], ...] = ()

    def all(self, name: bytes) -> list[bytes]:
        return [value for known, value in self.pairs if known == name]

    def first(self, name: bytes) -> bytes | None:
        return next((value for known, value in self.pairs if known == name), None)

    def text(self, name: bytes) -> str:
        """The first of this name, encoded words decoded; "" when there is none."""
        value = self.first(name)
        return "" if value is None else words(value)

    def __contains__(self, name: bytes) -> bool:
        return any(known == name for known, _ in self.pairs)


def header_block(source: bytes, start: int, end: int, reading: Reading, *, mail: bool) -> tuple[Fields, int]:
    """The fields from `start`, and where the body begins. `mail`: a message's own header, where RFC 5322 allows but
    one of some fields; otherwise a part's. A line that is no field ends the header and belongs to the body."""
    fields: list[tuple[bytes, list[bytes]]] = []
    at = start
    while at < end:
        if at - start > limits.HEADER_BLOCK_BYTES:
            raise TooMuch("header-block")
        stop = source.find(b"\n", at, min(end, at + limits.HEADER_BLOCK_BYTES + 1))
        if stop < 0 and end - at > limits.HEADER_BLOCK_BYTES:
            if b":" in source[at : at + 80] or source[at : at + 1] in (b" ", b"\t"):
                raise TooMuch("header-block")
            reading.note(Oddity.HEADER_BODY_GAP)
            break
        after = end if stop < 0 else stop + 1
        line = source[at:after].rstrip(b"\r\n")
        if not line:
            at = after
            break
        if line[0] in b" \t" and fields:
            fields[-1][1].append(line)
        else:
            name, colon, value = line.partition(b":")
            bare = name.rstrip(b" \t")
            if not colon or not bare or len(bare) > 100 or b" " in bare:
                if at != start or not fields:
                    reading.note(Oddity.HEADER_BODY_GAP)
                break
            if bare != name or not _NAME.fullmatch(bare):
                reading.note(Oddity.BAD_HEADER)
                bare = _NOISE.sub(b"", bare.lower()) or b"?"
            fields.append((bare.lower(), [value]))
            if len(fields) > limits.HEADERS:
                raise TooMuch("headers")
        at = after
    pairs = tuple((name, _unfolded(name, lines, reading)) for name, lines in fields)
    _several(pairs, reading, mail=mail)
    return Fields(pairs), at


def _unfolded(name: bytes, lines: list[bytes], reading: Reading) -> bytes:
    value = b"".join(lines)
    if len(value) > limits.HEADER_BYTES:
        if name in _CAPPED:
            raise TooMuch("header")
        reading.note(Oddity.LONG_HEADER)
    if b"\0" in value:
        reading.note(Oddity.NUL)
    if b"\r" in value:
        reading.note(Oddity.BARE_NEWLINE)
    return value.strip(b" \t\r\n")


def _several(pairs: tuple[tuple[bytes, bytes], ...], reading: Reading, *, mail: bool) -> None:
    seen: dict[bytes, bytes] = {}
    for name, value in pairs:
        if name not in seen:
            seen[name] = value
        elif name == b"content-transfer-encoding" and seen[name].lower() != value.lower():
            reading.note(Oddity.CONFLICTING_TRANSFER_ENCODING)
        elif name in CONTENT_SINGLE:
            reading.note(Oddity.DUPLICATE_CONTENT_HEADER)
        elif mail and name in SINGLE:
            reading.note(Oddity.SEVERAL_FROM if name == b"from" else Oddity.DUPLICATE_HEADER)


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

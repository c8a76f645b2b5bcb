"""Header fields: reading a header block, parameters (RFC 2045, RFC 2231) and encoded words (RFC 2047).

Rules:
1. Every function is linear in its input and total: hostile input gives an oddity or plain text, never an exception
   but `TooMuch`. The stdlib's own header parsers are not used: some need a minute for 200 KB (cpython #136063).
2. Values stay bytes until somebody asks for text. Fields that are read have a cap; others may be long (ARC, Exchange).
3. Of several parameters of one name the first counts, as for fields; that there were several is an oddity.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from gateway import limits
from gateway.decoding import base64_octets, codec, quoted_printable, text_of
from gateway.errors import VestibuleError
from gateway.opened import Oddity


class TooMuch(VestibuleError):
    """A message passes a limit of reading. `reason` is a fixed token, such as "parts" or "header-block"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Reading:
    """What is counted and noted while one message is read, through all of its layers."""

    parts: int = 0
    unpacked: int = 0
    oddities: dict[Oddity, None] = field(default_factory=dict)

    def note(self, oddity: Oddity) -> None:
        self.oddities[oddity] = None

    def part(self) -> None:
        self.parts += 1
        if self.parts > limits.MIME_PARTS:
            raise TooMuch("parts")

    def unpack(self, octets: int) -> None:
        self.unpacked += octets
        if self.unpacked > limits.UNPACKED_BYTES:
            raise TooMuch("unpacked")


SINGLE: Final = frozenset({
    b"from", b"sender", b"reply-to", b"to", b"cc", b"bcc", b"message-id", b"in-reply-to", b"references", b"subject",
    b"date",
})  # fmt: skip
"""RFC 5322, section 3.6: at most one of each."""
CONTENT_SINGLE: Final = frozenset({b"content-type", b"content-transfer-encoding", b"content-disposition",
                                   b"content-id", b"mime-version"})  # fmt: skip
_READ: Final = SINGLE | CONTENT_SINGLE - {b"to", b"cc", b"bcc"}
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
        if name in _READ:
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


# --- RFC 2045 and RFC 2231: `value; name=value; …`

_TOKEN: Final = re.compile(rb"[^\s;=\"()]+")
_BARE: Final = re.compile(rb"[^;\s\"]*")
_PIECE: Final = re.compile(r"^([^*]+)(?:\*(\d{1,3}))?(\*)?$")


@dataclass(frozen=True, slots=True)
class Valued:
    """`value` is lower-case and without comments; `params` by lower-case name, decoded; `doubled` names those that
    stood several times with different values."""

    value: str
    params: dict[str, str]
    doubled: frozenset[str] = frozenset()


def valued(raw: bytes) -> Valued:
    """Reads Content-Type, Content-Disposition and their like."""
    clean = _without_comments(raw)
    head, _, rest = clean.partition(b";")
    singles: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bytes, bool]]] = {}
    doubled: set[str] = set()
    for name, value in _params(rest):
        shape = _PIECE.match(name)
        if shape is None or (shape[2] is None and not shape[3]):
            decoded = words(value) if b"=?" in value else one_line(plain(value))
            if singles.setdefault(name, decoded) != decoded:
                doubled.add(name)
        elif len(pieces) < 50:
            of = pieces.setdefault(shape[1], {})
            if of.setdefault(int(shape[2] or 0), (value, bool(shape[3]))) != (value, bool(shape[3])):
                doubled.add(shape[1])
    for name, of in pieces.items():
        joined = _joined(of)
        if name in singles and singles[name] != joined and name in ("boundary", "charset"):
            doubled.add(name)
        singles[name] = joined
    return Valued(plain(head).strip().lower(), singles, frozenset(doubled))


def _params(rest: bytes) -> Iterator[tuple[str, bytes]]:
    at, size = 0, len(rest)
    while at < size:
        if rest[at] in b"; \t\r\n":
            at += 1
            continue
        token = _TOKEN.match(rest, at)
        if token is None:
            at += 1
            continue
        at = token.end()
        while at < size and rest[at] in b" \t\r\n":
            at += 1
        if at >= size or rest[at] != 0x3D:  # "="
            continue
        at += 1
        while at < size and rest[at] in b" \t\r\n":
            at += 1
        if at < size and rest[at] == 0x22:
            value, at = _quoted(rest, at + 1)
        else:
            bare = _BARE.match(rest, at)
            value, at = (bare[0], bare.end()) if bare else (b"", size)
        yield plain(token[0]).lower(), value


def _quoted(data: bytes, at: int) -> tuple[bytes, int]:
    """From after the opening quote: the text, and where it ends. An unclosed one ends with the field."""
    out = bytearray()
    while at < len(data) and data[at] != 0x22:
        if data[at] == 0x5C and at + 1 < len(data):
            at += 1
        out.append(data[at])
        at += 1
    return bytes(out), at + 1


def _without_comments(raw: bytes) -> bytes:
    """RFC 5322 comments taken out, quoted strings left whole. An unclosed one is no comment."""
    if b"(" not in raw:
        return raw
    out, depth, quoted, at, opened = bytearray(), 0, False, 0, 0
    while at < len(raw):
        byte = raw[at]
        if byte == 0x5C and at + 1 < len(raw):
            if not depth:
                out += raw[at : at + 2]
            at += 2
            continue
        if byte == 0x22 and not depth:
            quoted = not quoted
        if byte == 0x28 and not quoted:
            opened = at if not depth else opened
            depth += 1
        elif byte == 0x29 and depth:
            depth -= 1
        elif not depth:
            out.append(byte)
        at += 1
    return bytes(out) + raw[opened:] if depth else bytes(out)


def _joined(of: dict[int, tuple[bytes, bool]]) -> str:
    """RFC 2231: the pieces in order, until one is missing; charset and language stand in the first."""
    charset, data, encoded = "", bytearray(), False
    for number in range(len(of)):
        if number not in of:
            break
        piece, extended = of[number]
        if extended:
            encoded = True
            if number == 0 and piece.count(b"'") >= 2:
                name, _, piece = piece.split(b"'", 2)
                charset = plain(name)
            piece = quoted_printable(piece.replace(b"=", b"=3D").replace(b"%", b"="))
        data += piece
    if not encoded:
        return words(bytes(data))
    return one_line(text_of(bytes(data), charset if codec(charset) else "utf-8")[0])

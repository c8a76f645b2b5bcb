"""Values with parameters: `value; name=value; …` (RFC 2045, section 5.1; RFC 2231).

Rules: linear and total, as all of reading; of several parameters of one name the first counts, and that there were
several is told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.decoding import codec, quoted_printable, text_of
from gateway.fields import one_line, plain, words

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

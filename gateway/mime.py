"""MIME structure (RFC 2045, 2046): a message as a tree of entities that know exactly where they stood in the bytes.

Rules:
1. Our own reader, linear, on raw bytes: signatures need the very bytes of a part, and the stdlib's parser neither keeps
   them nor notices a third of the known ambiguities. Tests hold it against the stdlib's (compat32) and others' trees.
2. Delimiters are matched as whole lines (RFC 2046, section 5.1.1), outer before inner. Where other readers see
   something else (prefixes, doubled parameters, encoded multiparts), it is an oddity, and the checks judge it.
3. Nothing is dropped: a multipart that can't be taken apart is one leaf with all of its text.
4. Caps on header, fields, parts, depth and unpacked size raise `TooMuch` before the work is done.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from channels.email.headers import beginning
from gateway import limits
from gateway.decoding import IDENTITY, declared_charset, octets, text_of, tidy, unflow
from gateway.fields import Fields, header
from gateway.opened import Oddity
from gateway.parameters import Valued, valued
from gateway.reading import Reading, TooMuch

__all__ = ["Entity", "Reading", "TooMuch", "looks_like_headers", "parse", "text_entity"]

NESTED: Final = frozenset({"message/rfc822", "message/global"})
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80}")
_PLAIN: Final = Valued("text/plain", {})
_NESTED: Final = Valued("message/rfc822", {})
_NONE: Final = Valued("", {})


@dataclass(slots=True, kw_only=True)
class Entity:
    """One node. `source[start:end]` is exactly how it stood, `source[body:end]` without its header.

    `data` are a leaf's bytes (and a nested message's) without transfer encoding. `children` of a multipart are its
    parts; of a nested message, the one message in it."""

    path: str
    source: bytes
    start: int
    body: int
    end: int
    fields: Fields
    content: Valued
    disposition: Valued
    encoding: str
    data: bytes = b""
    children: tuple[Entity, ...] = ()
    preamble: bytes = b""
    text_cache: str | None = field(default=None, repr=False)

    @property
    def media_type(self) -> str:
        return self.content.value

    @property
    def raw(self) -> bytes:
        return self.source[self.start : self.end]

    @property
    def is_multipart(self) -> bool:
        return self.media_type.startswith("multipart/") and bool(self.children)

    @property
    def file_name(self) -> str | None:
        name = self.disposition.params.get("filename") or self.content.params.get("name")
        return name[:255] if name else None

    @property
    def is_attached(self) -> bool:
        return self.disposition.value == "attachment"

    @property
    def charset(self) -> str:
        return self.content.params.get("charset", "")[:40]

    def sha256(self) -> str:
        return "" if self.is_multipart else hashlib.sha256(self.data).hexdigest()

    def text(self, reading: Reading) -> str:
        """A leaf's bytes as text, with "\\n" and without control characters. Raises TooMuch."""
        if len(self.data) > limits.TEXT_BYTES:
            raise TooMuch("text")
        if self.text_cache is None:
            charset = self.charset
            if not charset and self.media_type == "text/html":
                charset = declared_charset(self.data)
            raw, oddity = text_of(self.data, charset)
            if oddity:
                reading.note(oddity)
            text, controls = tidy(raw)
            if controls:
                reading.note(Oddity.CONTROL_CHARACTERS)
            if self.content.params.get("format", "").lower() == "flowed" and self.media_type == "text/plain":
                text = unflow(text, delete_space=self.content.params.get("delsp", "").lower() == "yes")
            self.text_cache = text
        return self.text_cache

    def walk(self) -> Iterator[Entity]:
        yield self
        for child in self.children:
            yield from child.walk()


def parse(source: bytes, reading: Reading, *, path: str = "1", wire: bool = False) -> Entity:
    """The tree of one message or decrypted layer. `wire`: it is a message as it came, with SMTP's line breaks.
    Raises TooMuch."""
    start = 0
    if wire:
        _line_breaks(source, reading)
        start = beginning(source)
    return _entity(source, start, len(source), reading, path=path, depth=0, outer=(), default=_PLAIN, mail=wire)


def looks_like_headers(data: bytes) -> bool:
    """Whether bytes begin with a header field."""
    return re.match(rb"[!-9;-~]{1,80}:[ \t]?[^\n]*\n", data) is not None


def text_entity(data: bytes, path: str, charset: str = "") -> Entity:
    """A text that came without a header of its own, such as a decrypted one."""
    return Entity(
        path=path, source=data, start=0, body=0, end=len(data), fields=Fields(),
        content=Valued("text/plain", {"charset": charset} if charset else {}),
        disposition=_NONE, encoding="", data=data,
    )  # fmt: skip


def _line_breaks(source: bytes, reading: Reading) -> None:
    returns, feeds, both = source.count(b"\r"), source.count(b"\n"), source.count(b"\r\n")
    if returns > both or 0 < both < feeds:
        reading.note(Oddity.BARE_NEWLINE)
    if b"\0" in source:
        reading.note(Oddity.NUL)


def _entity(
    source: bytes, start: int, end: int, reading: Reading, *,
    path: str, depth: int, outer: tuple[bytes, ...], default: Valued, mail: bool,
) -> Entity:  # fmt: skip
    if depth > limits.MIME_DEPTH:
        raise TooMuch("depth")
    reading.part()
    fields, body = header(source, start, end, reading, mail=mail)
    entity = Entity(
        path=path, source=source, start=start, body=body, end=end, fields=fields,
        content=_content_type(fields, default, reading),
        disposition=valued(fields.first("content-disposition") or b""),
        encoding=valued(fields.first("content-transfer-encoding") or b"").value,
    )  # fmt: skip
    if entity.media_type.startswith("multipart/"):
        _take_apart(entity, reading, depth=depth, outer=outer)
    elif entity.media_type in NESTED:
        _nested(entity, reading, depth=depth)
    else:
        _leaf(entity, reading)
    return entity


def _content_type(fields: Fields, default: Valued, reading: Reading) -> Valued:
    raw = fields.first("content-type")
    if raw is None:
        return default
    found = valued(raw)
    if found.doubled & {"boundary", "charset", "name", "protocol"}:
        reading.note(Oddity.DUPLICATE_CONTENT_HEADER)
    if _TYPE.fullmatch(found.value) is None:
        reading.note(Oddity.BAD_HEADER)
        return Valued("text/plain", found.params, found.doubled)  # RFC 2045, section 5.2
    return found


def _leaf(entity: Entity, reading: Reading) -> None:
    entity.data, oddity = octets(entity.source[entity.body : entity.end], entity.encoding)
    if oddity:
        reading.note(oddity)
    reading.unpack(len(entity.data))


def _nested(entity: Entity, reading: Reading, *, depth: int) -> None:
    _leaf(entity, reading)
    source, start, end = entity.source, entity.body, entity.end
    if entity.encoding not in IDENTITY:
        source, start, end = entity.data, 0, len(entity.data)
    if end > start:
        child = _entity(
            source, start, end, reading, path=f"{entity.path}.1", depth=depth + 1, outer=(), default=_PLAIN, mail=False
        )
        entity.children = (child,)


def _take_apart(entity: Entity, reading: Reading, *, depth: int, outer: tuple[bytes, ...]) -> None:
    boundary = entity.content.params.get("boundary", "").rstrip().encode("utf-8", "replace")
    if not boundary:
        reading.note(Oddity.NO_BOUNDARY)
        _leaf(entity, reading)
        return
    if boundary.startswith(b"=?") or any(b.startswith(boundary) or boundary.startswith(b) for b in outer):
        reading.note(Oddity.BOUNDARY_CLASH)
    spans = _spans(entity, boundary, reading)
    if entity.encoding not in IDENTITY:
        reading.note(Oddity.ENCODED_MULTIPART)
        if not spans:
            entity.source, _ = octets(entity.source[entity.body : entity.end], entity.encoding)
            reading.unpack(len(entity.source))
            entity.start, entity.body, entity.end, entity.encoding = 0, 0, len(entity.source), ""
            spans = _spans(entity, boundary, reading)
    if not spans:
        reading.note(Oddity.BOUNDARY_UNUSED)
        _leaf(entity, reading)
        return
    default = _NESTED if entity.media_type == "multipart/digest" else _PLAIN
    entity.children = tuple(
        _entity(
            entity.source, start, end, reading, path=f"{entity.path}.{number}", depth=depth + 1,
            outer=(*outer, boundary), default=default, mail=False,
        )
        for number, (start, end) in enumerate(spans, 1)
    )  # fmt: skip


def _spans(entity: Entity, boundary: bytes, reading: Reading) -> list[tuple[int, int]]:
    """Where the parts stand between the delimiter lines."""
    source = entity.source
    spans: list[tuple[int, int]] = []
    opened: int | None = None
    closed = False
    stop, false = entity.end, 0
    for start, end in _delimiters(source, b"--" + boundary, entity.body, entity.end):
        rest = source[start + len(boundary) + 2 : end].rstrip(b" \t\r")
        if rest not in (b"", b"--"):
            reading.note(Oddity.BOUNDARY_CLASH)
            false += 1
            if false > limits.RUNS:
                raise TooMuch("boundaries")
            continue
        if closed:
            reading.note(Oddity.TEXT_AFTER_END)
            break
        if opened is None and not spans:
            entity.preamble = source[entity.body : start]
        if opened is not None:
            spans.append((opened, max(opened, _before_newline(source, start))))
        opened = min(end + 1, entity.end)
        if rest:
            opened, closed, stop = None, True, end
        if len(spans) > limits.MIME_PARTS:
            raise TooMuch("parts")
    if opened is not None:
        reading.note(Oddity.BOUNDARY_UNCLOSED)
        spans.append((opened, entity.end))
    elif closed and spans and source[stop : entity.end].strip():
        reading.note(Oddity.TEXT_AFTER_END)
    return spans


def _delimiters(source: bytes, mark: bytes, at: int, stop: int) -> Iterator[tuple[int, int]]:
    """Lines that begin with the mark: where they begin, and where their line break is."""
    while (start := source.find(mark, at, stop)) >= 0:
        if start and source[start - 1] != 0x0A:
            at = start + 1
            continue
        end = source.find(b"\n", start, stop)
        end = stop if end < 0 else end
        yield start, end
        at = end


def _before_newline(source: bytes, at: int) -> int:
    """The line break before a delimiter belongs to the delimiter."""
    if source[at - 2 : at] == b"\r\n":
        return at - 2
    return at - 1 if source[at - 1 : at] == b"\n" else at

"""Header fields as they stand in a message: found in one pass, within a limit, never decoded (RFC 5322, section 2.2).

Rule: the scan ends at the first line that is neither a field nor its continuation; facts are taken from above it only,
for below it readers disagree on what is a header.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_FIELD: Final = re.compile(rb"([!-9;-~]++)[ \t]*+:([^\r\n]*+(?:\r\n[ \t][^\r\n]*+)*+)\r\n")


@dataclass(frozen=True, slots=True)
class Field:
    """`name` is lower-case; `value` is folded and raw; `start` and `end` are its place in the message."""

    name: bytes
    value: bytes
    start: int
    end: int

    def text(self) -> str:
        """Unfolded, as UTF-8 (RFC 6532); other octets become surrogates, which no grammar takes."""
        return self.value.replace(b"\r\n", b"").decode("utf-8", "surrogateescape").strip(" \t")


@dataclass(frozen=True, slots=True)
class Head:
    """The header block. `body` is where the body starts: after the empty line, or where the fields end without one."""

    fields: tuple[Field, ...]
    body: int

    def named(self, name: bytes) -> Iterator[Field]:
        return (field for field in self.fields if field.name == name)

    def only(self, name: bytes) -> Field | None:
        """The field that must be there exactly once; None if it isn't."""
        found = list(self.named(name))
        return found[0] if len(found) == 1 else None

    def first(self, name: bytes) -> Field | None:
        return next(self.named(name), None)


def scan(raw: bytes, max_bytes: int) -> Head:
    """The header block of a message with CRLF line ends. Fields beyond `max_bytes` are not seen."""
    fields: list[Field] = []
    at = 0
    while match := _FIELD.match(raw, at, max_bytes):
        fields.append(Field(match[1].lower(), match[2], at, match.end()))
        at = match.end()
    return Head(tuple(fields), at + 2 if raw.startswith(b"\r\n", at) else at)

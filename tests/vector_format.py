"""The vectors' format: a text header, a blank line, the message. `tests/vectors/README.md` explains it to authors.

Rules:
1. One success or failure each. An unknown header key, an unknown value or a missing comment fails the parse.
2. What is stated is exact where a wrong gateway could differ: the decision, findings, what the agent sees, the answer.
3. A vector holds no key material and no ciphertext: what needs cryptography says so (`protect`), and is made anew by
   real programs with the fixed test people.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent / "vectors"
DECISIONS: Final = ("accept", "hold", "defer", "reject")
CHANNELS: Final = ("email", "wire", "reply", "box", "layer")


class FormatError(ValueError):
    """The vector says something that has no meaning."""


@dataclass(frozen=True, slots=True)
class Record:
    """A line of zone data: `NAME TYPE VALUE`, or `NAME FAIL` for a name whose servers don't answer."""

    name: str
    kind: str
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vector:
    """`None` and `()` mean that nothing is stated."""

    name: str
    comment: str
    expect: str
    channel: str = "email"
    message: bytes = field(repr=False, default=b"")
    # how it comes
    sender: str | None = "alice@example.org"
    to: tuple[str, ...] = ("support@acme.example",)
    tls: str = "1.3"
    peer: str = "127.0.0.1"
    helo: str = "client.example.org"
    dns: tuple[Record, ...] = ()
    at: datetime | None = None
    repeat: int = 1
    before: str = ""
    # how it is made
    escapes: bool = False
    generate: str = ""
    protect: str = ""
    damage: str = ""
    dkim: str = ""
    inject: str = ""
    # what is stated
    answer: str = ""
    findings: tuple[str, ...] = ()
    exact: bool = True
    subject: str | None = None
    sees: tuple[str, ...] = ()
    hides: tuple[str, ...] = ()
    attachments: tuple[str, ...] = ()
    redacted: tuple[tuple[str, int], ...] = ()
    encrypted: str = ""
    signed_by: str = ""
    authenticated: str = ""
    protection: str = ""
    canaries: tuple[str, ...] = ()
    alone: str = ""
    queued: int | None = None

    @property
    def code_layers(self) -> frozenset[tuple[str, str]]:
        """(layer, code) of what it states; the layer is "" where the code alone tells it."""
        return frozenset(_split(finding) for finding in self.findings)

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(code for _, code in self.code_layers)


def _split(finding: str) -> tuple[str, str]:
    layer, _, code = finding.rpartition("/")
    return layer, code


def load(path: Path) -> Vector:
    """Raises FormatError."""
    try:
        return parse(str(path.relative_to(FOLDER).with_suffix("")), path.read_bytes())
    except FormatError as error:
        raise FormatError(f"{path.name}: {error}") from None


def load_all(folder: Path = FOLDER) -> list[Vector]:
    return [load(path) for path in sorted(folder.rglob("*.txt"))]


def parse(name: str, content: bytes) -> Vector:
    """Raises FormatError."""
    head, gap, message = content.partition(b"\n\n")
    if not gap:
        head, message = content.rstrip(b"\n"), b""
    told: dict[str, list[str]] = {}
    for line in head.decode("utf-8").split("\n"):
        key, colon, value = line.partition(":")
        if not colon or key not in _KEYS:
            raise FormatError(f"unknown header {key!r}")
        told.setdefault(key, []).append(value.strip())
    given: dict[str, object] = {"name": name}
    for key, values in told.items():
        if key not in _MANY and len(values) > 1:
            raise FormatError(f"{key} stands twice")
        given[_NAMES.get(key, key)] = _KEYS[key](values)
    if "comment" not in given or "expect" not in given:
        raise FormatError("comment and expect must be there")
    vector = Vector(message=message, **given)  # type: ignore[arg-type]
    _consistent(vector)
    return vector


def crlf(text: bytes) -> bytes:
    """Lines of a vector's message as they go over the wire."""
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


_ESCAPE: Final = re.compile(rb"\\(x[0-9a-fA-F]{2}|[rnt0\\]|\r?\n)")
_SHORT: Final = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"\\": b"\\", b"\n": b"", b"\r\n": b""}


def unescaped(text: bytes) -> bytes:
    r"""With `escapes: on`: \r \n \t \0 \\ \xNN are octets, and a backslash before a line's end joins lines."""

    def octet(found: re.Match[bytes]) -> bytes:
        word = found[1]
        return bytes([int(word[1:], 16)]) if word.startswith(b"x") else _SHORT[word]

    return _ESCAPE.sub(octet, text)


def _consistent(vector: Vector) -> None:
    if vector.generate and vector.protect:
        raise FormatError("generate and protect exclude each other")
    if vector.channel == "wire" and vector.queued is None:
        raise FormatError("a wire vector says how many messages it leaves (queued)")
    if vector.channel in ("box", "layer") and not vector.inject:
        raise FormatError(f"a {vector.channel} vector says what is injected (inject)")
    if vector.expect != "accept" and not (vector.findings or vector.answer or vector.channel == "wire"):
        raise FormatError("what doesn't pass says why (finding or answer)")
    if vector.sees and vector.expect != "accept" and vector.channel == "email":
        raise FormatError("nobody sees what doesn't pass")


# --- values


def _text(values: list[str]) -> str:
    return values[0]


def _texts(values: list[str]) -> tuple[str, ...]:
    return tuple(values)


def _lines(values: list[str]) -> tuple[str, ...]:
    r"""Texts in which \n is a line break."""
    return tuple(value.replace("\\n", "\n").replace("\\t", "\t") for value in values)


def _one_of(*allowed: str) -> Callable[[list[str]], str]:
    def read(values: list[str]) -> str:
        if values[0] not in allowed:
            raise FormatError(f"{values[0]!r} is none of {', '.join(allowed)}")
        return values[0]

    return read


def _flag(values: list[str]) -> bool:
    return _one_of("on", "off")(values) == "on"


def _number(values: list[str]) -> int:
    if not values[0].isdecimal():
        raise FormatError(f"{values[0]!r} is no number")
    return int(values[0])


def _sender(values: list[str]) -> str | None:
    return None if values[0] == "<>" else values[0]


def _records(values: list[str]) -> tuple[Record, ...]:
    def read(line: str) -> Record:
        name, _, rest = line.partition(" ")
        kind, _, value = rest.partition(" ")
        if kind == "FAIL":
            return Record(name, kind)
        if kind not in ("TXT", "A", "AAAA", "MX", "PTR") or not value:
            raise FormatError(f"{line!r} is no record")
        return Record(name, kind, value)

    return tuple(read(line) for line in values)


def _counts(values: list[str]) -> tuple[tuple[str, int], ...]:
    def read(line: str) -> tuple[str, int]:
        kind, _, number = line.partition(" ")
        return kind, int(number or 1)

    return tuple(read(line) for line in values)


def _time(values: list[str]) -> datetime:
    found = datetime.fromisoformat(values[0])
    if found.tzinfo is None:
        raise FormatError("at has no time zone")
    return found


def _codes(values: list[str]) -> tuple[str, ...]:
    for value in values:
        if not re.fullmatch(r"(?:[a-z]+/)?[a-z]+\.[a-z0-9-]+", value):
            raise FormatError(f"{value!r} is no finding")
    return tuple(values)


_KEYS: Final[dict[str, Callable[[list[str]], object]]] = {
    "comment": lambda values: " ".join(values),
    "channel": _one_of(*CHANNELS),
    "from": _sender,
    "to": _texts,
    "tls": _one_of("1.3", "1.2", "none"),
    "peer": _text,
    "helo": _text,
    "dns": _records,
    "at": _time,
    "repeat": _number,
    "before": _text,
    "escapes": _flag,
    "generate": _text,
    "protect": _text,
    "damage": _text,
    "dkim": _text,
    "inject": _text,
    "expect": _one_of(*DECISIONS),
    "answer": _text,
    "finding": _codes,
    "exact": _flag,
    "subject": _text,
    "sees": _lines,
    "hides": _lines,
    "attachment": _texts,
    "redacted": _counts,
    "encrypted": _one_of("full", "partial", "none"),
    "signed-by": _text,
    "authenticated": _text,
    "protection": _one_of("sealed", "clear", "blocked"),
    "canary": _texts,
    "alone": _one_of(*DECISIONS),
    "queued": _number,
}
_MANY: Final = {"comment", "to", "dns", "finding", "sees", "hides", "attachment", "redacted", "canary"}
_NAMES: Final = {
    "from": "sender", "finding": "findings", "attachment": "attachments", "signed-by": "signed_by",
    "canary": "canaries",
}  # fmt: skip


def keys() -> Iterator[str]:
    """All header keys, for the README's test."""
    yield from _KEYS

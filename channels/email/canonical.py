"""Canonical forms of header fields and bodies (RFC 6376, section 3.4), in linear time, and tag lists (section 3.2).

Rule: no regular expression with a choice of where to stop runs over a body; the obvious one for trailing blanks is
quadratic and has taken mail servers down.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from channels.email.headers import Field

Form = Literal["simple", "relaxed"]
TAGS: Final = 64
_TAG: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_]*")
_VALUE: Final = re.compile(rb"[!-:<-~ \t\r\n\x80-\xff]*+")
_BLANK: Final = b" \t\r\n"
_SIGNATURE_VALUE: Final = re.compile(rb"((?:\A|;)[ \t\r\n]*+b[ \t\r\n]*+=)[^;]*+")


class TagError(ValueError):
    """Not a tag list. Its text is a fixed token."""


def tags(value: bytes, *, lenient: bool = False) -> Mapping[str, bytes]:
    """A tag list (section 3.2): names are case-sensitive and unique; values without their outer blanks. `lenient`, for
    key records: empty tags are passed over. Raises TagError."""
    parts = value.split(b";", TAGS + 1)
    if len(parts) > TAGS + 1:
        raise TagError("tags.too-many")
    if not parts[-1].strip(_BLANK):
        parts.pop()
    found: dict[str, bytes] = {}
    for part in parts:
        if lenient and not part.strip(_BLANK):
            continue
        name, equals, text = part.partition(b"=")
        name, text = name.strip(_BLANK), text.strip(_BLANK)
        if not equals or not _TAG.fullmatch(name) or not _VALUE.fullmatch(text):
            raise TagError("tags.syntax")
        key = name.decode("ascii")
        if key in found:
            raise TagError("tags.repeated")
        found[key] = text
    return found


def without_blanks(value: bytes) -> bytes:
    return value.translate(None, _BLANK)


def collapsed(data: bytes) -> bytes:
    """Runs of blanks and tabs as one blank. Each pass halves the runs."""
    data = data.replace(b"\t", b" ")
    while b"  " in data:
        data = data.replace(b"  ", b" ")
    return data


def relaxed_field(name: str, value: bytes) -> bytes:
    """Without the final CRLF."""
    return name.encode("ascii") + b":" + collapsed(value.replace(b"\r\n", b"")).strip(b" ")


def canonical_field(each: Field, form: Form) -> bytes:
    """Without the final CRLF."""
    return relaxed_field(each.name, each.value) if form == "relaxed" else each.raw


def unsigned(signature: Field) -> Field:
    """A signature field with the value of its b= taken out (section 3.5)."""
    value = _SIGNATURE_VALUE.sub(rb"\1", signature.value, count=1)
    return Field(signature.name, signature.raw[: len(signature.raw) - len(signature.value)] + value, value)


def canonical_body(body: bytes, form: Form) -> bytes:
    """Sections 3.4.3 and 3.4.4."""
    if form == "relaxed":
        body = collapsed(body).replace(b" \r\n", b"\r\n")
        body = body.removesuffix(b" ")
    body = _without_empty_lines(body)
    if not body:
        return b"" if form == "relaxed" else b"\r\n"
    return body if body.endswith(b"\r\n") else body + b"\r\n"


def _without_empty_lines(body: bytes) -> bytes:
    """Takes all CRLF pairs from the end, then gives the last line its own back."""
    kept = body.rstrip(b"\r\n")
    tail = body[len(kept) :]
    if not tail.endswith(b"\r\n"):
        return body
    broken = max(tail.rfind(b"\n\n"), tail.rfind(b"\r\r"))
    start = broken + 1 if broken >= 0 else 0
    if tail[start : start + 1] == b"\n":
        start += 1
    kept += tail[:start]
    return kept + b"\r\n" if kept else b""


@dataclass(slots=True)
class Body:
    """A body and the hashes that were taken of it."""

    data: bytes
    _forms: dict[Form, bytes] = field(default_factory=dict)
    _hashes: dict[tuple[Form, int | None], bytes] = field(default_factory=dict)

    def sha256(self, form: Form, length: int | None = None) -> bytes:
        """`length`: only so many octets of the canonical form."""
        key = (form, length)
        if key not in self._hashes:
            self._hashes[key] = hashlib.sha256(memoryview(self._canonical(form))[:length]).digest()
        return self._hashes[key]

    def length(self, form: Form) -> int:
        return len(self._canonical(form))

    def _canonical(self, form: Form) -> bytes:
        if form not in self._forms:
            self._forms[form] = canonical_body(self.data, form)
        return self._forms[form]


def signed_fields(fields: Sequence[Field], names: Sequence[str]) -> list[Field]:
    """Which instances a list of names signs: each name the next one from below (section 5.4.2)."""
    below: dict[str, list[Field]] = {}
    for each in fields:
        below.setdefault(each.name, []).append(each)
    chosen: list[Field] = []
    for name in names:
        if below.get(name):
            chosen.append(below[name].pop())
    return chosen

"""The canary sweep: whether a secret of a message stands anywhere, as text or in an encoding that programs use.

    sweep(["4111 1111 1111 1111"], {"log": b"…", "database": b"…"})      # raises AssertionError, naming place and form

Rules:
1. A canary is looked for as it was written, without its separators where it is a number, in both UTF-16 orders, in
   base64 at each of the three offsets, in hexadecimal, in quoted-printable and as URL, JSON and HTML escapes.
2. A place is bytes with a name. What can't be read is a failure of the sweep, not an empty place.
3. The report names the canary by its number and form, never by its text.
"""

from __future__ import annotations

import base64
import html
import json
import quopri
import re
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

MARK: Final = "kanari"
"""Canaries that are words begin with it, so that one look finds all of them."""
CARDS: Final = (
    "4111 1111 1111 1111", "5555 5555 5555 4444", "2223 0031 2200 3222", "3782 822463 10005", "4242 4242 4242 4242",
)  # fmt: skip
"""The test numbers that tests write most."""
SHORTEST: Final = 6
"""Shorter texts occur by chance in megabytes of ciphertext."""


@cache
def forms(canary: str) -> dict[str, bytes]:
    """Every form of one canary that is looked for. Raises ValueError for one that is too short to mean anything."""
    spellings = {"text": canary}
    bare = re.sub(r"[^0-9A-Za-z]", "", canary)
    if sum(letter.isdigit() for letter in bare) >= 8:
        spellings["bare"] = bare
    found: dict[str, bytes] = {}
    for name, text in spellings.items():
        raw = text.encode()
        if len(raw) < SHORTEST:
            raise ValueError("a canary needs more characters")
        found |= {
            name: raw,
            f"{name}, UTF-16 LE": text.encode("utf-16-le"),
            f"{name}, UTF-16 BE": text.encode("utf-16-be"),
            f"{name}, hexadecimal": raw.hex().encode(),
            f"{name}, HEXADECIMAL": raw.hex().upper().encode(),
            f"{name}, quoted-printable": quopri.encodestring(raw, quotetabs=True).replace(b"=\n", b""),
            f"{name}, URL": urllib.parse.quote(text, safe="").encode(),
            f"{name}, form": urllib.parse.quote_plus(text).encode(),
            f"{name}, JSON": json.dumps(text)[1:-1].encode(),
            f"{name}, HTML": html.escape(text).encode(),
        }
        for offset in range(3):
            found[f"{name}, base64 +{offset}"] = _base64(raw, offset)
            found[f"{name}, base64url +{offset}"] = _base64(raw, offset).replace(b"+", b"-").replace(b"/", b"_")
    once = {form: name for name, form in reversed(found.items()) if len(form) >= SHORTEST}
    return {name: form for form, name in once.items()}


def _base64(raw: bytes, offset: int) -> bytes:
    """What is always the same of it, wherever it stands in the encoded bytes."""
    whole = base64.b64encode(bytes(offset) + raw).rstrip(b"=")
    first = (0, 2, 3)[offset]
    last = len(whole) - ((len(raw) + offset) % 3 > 0)
    return whole[first:last]


def occurrences(canaries: Iterable[str], content: bytes) -> Iterator[tuple[int, str]]:
    """(number of the canary, form)."""
    for number, canary in enumerate(canaries):
        for name, form in forms(canary).items():
            if form in content:
                yield number, name


def sweep(canaries: Iterable[str], places: Mapping[str, bytes]) -> None:
    """Raises AssertionError."""
    wanted = tuple(dict.fromkeys(canaries))
    found = [
        f"canary {number} as {form} in {place}"
        for place, content in places.items()
        for number, form in occurrences(wanted, content)
    ]
    assert not found, "; ".join(found[:20])


@dataclass
class Disk:
    """All files below some folders, read anew when they changed. What lies in `not_theirs` is no place (the test's own
    inputs)."""

    folders: tuple[Path, ...]
    not_theirs: frozenset[Path] = frozenset()
    _kept: dict[Path, tuple[int, int, frozenset[str]]] = field(default_factory=dict)

    def files(self) -> Iterator[Path]:
        for folder in self.folders:
            for path in sorted(folder.rglob("*")):
                if path.is_file() and not path.is_symlink() and path not in self.not_theirs:
                    yield path

    def places(self) -> dict[str, bytes]:
        """Their content now, by their path below the folder. A file that goes meanwhile is gone."""
        found: dict[str, bytes] = {}
        for path in self.files():
            try:
                found[f"file {path.name} in {path.parent.name}"] = path.read_bytes()
            except FileNotFoundError:
                continue
        return found

    def sweep(self, canaries: Iterable[str]) -> None:
        """As `sweep`, but a file that hasn't changed since it was last looked through for a canary isn't read again."""
        wanted = frozenset(MARK if canary.startswith(MARK) else canary for canary in canaries)
        for path in self.files():
            try:
                facts = path.stat()
                size, changed = facts.st_size, facts.st_mtime_ns
                before = self._kept.get(path)
                known = before[2] if before is not None and before[:2] == (size, changed) else frozenset()
                if wanted <= known:
                    continue
                content = path.read_bytes()
            except FileNotFoundError:
                continue
            sweep(wanted - known, {f"file {path.name} in {path.parent.name}": content})
            self._kept[path] = (size, changed, known | wanted)

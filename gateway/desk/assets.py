"""Static files, served from memory under names with their own hash.

Rules: the files are read once, at start; a request is looked up in a dictionary, so no path from outside ever reaches
the file system (H3). A changed file has another name, so it may be cached for ever. Modules import each other by
plain names; those are replaced by the hashed ones here, which is all the building there is.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

TYPES: Final = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
IMPORT: Final = re.compile(r'(?<=from ")\./([a-z-]+\.js)(?=")|(?<=import ")\./([a-z-]+\.js)(?=")')
PREFIX: Final = "/static/"


@dataclass(frozen=True, slots=True)
class Asset:
    body: bytes
    media_type: str


@dataclass(frozen=True, slots=True)
class Assets:
    """`urls`: plain name → URL; `by_name`: hashed name → content."""

    urls: Mapping[str, str]
    by_name: Mapping[str, Asset]

    def url(self, name: str) -> str:
        return self.urls[name]


@cache
def assets() -> Assets:
    folder = resources.files("gateway.desk").joinpath("static")
    files = {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in TYPES}
    urls: dict[str, str] = {}
    by_name: dict[str, Asset] = {}

    def add(name: str, above: tuple[str, ...]) -> str:
        if name in above:
            raise ValueError(f"{name} imports itself")
        if name not in urls:
            kind = name.rpartition(".")[2]
            body = files[name]
            if kind == "js":
                text = body.decode()
                for match in {match[1] or match[2] for match in IMPORT.finditer(text)}:
                    text = text.replace(f'"./{match}"', f'"{add(match, (*above, name))}"')
                body = text.encode()
            hashed = f"{name.rpartition('.')[0]}.{hashlib.sha256(body).hexdigest()[:16]}.{kind}"
            by_name[hashed] = Asset(body, TYPES[kind])
            urls[name] = PREFIX + hashed
        return urls[name]

    for name in files:
        add(name, ())
    return Assets(MappingProxyType(urls), MappingProxyType(by_name))

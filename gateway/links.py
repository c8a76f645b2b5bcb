"""Where a link leads, in words an agent can trust: the host that would be asked, in A-labels."""

from __future__ import annotations

import re
from typing import Final

import idna

_JUNK: Final = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_SHAPE: Final = re.compile(r"(?:([a-z][a-z0-9+.-]{0,20}):)?(?://|\\\\|/\\|\\/)([^/\\?#]*)", re.IGNORECASE)
_HOST: Final = re.compile(r"[a-z0-9._-]{1,253}")
_HOST_CHARACTERS: Final = 253


def destination(href: str, shown: str) -> str:
    """The host of a web link, an address of a mail link, a number of a telephone link. "" where nothing is to be said:
    no such link, or the visible text says the very same."""
    packed = _JUNK.sub("", href[:4096])
    scheme, _, rest = packed.partition(":")
    if scheme.lower() in ("mailto", "tel", "sms"):
        target = rest.partition("?")[0][:254]
        return "" if not target or target.lower() in shown.lower() else target
    shape = _SHAPE.match(packed)
    if shape is None or (shape[1] or "https").lower() not in ("http", "https", "ftp"):
        return ""
    name = host(shape[2])
    return "" if _says(shown, name) else name


def host(authority: str) -> str:
    """Without user and port, in A-labels; "an unreadable address" when it is none."""
    name = authority.rpartition("@")[2]
    if name.startswith("["):
        name = name.partition("]")[0].lstrip("[")
        return f"[{name}]" if re.fullmatch(r"[0-9A-Fa-f:.]{2,45}", name) else "an unreadable address"
    name = name.partition(":")[0].rstrip(".").lower()
    if not name.isascii() and len(name) <= _HOST_CHARACTERS:
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return "an unreadable address"
    return name if _HOST.fullmatch(name) else "an unreadable address"


def _says(shown: str, name: str) -> bool:
    """Whether the visible text is itself that address: then it needn't be repeated."""
    shape = re.match(r"(?:https?://)?([^/\s?#:]{1,253})", shown.strip(), re.IGNORECASE)
    if shape is None or re.search(r"\s", shown.strip()):
        return False
    return shape[1].lower().removeprefix("www.") == name.removeprefix("www.")

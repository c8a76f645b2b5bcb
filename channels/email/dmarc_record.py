"""DMARC policy records: RFC 9989, section 4.7, and the stricter RFC 7489, section 6.4. Pure, linear in time.

Rules:
1. `v=DMARC1` stands first, in capitals; else it is no DMARC record at all.
2. Without a valid policy a record counts as `p=none` if it names somebody who wants reports, else as nothing.
3. Tags that say nothing valid are passed over; a tag that is said twice makes the record void: who knows which holds?
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from channels.email.address import domain_name

TAGS: Final = 64
RECORDS_KEPT: Final = 256
_BLANK: Final = " \t"
_VERSION: Final = re.compile(rb"[vV][ \t]*+=[ \t]*+DMARC1[ \t]*+(?:;|\Z)")
_SIZE: Final = re.compile(r"([0-9]{1,20})[kmgt]?", re.IGNORECASE)
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[!-~]+")
_KNOWN: Final = frozenset(("v", "p", "sp", "np", "psd", "t", "pct", "adkim", "aspf", "fo", "rf", "ri", "rua", "ruf"))


class Policy(StrEnum):
    NONE = "none"
    QUARANTINE = "quarantine"
    REJECT = "reject"

    def lowered(self) -> Policy:
        """What a domain in testing mode asks for (t=y)."""
        return Policy.QUARANTINE if self is Policy.REJECT else Policy.NONE


class Grammar(Enum):
    """RFC7489: p must stand right behind v. RFC9989: anywhere."""

    RFC7489 = "rfc7489"
    RFC9989 = "rfc9989"


class RecordError(ValueError):
    """A record to which no DMARC processing applies. Its text is a fixed token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcRecord:
    """`p` is what counts, `stated` whether the record said so itself. `psd` is "y", "n" or "u". `pct` (gone in RFC
    9989) is only reported; what can't be read as a percentage promises nothing and is 0."""

    p: Policy
    sp: Policy | None = None
    np: Policy | None = None
    stated: bool = True
    strict_dkim: bool = False
    strict_spf: bool = False
    psd: str = "u"
    testing: bool = False
    pct: int = 100
    tags: Mapping[str, str]


def is_dmarc(text: bytes) -> bool:
    return _VERSION.match(text) is not None


@lru_cache(RECORDS_KEPT)
def parse(text: bytes, *, grammar: Grammar = Grammar.RFC7489) -> DmarcRecord:
    """One record. Raises RecordError."""
    if not is_dmarc(text):
        raise RecordError("version")
    tags = _tags(text.decode("utf-8", "replace"))
    p, sp, np = (_policy(tags, tag) for tag in ("p", "sp", "np"))
    in_place = grammar is Grammar.RFC9989 or list(tags)[1:2] == ["p"]
    wrong = any(tag in tags and value is None for tag, value in (("sp", sp), ("np", np)))
    stated = True
    if p is None or not in_place or wrong:
        if not any(is_report_uri(each) for each in tags.get("rua", "").split(",")):
            raise RecordError("policy")
        p, sp, np, stated = Policy.NONE, None, None, False
    pct = tags.get("pct", "100")
    psd = tags.get("psd", "u").lower()
    return DmarcRecord(
        p=p,
        sp=sp,
        np=np,
        stated=stated,
        strict_dkim=tags.get("adkim", "r").lower() == "s",
        strict_spf=tags.get("aspf", "r").lower() == "s",
        psd=psd if psd in ("y", "n") else "u",
        testing=tags.get("t", "n").lower() == "y",
        pct=int(pct) if pct.isascii() and pct.isdigit() and len(pct) <= 3 and int(pct) <= 100 else 0,
        tags=MappingProxyType(tags),
    )


def is_report_uri(text: str) -> bool:
    """An address for reports, with the size limit of RFC 7489, section 6.4, if it has one."""
    uri, mark, size = text.strip(_BLANK).partition("!")
    if mark:
        match = _SIZE.fullmatch(size)
        if not match or int(match[1]) >= 1 << 64:
            return False
    if not _URI.fullmatch(uri):
        return False
    scheme, _, rest = uri.partition(":")
    if scheme.lower() != "mailto":
        return True
    local, _, domain = rest.partition("?")[0].rpartition("@")
    return bool(local) and domain_name(domain) is not None


def _tags(text: str) -> dict[str, str]:
    parts = text.split(";", TAGS + 1)
    if len(parts) > TAGS + 1:
        raise RecordError("tags.too-many")
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        name, value = name.strip(_BLANK).lower(), value.strip(_BLANK)
        if not equals or not name:
            continue
        if name in found and name in _KNOWN:
            raise RecordError("tags.repeated")
        found.setdefault(name, value)
    return found


def _policy(tags: Mapping[str, str], tag: str) -> Policy | None:
    try:
        return Policy(tags[tag].lower())
    except (KeyError, ValueError):
        return None

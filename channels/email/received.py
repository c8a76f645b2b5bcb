"""Received lines as relays write them (RFC 5321, section 4.4), read strictly: which address the relay saw, what that
peer called itself, and whether TLS was used. Known forms: Postfix, sendmail, Exim, Exchange, Google.

Rule: what isn't one of them is None. A line is only worth what its writer is; whose lines count, `hops` says.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

_FROM: Final = re.compile(r"from[ \t]++([^\s()<>;]{1,255})[ \t]*+")
_BY: Final = re.compile(r"by[ \t]++[^\s()<>;]{1,255}(?=[\s(;]|$)")
_BRACKETED: Final = re.compile(r"\[(?:IPv6:)?([0-9A-Fa-f:.]{2,45})\](?::\d{1,5})?")
_HELO: Final = re.compile(r"\bhelo=([^\s()]{1,255})", re.IGNORECASE)
_VERSION: Final = re.compile(r"(?:^using |\bversion=)TLSv?1(?:[._]([0-3]))?(?![0-9])")
_WITH: Final = re.compile(r"(?:^|\s)with[ \t]++([A-Za-z0-9]{1,20})(?=\s|$)")
_TLS_PROTOCOLS: Final = frozenset(  # RFC 3848, RFC 6531
    ("ESMTPS", "ESMTPSA", "UTF8SMTPS", "UTF8SMTPSA", "LMTPS", "LMTPSA", "UTF8LMTPS", "UTF8LMTPSA", "SMTPS")
)
_COMMENT_DEPTH: Final = 4


@dataclass(frozen=True, slots=True)
class Trace:
    """`tls` is the version ("TLSv1.3"), "TLS" when only that it was used is known, None for clear."""

    peer: str
    helo: str
    tls: str | None


def parse(value: str) -> Trace | None:
    """An unfolded Received field's value."""
    start = _FROM.match(value)
    if start is None:
        return None
    remarks: list[str] = []
    at = start.end()
    while value.startswith("(", at):
        end = _comment(value, at)
        if end is None:
            return None
        remarks.append(value[at + 1 : end - 1])
        at = end
        while value[at : at + 1] in (" ", "\t"):
            at += 1
    if not remarks or not _BY.match(value, at):
        return None
    found = _peer(start[1], remarks[0])
    if found is None:
        return None
    return Trace(found[0], found[1], _tls(remarks[1:], value[at:]))


def _comment(value: str, at: int) -> int | None:
    depth = 0
    for index in range(at, len(value)):
        if value[index] == "(":
            depth += 1
            if depth > _COMMENT_DEPTH:
                return None
        elif value[index] == ")":
            depth -= 1
            if depth == 0:
                return index + 1
    return None


def _peer(name: str, info: str) -> tuple[str, str] | None:
    helo = _HELO.search(info)
    bracketed = _BRACKETED.findall(info)
    if len(bracketed) > 1:
        return None
    if bracketed:  # Postfix, sendmail, Google: name (reverse [address]); Exim: reverse ([address] helo=name)
        peer = canonical(bracketed[0])
    elif helo is None:  # Exchange: name (address)
        peer = canonical(info.strip())
    else:  # Exim: [address] (helo=name)
        literal = _BRACKETED.fullmatch(name)
        peer = None if literal is None else canonical(literal[1])
    return None if peer is None else (peer, helo[1] if helo else name)


def _tls(remarks: list[str], rest: str) -> str | None:
    plain, inner = _outside(rest.partition(";")[0])
    for remark in (*remarks, *inner):
        version = _VERSION.search(remark)
        if version is not None:
            return "TLSv1" if version[1] in (None, "0") else f"TLSv1.{version[1]}"
    protocol = _WITH.search(plain)
    return "TLS" if protocol is not None and protocol[1].upper() in _TLS_PROTOCOLS else None


def _outside(text: str) -> tuple[str, list[str]]:
    """The text without its comments, and the comments."""
    plain: list[str] = []
    inner: list[str] = []
    at = 0
    while (opening := text.find("(", at)) >= 0:
        end = _comment(text, opening)
        if end is None:
            break
        plain.append(text[at:opening])
        inner.append(text[opening + 1 : end - 1])
        at = end
    plain.append(text[at:])
    return " ".join(plain), inner


def canonical(text: str) -> str | None:
    """One spelling of an IP address: no zone, no port, IPv4 inside IPv6 as IPv4. None for what is none."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(found)

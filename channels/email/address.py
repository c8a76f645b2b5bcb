"""Mail addresses, by a strict grammar of our own, in linear time.

Two forms are known: the Mailbox of RFC 5321, section 4.1.2 (with RFC 6531's characters), and the mailbox list of
RFC 5322, section 3.4, in which headers name people. What doesn't fit is None, never a guess: the standard library's
parsers guess (CVE-2023-27043), and take a minute for some headers (cpython #136063).

Rules:
1. An `Address` has a lower-case domain in A-labels (RFC 5890); its local part stands as it came, but for
   needless quotes.
2. Source routes, address literals, groups, and white space inside an address do not parse.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import idna
import idna.uts46data  # idna loads it on first use, and a parser worker can't open a file any more

from channels.contract import Address

LOCAL_BYTES: Final = 64  # RFC 5321, section 4.5.3.1.1
DOMAIN_BYTES: Final = 253  # RFC 5321, section 4.5.3.1.2, gives 255 with the length octets of the DNS
VALUE_CHARACTERS: Final = 8_192  # a longer header value names no one

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_DOT_STRING: Final = re.compile(rf"[{_ATEXT}]++(?:\.[{_ATEXT}]++)*+")
_DOT_STRING_UTF8: Final = re.compile(rf"[{_ATEXT}\u0080-\U0010ffff]++(?:\.[{_ATEXT}\u0080-\U0010ffff]++)*+")
_QUOTED: Final = re.compile(r'"(?:[ !#-\[\]-~]|\\[ -~])*+"')
_QUOTED_UTF8: Final = re.compile(r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*+"')
_DOMAIN: Final = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_PLAIN: Final = re.compile(
    rf"([{_ATEXT}]++(?:\.[{_ATEXT}]++)*+)@"
    r"((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)",
    re.IGNORECASE | re.ASCII,
)
_SPACE: Final = re.compile(r"[ \t\r\n]++")
_TOKEN: Final = re.compile(r'"(?:[^"\\\r\n]|\\[^\r\n])*+"|[^\x00-\x20()<>@,;:\\".\[\]\x7f]++|[.<>@,]')
_COMMENT_DEPTH: Final = 10


@dataclass(frozen=True, slots=True)
class Named:
    """A mailbox in a header. `name` is the display name as it stands: quotes removed, encoded words not decoded."""

    name: str
    address: Address


def parse(text: str, *, utf8: bool = True) -> Address | None:
    """An addr-spec with nothing around it."""
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        local, domain = plain.groups()
        if len(local) > LOCAL_BYTES or len(domain) > DOMAIN_BYTES:
            return None
        return Address(f"{local}@{domain.lower()}")
    return _rarer(text, utf8=utf8)


def _rarer(text: str, *, utf8: bool) -> Address | None:
    """Quoted local parts and characters beyond ASCII."""
    if len(text) > LOCAL_BYTES + DOMAIN_BYTES + 1 or not (text.isascii() or (utf8 and text.isprintable())):
        return None
    local, at, domain = text.rpartition("@")
    if not at:
        return None
    quoted, dotted = (_QUOTED_UTF8, _DOT_STRING_UTF8) if utf8 else (_QUOTED, _DOT_STRING)
    if quoted.fullmatch(local):
        local = _unquoted(local, dotted)
    elif not dotted.fullmatch(local):
        return None
    ascii_domain = _a_labels(domain)
    if ascii_domain is None or len(local.encode()) > LOCAL_BYTES:
        return None
    return Address(f"{local}@{ascii_domain}")


def _unquoted(local: str, dotted: re.Pattern[str]) -> str:
    content = re.sub(r"\\(.)", r"\1", local[1:-1])
    if dotted.fullmatch(content):
        return content
    return '"' + re.sub(r'(["\\])', r"\\\1", content) + '"'


def _a_labels(domain: str) -> str | None:
    if not domain.isascii():
        if len(domain) > DOMAIN_BYTES:
            return None
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    domain = domain.lower()
    return domain if len(domain) <= DOMAIN_BYTES and _DOMAIN.fullmatch(domain) else None


def domain_of(address: Address) -> str:
    return address.rpartition("@")[2]


def local_part_of(address: Address) -> str:
    return address.rpartition("@")[0]


def mailboxes(value: str) -> tuple[Named, ...] | None:
    """A mailbox list as in From or Reply-To, unfolded or folded. None unless all of it parses."""
    if len(value) > VALUE_CHARACTERS:
        return None
    tokens = _tokens(value)
    if tokens is None:
        return None
    found: list[Named] = []
    start = 0
    for index in [*(i for i, word in enumerate(tokens) if word == ","), len(tokens)]:
        named = _mailbox(tokens[start:index])
        if named is None:
            return None
        found.append(named)
        start = index + 1
    return tuple(found)


def only_mailbox(value: str) -> Named | None:
    """The one mailbox of a header that must have exactly one."""
    found = mailboxes(value)
    return found[0] if found is not None and len(found) == 1 else None


def _tokens(value: str) -> list[str] | None:
    """Words, specials, and "" for white space or a comment."""
    tokens: list[str] = []
    at, end = 0, len(value)
    while at < end:
        if value[at] in " \t\r\n(":
            after = _gap(value, at)
            if after is None:
                return None
            at = after
            tokens.append("")
            continue
        match = _TOKEN.match(value, at)
        if match is None:
            return None
        tokens.append(match.group())
        at = match.end()
    return tokens


def _gap(value: str, at: int) -> int | None:
    """The end of white space and comments (CFWS); None for a comment that doesn't end or nests too deep."""
    depth, end = 0, len(value)
    while at < end:
        char = value[at]
        if char == "(":
            depth += 1
            if depth > _COMMENT_DEPTH:
                return None
        elif depth:
            depth -= char == ")"
            at += char == "\\"
        elif char not in " \t\r\n":
            return at
        at += 1
    return None if depth else end


def _mailbox(tokens: list[str]) -> Named | None:
    while tokens and tokens[0] == "":
        tokens = tokens[1:]
    while tokens and tokens[-1] == "":
        tokens = tokens[:-1]
    if "<" not in tokens:
        address = _addr_spec(tokens)
        return None if address is None else Named("", address)
    opening = tokens.index("<")
    phrase, inside = tokens[:opening], tokens[opening + 1 :]
    if not inside or inside[-1] != ">" or not {"<", ">"}.isdisjoint((*phrase, *inside[:-1])) or "@" in phrase:
        return None
    address = _addr_spec(inside[:-1])
    if address is None:
        return None
    return Named(_phrase(phrase), address)


def _addr_spec(tokens: list[str]) -> Address | None:
    return None if not tokens or "" in tokens else parse("".join(tokens))


def _phrase(tokens: list[str]) -> str:
    words = (re.sub(r"\\(.)", r"\1", token[1:-1]) if token.startswith('"') else token or " " for token in tokens)
    return _SPACE.sub(" ", "".join(words)).strip()

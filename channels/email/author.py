"""Who wrote a message: the one mailbox of its one From field (RFC 5322, sections 3.4 and 3.6.2; in UTF-8, RFC 6532).

`author` is the only answer to this question. The author whom DMARC is about, the one by whom messages are kept in order
and the one whom an agent is shown are its answer, each time.

Rules:
1. There is an author only if all programs read the same one: no fault in the header block that would let two programs
   see two messages, one exact From, one mailbox in it.
2. What programs read in different ways is no mailbox: routes, groups, literals, comments anywhere but behind it,
   blanks, encoded words and backslashes inside an address. All fields that name people are read by this grammar.
3. `alice@example.org <alice@example.org>` is no mailbox by the grammar, but many send it, and whichever of the two a
   program takes, it takes the same one. So it is read; but only where both are equal.
4. Display names are given raw: encoded words are decoded by who shows them, after the address was read, never before.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from channels.contract import Address
from channels.email.address import ATEXT, domain_of, joined, local_part, mail_domain, parse
from channels.email.headers import SINGLE, Block, HeaderFault

FIELD_BYTES: Final = 8_192  # one header field, as gateway.limits.HEADER_BYTES; a test holds them equal

_ATOM: Final = re.compile(rf"[{ATEXT}.\u0080-\U0010ffff]++")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\[ -~])*+)"')
_QUOTED_LOCAL: Final = re.compile(rf'"[{ATEXT}. \u0080-\U0010ffff]++"')
_COMMENT: Final = re.compile(r"\(([^()\\<>@\"]*+)\)\Z")
_ENCODED: Final = re.compile(r"=\?[^?\s]++\?[bBqQ]\?[^?\s]*+\?=")
_TWICE: Final = re.compile(r"([^\s<>\",;:()\\]++)[ \t]*+<([^\s<>\",;:()\\]++)>")
_FOLD: Final = re.compile(rb"\r?\n(?=[ \t])")
_BLANK_FOLD: Final = re.compile(rb"\n[ \t]++(?=\r?\n|\r?\Z)")
_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.?)*+(?:"|\Z)|\([^()\\]*+\)|<[^<>"]*+>|,|[^",(<]++|.', re.DOTALL)

AMBIGUOUS: Final = frozenset(HeaderFault) - {HeaderFault.SPACED_NAME, HeaderFault.BLANK_FOLD, HeaderFault.LF_ENDS}
"""Faults with which two programs may see two different messages: nothing can be said of the author."""


class MailboxFault(StrEnum):
    """Why a field names nobody, or not the one that it must."""

    MISSING = "missing"
    REPEATED = "repeated"
    TOO_LARGE = "too-large"
    CONTROL = "control"
    NOT_UTF8 = "not-utf8"
    SYNTAX = "syntax"
    SEVERAL = "several"
    GROUP = "group"
    ROUTE = "route"
    COMMENT = "comment"
    ENCODED_WORD = "encoded-word"
    LOCAL_PART = "local-part"
    DOMAIN = "domain"
    LITERAL = "literal"


@dataclass(frozen=True, slots=True)
class Mailbox:
    """`name` is the display name as it stands: quotes removed, encoded words not decoded."""

    address: Address
    name: str = field(default="", repr=False)

    @property
    def domain(self) -> str:
        return domain_of(self.address)


@dataclass(frozen=True, slots=True)
class NoAuthor:
    """`reason` is "header." or "from." and a fault. `count`: how many authors are named, readable or not."""

    reason: str
    count: int


def author(block: Block) -> Mailbox | NoAuthor:
    """The one author of the message that this is the header block of, or why there is none."""
    values = block.values("from")
    faults = sorted(block.faults & AMBIGUOUS)
    if HeaderFault.SPACED_NAME in block.faults and any(not each.exact and each.name in SINGLE for each in block.fields):
        faults.append(HeaderFault.SPACED_NAME)
    found = only_mailbox(values)
    if isinstance(found, Mailbox) and not faults:
        return found
    reason = f"header.{faults[0]}" if faults else f"from.{found}"
    return NoAuthor(reason, sum(len(_split(_loose(value))) for value in values))


def only_mailbox(values: Sequence[bytes]) -> Mailbox | MailboxFault:
    """The mailbox of a field that must be there once and name one, given the values (what follows the colon, folded or
    not) of *all* fields of its name."""
    if not values:
        return MailboxFault.MISSING
    if len(values) > 1:
        return MailboxFault.REPEATED
    found = mailboxes(values[0])
    if isinstance(found, MailboxFault):
        return found
    return found[0] if len(found) == 1 else MailboxFault.SEVERAL


def mailboxes(value: bytes) -> tuple[Mailbox, ...] | MailboxFault:
    """A mailbox list, as in From or Reply-To, given its value, folded or not. All of it parses, or none."""
    if _BLANK_FOLD.search(value):
        return MailboxFault.SYNTAX
    value = _FOLD.sub(b"", value)
    if len(value) > FIELD_BYTES:
        return MailboxFault.TOO_LARGE
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return MailboxFault.NOT_UTF8
    if _has_control(text):
        return MailboxFault.CONTROL
    pieces = _split(text)
    found = [_mailbox(piece.strip(" \t")) for piece in pieces]
    readable = tuple(each for each in found if isinstance(each, Mailbox))
    if len(readable) == len(found):
        return readable
    return MailboxFault.SEVERAL if len(found) > 1 else next(each for each in found if isinstance(each, MailboxFault))


def _loose(value: bytes) -> str:
    """To be counted only."""
    return value[:FIELD_BYTES].decode("latin-1")


def _split(text: str) -> list[str]:
    """At its commas, but for those in quotes, comments and brackets."""
    pieces, at = [], 0
    for piece in _PIECE.finditer(text):
        if piece[0] == ",":
            pieces.append(text[at : piece.start()])
            at = piece.end()
    return [*pieces, text[at:]]


def _has_control(text: str) -> bool:
    """Controls but for the tabulator, line and paragraph separators, byte-order marks, lone surrogates."""
    return any(
        (ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160 or c in "\u2028\u2029\ufeff" or 0xD800 <= ord(c) < 0xE000
        for c in text
    )


def _mailbox(text: str) -> Mailbox | MailboxFault:
    comment = ""
    if text.endswith(")"):
        found = _COMMENT.search(text, max(0, text.rfind("(")))
        if not found or found.start() == 0:
            return MailboxFault.COMMENT
        comment, text = found[1], text[: found.start()].rstrip(" \t")
    words: list[str] = []
    at, end, quoted = 0, len(text), False
    while at < end and text[at] != "<":
        if text[at] in " \t":
            at += 1
            continue
        match = (_QUOTED if text[at] == '"' else _ATOM).match(text, at)
        if not match:
            break
        if text[at] == '"':
            words.append(re.sub(r"\\(.)", r"\1", match[1]))
            quoted = True
        else:
            words.append(match[0])
        at = match.end()
    if at < end and text[at] == "<":
        inside, closed, rest = text[at + 1 :].partition(">")
        if not closed or "<" in inside or rest.strip(" \t"):
            return MailboxFault.SYNTAX
        return _addressed(inside, " ".join(words) or comment)
    if at < end and text[at] != "@":
        return _fault_at(text[at])
    if quoted and not _QUOTED_LOCAL.match(text):
        return MailboxFault.SYNTAX
    if twice := _TWICE.fullmatch(text):
        return _said_twice(twice, comment)
    return _addressed(text, comment)


def _said_twice(twice: re.Match[str], comment: str) -> Mailbox | MailboxFault:
    """Rule 3."""
    said, meant = parse(twice[1]), _addressed(twice[2], comment)
    if isinstance(meant, Mailbox) and said is not None and said.lower() == meant.address.lower():
        return meant
    return meant if isinstance(meant, MailboxFault) else MailboxFault.LOCAL_PART


def _addressed(spec: str, name: str) -> Mailbox | MailboxFault:
    before, at, after = spec.rpartition("@")
    if spec.startswith("@") or ":" in before:
        return MailboxFault.ROUTE
    if "(" in spec or ")" in spec:
        return MailboxFault.COMMENT
    if not at:
        return MailboxFault.SYNTAX
    if _ENCODED.search(spec):
        return MailboxFault.ENCODED_WORD
    local = local_part(before)
    if local is None or (before.startswith('"') and not _QUOTED_LOCAL.fullmatch(before)):
        return MailboxFault.LOCAL_PART
    if after.startswith("["):
        return MailboxFault.LITERAL
    host = mail_domain(after)
    if host is None:
        return MailboxFault.DOMAIN
    address = joined(local, host)
    return MailboxFault.TOO_LARGE if address is None else Mailbox(address, name)


def _fault_at(character: str) -> MailboxFault:
    return {
        ":": MailboxFault.GROUP,
        ";": MailboxFault.GROUP,
        "(": MailboxFault.COMMENT,
        ")": MailboxFault.COMMENT,
    }.get(character, MailboxFault.SYNTAX)

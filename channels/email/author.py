"""Who the From field says that a message is by: RFC 5322's mailbox, read strictly, with RFC 6532's UTF-8, in linear
time.

Rules:
1. An author is exactly one From field with exactly one mailbox. What programs read in different ways is refused:
   routes, groups, comments anywhere but behind the mailbox, blanks, encoded words and quoted pairs inside an address.
   (`address.mailboxes` reads more, for fields on which no identity rests.)
2. The raw field is parsed first; only then is the display name decoded (RFC 2047): decoded, it is text, not syntax.
3. Size before all else; NUL and other controls never pass.
4. Domains are lower-case A-labels (RFC 5890). Local parts stay as they came.
"""

from __future__ import annotations

import base64
import binascii
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import idna

from channels.contract import Address
from keys.secret import Secret

FROM_BYTES: Final = 8_192  # one header field, as gateway.limits.HEADER_BYTES; a test holds them equal
LOCAL_OCTETS: Final = 64  # RFC 5321, section 4.5.3.1.1
DOMAIN_OCTETS: Final = 253  # RFC 1035, section 2.3.4, as text
PATH_OCTETS: Final = 254  # RFC 5321, section 4.5.3.1.3, without the brackets

_ATEXT: Final = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_ATOM: Final = re.compile(rf"[{_ATEXT}.\u0080-\U0010ffff]+")
_DOT_ATOM: Final = re.compile(rf"[{_ATEXT}\u0080-\U0010ffff]+(?:\.[{_ATEXT}\u0080-\U0010ffff]+)*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\["\\])*+)"')
_QUOTED_LOCAL: Final = re.compile(rf'"[{_ATEXT}. ]+"')
_COMMENT: Final = re.compile(r"\(([^()\\<>@\"]*)\)\Z")
_ENCODED: Final = re.compile(
    r"=\?([A-Za-z0-9][A-Za-z0-9._:+-]{0,39})(?:\*[A-Za-z0-9-]{1,20})?\?([bBqQ])\?([!->@-~]*+)\?="
)
_BETWEEN_ENCODED: Final = re.compile(r"(\?=)[ \t]+(?==\?[A-Za-z0-9._:+-]{1,40}(?:\*[A-Za-z0-9-]{1,20})?\?[bBqQ]\?)")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_BLANK_FOLD: Final = re.compile(rb"\r\n[ \t]++(?=\r\n|\Z)")
_CODECS_REFUSED: Final = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "utf_7", "undefined", "mbcs", "oem"}
)


class FromFault(StrEnum):
    """Why a message has no author that could be authenticated."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Author:
    """`domain` is lower-case A-labels; `name` is the display name, decoded, whatever it holds."""

    local: str
    domain: str
    name: Secret[str] = field(repr=False)

    @property
    def address(self) -> Address:
        return Address(f"{self.local}@{self.domain}")


def parse_from(values: Sequence[bytes], *, max_bytes: int = FROM_BYTES) -> Author | FromFault:
    """The author, given the raw values (what follows the colon, folding included) of *all* From fields of a message."""
    if not values:
        return FromFault.MISSING
    if len(values) > 1:
        return FromFault.REPEATED
    raw = values[0]
    if len(raw) > max_bytes:
        return FromFault.TOO_LARGE
    if _BLANK_FOLD.search(raw):
        return FromFault.SYNTAX
    try:
        text = re.sub(rb"\r\n(?=[ \t])", b"", raw).decode("utf-8")
    except UnicodeDecodeError:
        return FromFault.NOT_UTF8
    if has_control(text):
        return FromFault.CONTROL
    return _mailbox_field(text.strip(" \t"))


def domain_name(text: str) -> str | None:
    """A host name as lower-case A-labels, or None where it is none. No trailing dot, no number as top label."""
    if not text or len(text) > DOMAIN_OCTETS:
        return None
    labels: list[str] = []
    for label in text.split("."):
        if not label.isascii():
            try:
                label = idna.alabel(unicodedata.normalize("NFC", label.lower())).decode("ascii")
            except (idna.IDNAError, UnicodeError):
                return None
        label = label.lower()
        if not _LABEL.fullmatch(label):
            return None
        labels.append(label)
    name = ".".join(labels)
    return None if len(name) > DOMAIN_OCTETS or labels[-1].isdigit() else name


def is_local_part(local: str) -> bool:
    """A dot-atom, or a quoted string of blanks and of what a dot-atom may hold."""
    if len(local.encode("utf-8", "surrogatepass")) > LOCAL_OCTETS:
        return False
    if not local.isascii() and any(ord(c) > 127 and unicodedata.category(c)[0] not in "LMN" for c in local):
        return False
    return bool(_DOT_ATOM.fullmatch(local) or _QUOTED_LOCAL.fullmatch(local))


def decode_words(text: str) -> str:
    """Text with its encoded words (RFC 2047) decoded once. What can't be decoded stays as it is."""
    return _ENCODED.sub(_decoded, _BETWEEN_ENCODED.sub(r"\1", text))


def has_control(text: str) -> bool:
    """Controls but for the tabulator, line and paragraph separators, byte-order marks, lone surrogates."""
    return any(
        (ord(c) < 32 and c != "\t") or 127 <= ord(c) < 160 or c in "\u2028\u2029\ufeff" or 0xD800 <= ord(c) < 0xE000
        for c in text
    )


def _mailbox_field(text: str) -> Author | FromFault:
    comment = ""
    if text.endswith(")"):
        found = _COMMENT.search(text, max(0, text.rfind("(")))
        if not found or found.start() == 0:
            return FromFault.COMMENT
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
        if not closed or "<" in inside:
            return FromFault.SYNTAX
        if rest.strip(" \t"):
            return FromFault.SEVERAL if rest.lstrip(" \t").startswith(",") else FromFault.SYNTAX
        return _author(inside, " ".join(words) or comment)
    if at < end and text[at] != "@":
        return _fault_at(text[at])
    if quoted and not _QUOTED_LOCAL.match(text):
        return FromFault.SYNTAX
    return _author(text, comment)


def _author(spec: str, name: str) -> Author | FromFault:
    local, at, domain = spec.rpartition("@")
    if spec.startswith("@") or ":" in local:
        return FromFault.ROUTE
    if "(" in spec or ")" in spec:
        return FromFault.COMMENT
    if "," in spec:
        return FromFault.SEVERAL
    if not at:
        return FromFault.SYNTAX
    if _ENCODED.search(spec):
        return FromFault.ENCODED_WORD
    if not is_local_part(local):
        return FromFault.LOCAL_PART
    if domain.startswith("["):
        return FromFault.LITERAL
    host = domain_name(domain)
    if host is None:
        return FromFault.DOMAIN
    if len(local.encode()) + 1 + len(host) > PATH_OCTETS:
        return FromFault.TOO_LARGE
    return Author(local=local, domain=host, name=Secret(decode_words(name)))


def _fault_at(character: str) -> FromFault:
    return {
        ",": FromFault.SEVERAL,
        ":": FromFault.GROUP,
        ";": FromFault.GROUP,
        "(": FromFault.COMMENT,
        ")": FromFault.COMMENT,
    }.get(character, FromFault.SYNTAX)


def _decoded(match: re.Match[str]) -> str:
    charset, encoding, payload = match[1].lower(), match[2].lower(), match[3]
    if charset.replace("-", "_") in _CODECS_REFUSED:
        return match[0]
    try:
        if encoding == "b":
            data = base64.b64decode(payload + "=" * (-len(payload) % 4), validate=True)
        else:
            data = binascii.a2b_qp(payload.encode("ascii"), header=True)
        return data.decode(charset)
    except (ValueError, LookupError):
        return match[0]

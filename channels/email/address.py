"""Addresses: the one grammar of an addr-spec, for the envelope, for headers and for identities; strict, in linear time.

It is the Mailbox of RFC 5321, section 4.1.2, with RFC 6531's characters. What doesn't fit is None, never a guess: the
standard library's parsers guess (CVE-2023-27043), and take a minute for some headers (cpython #136063).

Rules:
1. One address, one spelling: the domain in lower-case A-labels (RFC 5890), the local part as it came, but without
   needless quotes.
2. Source routes, address literals, numbers for a domain, and white space around or inside do not parse.
3. Beyond ASCII a local part has letters, marks and digits only: nothing that can't be seen or turns the reading.
"""

from __future__ import annotations

import encodings.punycode  # noqa: F401 - idna needs it; a parser worker can't open a file any more
import re
import unicodedata
from typing import Final

import idna

from channels.contract import Address

LOCAL_OCTETS: Final = 64  # RFC 5321, section 4.5.3.1.1
DOMAIN_OCTETS: Final = 253  # RFC 1035, section 2.3.4, as text
PATH_OCTETS: Final = 254  # RFC 5321, section 4.5.3.1.3, without the brackets

ATEXT: Final = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_LABELS: Final = r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_PLAIN: Final = re.compile(rf"([{ATEXT}]++(?:\.[{ATEXT}]++)*+)@({_LABELS})", re.IGNORECASE | re.ASCII)
_DOT_STRING: Final = re.compile(rf"[{ATEXT}\u0080-\U0010ffff]++(?:\.[{ATEXT}\u0080-\U0010ffff]++)*+")
_QUOTED: Final = re.compile(r'"(?:[ !#-\[\]-~\u0080-\U0010ffff]|\\[ -~])*+"')
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")


def parse(text: str, *, utf8: bool = True) -> Address | None:
    """An addr-spec with nothing around it. `utf8`: characters beyond ASCII are taken."""
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        local, domain = plain.groups()
        short = len(local) <= LOCAL_OCTETS and len(domain) <= DOMAIN_OCTETS
        return joined(local, domain.lower()) if short and not domain.rpartition(".")[2].isdigit() else None
    if not utf8 and not text.isascii():
        return None
    before, _, after = text.rpartition("@")
    left, right = local_part(before), mail_domain(after)
    return None if left is None or right is None else joined(left, right)


def joined(local: str, domain: str) -> Address | None:
    """Both parts in their one spelling; None where they are too long together."""
    return Address(f"{local}@{domain}") if len(local.encode()) + 1 + len(domain) <= PATH_OCTETS else None


def local_part(text: str) -> str | None:
    """A local part in its one spelling."""
    if not text.isascii() and any(ord(c) > 127 and unicodedata.category(c)[0] not in "LMN" for c in text):
        return None
    if _QUOTED.fullmatch(text):
        content = re.sub(r"\\(.)", r"\1", text[1:-1])
        text = content if _DOT_STRING.fullmatch(content) else '"' + re.sub(r'(["\\])', r"\\\1", content) + '"'
    elif not _DOT_STRING.fullmatch(text):
        return None
    return text if len(text.encode()) <= LOCAL_OCTETS else None


def mail_domain(text: str) -> str | None:
    """A domain that mail can go to: a host's name, so without underscores (RFC 5321, section 2.3.5)."""
    name = domain_name(text)
    return None if name is None or "_" in name else name


def domain_name(text: str) -> str | None:
    """A name in the DNS as lower-case A-labels, or None where it is none. No trailing dot, no number as top label."""
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


def domain_of(address: Address) -> str:
    return address.rpartition("@")[2]


def local_part_of(address: Address) -> str:
    return address.rpartition("@")[0]

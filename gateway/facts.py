"""What the header of a message says: author, dates, threading, whether a program wrote it, the keys it offers.

Rules: an address that does not parse by the strict grammar is None; a value that is not what the standard demands is
as if it weren't there. Nothing here raises.
"""

from __future__ import annotations

import base64
import email.utils
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from channels.contract import Address
from channels.email import author as authors
from channels.email.author import Mailbox, MailboxFault, mailboxes
from channels.email.headers import HeaderFault, read
from gateway import limits
from gateway.fields import Fields, one_line, plain, words
from gateway.opened import Oddity
from gateway.reading import Reading

_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,250}>")
_RUN_BY_PROGRAM: Final = frozenset({"bulk", "list", "junk", "auto_reply"})
_NOBODY: Final = {0: Oddity.NO_FROM, 1: Oddity.UNREADABLE_FROM}
_TOLD: Final = {
    f"header.{fault}"
    for fault in (HeaderFault.TOO_LARGE, HeaderFault.TOO_MANY, HeaderFault.NO_FIELD, HeaderFault.REPEATED)
}
"""Why there is no author, where another oddity holds the message already."""


@dataclass(frozen=True, slots=True)
class Author:
    """`address` only if all programs read one and the same; `count` is the number of authors named."""

    address: Address | None
    name: str
    count: int


def author(raw: bytes, reading: Reading) -> Author:
    """Of a whole message, by the answer that transport authentication gets; its display name is decoded only now."""
    found = authors.author(read(raw))
    if isinstance(found, Mailbox):
        return Author(found.address, words(found.name.encode())[: limits.NAME_CHARACTERS], 1)
    if found.reason not in _TOLD:
        reading.note(_NOBODY.get(found.count, Oddity.SEVERAL_FROM))
    return Author(None, "", found.count)


def reply_to(fields: Fields) -> tuple[Address, ...]:
    found = mailboxes(fields.first("reply-to") or b"")
    return () if isinstance(found, MailboxFault) else tuple(each.address for each in found[: limits.ADDRESSES])


def message_id(fields: Fields) -> str | None:
    found = _MESSAGE_ID.search(plain(fields.first("message-id") or b""))
    return found[0] if found else None


def references(fields: Fields) -> tuple[str, ...]:
    """Nearest first: In-Reply-To, then References from its end."""
    answered = _MESSAGE_ID.findall(plain(fields.first("in-reply-to") or b""))
    thread = _MESSAGE_ID.findall(plain(fields.first("references") or b""))
    return tuple(dict.fromkeys((*answered, *reversed(thread))))[: limits.REFERENCES]


def date(fields: Fields) -> datetime | None:
    """RFC 5322's Date in UTC."""
    value = fields.first("date")
    if value is None or len(value) > 120:
        return None
    try:
        found = email.utils.parsedate_to_datetime(plain(value))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def automatic(fields: Fields, *, null_sender: bool, report: bool) -> bool:
    """Whether a program wrote it, so that nobody answers it by program (RFC 3834, RFC 2919, RFC 2369)."""
    submitted = fields.text("auto-submitted").partition(";")[0].strip().lower()
    return (
        null_sender
        or report
        or submitted not in ("", "no")
        or fields.text("precedence").strip().lower() in _RUN_BY_PROGRAM
        or any(name.startswith("list-") for name, _ in fields.pairs)
        or any(name in fields for name in ("x-autoreply", "x-autorespond", "x-autoresponse", "feedback-id"))
    )


def autocrypt(fields: Fields, sender: Address | None) -> tuple[bytes, ...]:
    """The certificate in the one Autocrypt header (Autocrypt 1.1, section 2.1): its address must be the author's, and
    it must know no critical attribute that we don't. Several headers: none counts."""
    values = fields.all("autocrypt")
    if len(values) != 1 or sender is None or len(values[0]) > limits.AUTOCRYPT_BYTES:
        return ()
    attributes: dict[str, str] = {}
    for piece in plain(values[0]).split(";"):
        name, _, value = piece.partition("=")
        name = name.strip().lower()
        if name:
            attributes.setdefault(name, re.sub(r"\s+", "", value))
    known = {"addr", "prefer-encrypt", "keydata"}
    if any(name not in known and not name.startswith("_") for name in attributes):
        return ()
    if attributes.get("addr", "").lower() != sender.lower():
        return ()
    try:
        key = base64.b64decode(attributes.get("keydata", ""), validate=True)
    except ValueError:
        return ()
    return (key,) if key else ()


def subject(fields: Fields) -> str:
    return one_line(fields.text("subject"))[: limits.SUBJECT_CHARACTERS]


# --- language: English or Spanish, by their commonest words

_WORDS: Final = re.compile(r"[a-záéíóúñü]{1,15}")
_COMMON: Final = {
    "en": """the and of to is in that it for was you with on are this my have i be as not your please hello can but what
        from we would will do me has been when they there which thanks thank dear order could""",
    "es": """el la de que y en los las un una por con para se del al lo es mi me su no pero como hola gracias está estoy
        he ha quiero puedo pedido buenos días favor muy tengo esta este ya sin mis nos le saludos buenas tarjeta""",
}
_ENGLISH: Final = frozenset(_COMMON["en"].split())
_SPANISH: Final = frozenset(_COMMON["es"].split())


def language(text: str, otherwise: str) -> str:
    """ "en" or "es" by the words of the beginning; `otherwise` when that doesn't decide."""
    beginning = text[:1_500].lower()
    found = _WORDS.findall(beginning)
    english = sum(map(_ENGLISH.__contains__, found))
    spanish = sum(map(_SPANISH.__contains__, found)) + 2 * ("¿" in beginning) + 2 * ("¡" in beginning)
    if max(english, spanish) < 2 or english == spanish:
        return otherwise
    return "en" if english > spanish else "es"

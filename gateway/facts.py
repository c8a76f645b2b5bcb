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
from channels.email.address import Named, mailboxes, parse
from gateway import limits
from gateway.fields import Fields, one_line, plain, words
from gateway.opened import Oddity
from gateway.reading import Reading

_TWICE: Final = re.compile(r"\s*([^\s<>\",;:()]{1,320})\s*<([^\s<>\",;:()]{1,320})>\s*")
_MESSAGE_ID: Final = re.compile(r"<[^<>\s]{1,250}>")
_RUN_BY_PROGRAM: Final = frozenset({"bulk", "list", "junk", "auto_reply"})


@dataclass(frozen=True, slots=True)
class Author:
    """`address` only if there is one From with one readable mailbox; `count` is the number of authors named."""

    address: Address | None
    name: str
    count: int


def author(fields: Fields, reading: Reading) -> Author:
    """RFC 5322, section 3.6.2; the display name is decoded after the address was read, never before."""
    values = fields.all(b"from")
    if not values:
        reading.note(Oddity.NO_FROM)
        return Author(None, "", 0)
    lists = [named(value) for value in values]
    count = sum(len(each) if each else 1 for each in lists)
    if count > 1:
        reading.note(Oddity.SEVERAL_FROM)
        return Author(None, "", count)
    if not lists[0]:
        reading.note(Oddity.UNREADABLE_FROM)
        return Author(None, "", 1)
    only = lists[0][0]
    return Author(only.address, words(only.name.encode("utf-8", "replace"))[: limits.NAME_CHARACTERS], 1)


def named(value: bytes) -> tuple[Named, ...] | None:
    """A mailbox list, or None. One reading beyond the grammar: `a@b.example <a@b.example>`, which many send."""
    text = plain(value)
    found = mailboxes(text)
    if found is None and (twice := _TWICE.fullmatch(text)) and twice[1].lower() == twice[2].lower():
        address = parse(twice[2])
        found = None if address is None else (Named("", address),)
    return None if found is not None and len(found) > limits.ADDRESSES else found


def reply_to(fields: Fields) -> tuple[Address, ...]:
    value = fields.first(b"reply-to")
    return tuple(each.address for each in (named(value) or ())) if value else ()


def message_id(fields: Fields) -> str | None:
    found = _MESSAGE_ID.search(plain(fields.first(b"message-id") or b""))
    return found[0] if found else None


def references(fields: Fields) -> tuple[str, ...]:
    """Nearest first: In-Reply-To, then References from its end."""
    answered = _MESSAGE_ID.findall(plain(fields.first(b"in-reply-to") or b""))
    thread = _MESSAGE_ID.findall(plain(fields.first(b"references") or b""))
    return tuple(dict.fromkeys((*answered, *reversed(thread))))[: limits.REFERENCES]


def date(fields: Fields) -> datetime | None:
    """RFC 5322's Date in UTC."""
    value = fields.first(b"date")
    if value is None or len(value) > 120:
        return None
    try:
        found = email.utils.parsedate_to_datetime(plain(value))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def automatic(fields: Fields, *, null_sender: bool, report: bool) -> bool:
    """Whether a program wrote it, so that nobody answers it by program (RFC 3834, RFC 2919, RFC 2369)."""
    submitted = fields.text(b"auto-submitted").partition(";")[0].strip().lower()
    return (
        null_sender
        or report
        or submitted not in ("", "no")
        or fields.text(b"precedence").strip().lower() in _RUN_BY_PROGRAM
        or any(name.startswith(b"list-") for name, _ in fields.pairs)
        or any(name in fields for name in (b"x-autoreply", b"x-autorespond", b"x-autoresponse", b"feedback-id"))
    )


def autocrypt(fields: Fields, sender: Address | None) -> tuple[bytes, ...]:
    """The certificate in the one Autocrypt header (Autocrypt 1.1, section 2.1): its address must be the author's, and
    it must know no critical attribute that we don't. Several headers: none counts."""
    values = fields.all(b"autocrypt")
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
    return one_line(fields.text(b"subject"))[: limits.SUBJECT_CHARACTERS]


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

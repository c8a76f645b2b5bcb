"""Protected header fields: RFC 9788 (`hp="cipher"`, `hp="clear"`, HP-Outer) and the older `protected-headers="v1"`.

Rules:
1. They count only on the root of the cryptographic payload: under layers of encryption or good signatures that hold
   everything. Anywhere else they are phony, and an oddity.
2. An inner From that differs from the outer one is never taken over: the author stays the one that transport
   authentication spoke of, and the difference is an oddity.
3. What was repeated in the body for old readers (legacy display) is taken out again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from channels.contract import Address
from channels.email.author import Mailbox, only_mailbox
from gateway import facts
from gateway.fields import Fields
from gateway.mime import Entity
from gateway.opened import Oddity
from gateway.reading import Reading

_LEGACY_LINE: Final = re.compile(r"[A-Za-z][A-Za-z-]{1,40}:[ \t].*|[ \t]+\S.*")


def claims(entity: Entity) -> bool:
    """Whether an entity says that its header fields are protected ones."""
    params = entity.content.params
    return params.get("hp", "").lower() in ("cipher", "clear") or params.get("protected-headers", "").lower() == "v1"


@dataclass(frozen=True, slots=True)
class Subject:
    """`hidden`: it travelled encrypted and the outer header did not show it."""

    text: str
    hidden: bool


def subject(
    outer: Fields, payload: Entity | None, reading: Reading, *, encrypted: bool, trusted: bool
) -> Subject:  # fmt: skip
    """The subject to show. `payload` is the root of the cryptographic payload, None without one; `trusted`: it was
    decrypted, or its signature is good."""
    shown = facts.subject(outer)
    source = None if payload is None else _holder(payload)
    if source is None or "subject" not in source.fields:
        return Subject(shown, hidden=False)
    inner = facts.subject(source.fields)
    if not trusted:
        if inner != shown:
            reading.note(Oddity.PHONY_PROTECTED_HEADER)
        return Subject(shown, hidden=False)
    return Subject(inner or shown, hidden=encrypted and bool(inner) and inner != shown)


def _holder(payload: Entity) -> Entity | None:
    """The entity whose fields are the protected ones. Before RFC 9788, some wrapped the whole message instead."""
    if claims(payload):
        return payload
    if wraps(payload):
        return payload.children[0]
    return None


def wraps(payload: Entity) -> bool:
    return (
        payload.media_type == "message/rfc822"
        and bool(payload.children)
        and payload.content.params.get("forwarded", "").lower() == "no"
    )


def compare_author(author: Address | None, payload: Entity | None, reading: Reading) -> None:
    """Notes an inner From that names somebody else."""
    source = None if payload is None else _holder(payload)
    values = source.fields.all("from") if source else []
    if not values:
        return
    inner = only_mailbox(values)
    if author is None or not isinstance(inner, Mailbox) or inner.address.lower() != author.lower():
        reading.note(Oddity.OUTER_INNER_FROM_DIFFER)


def legacy_part(entity: Entity) -> Entity | None:
    """The part that repeats the header for old readers, in the older convention: the first of a mixed payload."""
    if entity.media_type != "multipart/mixed" or len(entity.children) < 2 or not claims(entity):
        return None
    first = entity.children[0]
    if first.media_type == "text/rfc822-headers" or (first.media_type == "text/plain" and claims(first)):
        return first
    return None


def without_legacy_lines(text: str) -> str:
    """RFC 9788, section 4.10.1: the header lines at the start of a text and the empty line after them."""
    lines = text.split("\n")
    for index, line in enumerate(lines):
        if not line.strip():
            return "\n".join(lines[index + 1 :]) if index else text
        if _LEGACY_LINE.fullmatch(line) is None:
            return text
    return text

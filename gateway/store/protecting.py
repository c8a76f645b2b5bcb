"""What is noted beside conversations of how a reply would leave: many at once, for each new message asks it anew.

Rule: facts only; no address, no text and no certificate is opened for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from gateway.ids import Clock, micros
from gateway.store import schema
from gateway.store.contacts import Trust
from gateway.store.database import Database, Role
from gateway.store.feed import Kind, put_feed
from gateway.store.statements import Prepared

_TALKS: Final = schema.conversations
_CERTIFICATES: Final = schema.certificates
_FACTS: Final = Prepared(
    select(
        _TALKS.c.id, _TALKS.c.mailbox, _TALKS.c.encrypted, _TALKS.c.address_id, _TALKS.c.protect, _TALKS.c.protect_why
    )
    .join(schema.contacts, schema.contacts.c.id == _TALKS.c.contact_id)
    .where(_TALKS.c.id == bindparam("which"), schema.contacts.c.key_inspector.is_not(None))
)
_BOUND: Final = Prepared(
    select(_CERTIFICATES.c.fingerprint)
    .where(_CERTIFICATES.c.address_id == bindparam("which"), _CERTIFICATES.c.trust == bindparam("trust"))
    .order_by(_CERTIFICATES.c.added_at, _CERTIFICATES.c.fingerprint)
)
_NOTE: Final = Prepared(
    update(_TALKS)
    .where(_TALKS.c.id == bindparam("which"))
    .values(protect=bindparam("how"), protect_why=bindparam("why"))
    .returning(_TALKS.c.queue, _TALKS.c.epoch)
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """`trusted` are the fingerprints that are bound to the customer's address. `noted` is what stands there now."""

    conversation: str
    mailbox: str
    encrypted: bool
    answerable: bool
    trusted: tuple[str, ...]
    noted: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """`protect` and `why` as `gateway.policy.protection` puts them."""

    conversation: str
    protect: str
    why: str


async def facts(db: Database, conversations: Sequence[str]) -> list[Facts]:
    """Of those that are there and whose contact wasn't erased. Raises StoreDown."""
    return await db.read(lambda conn: [one for id in conversations for one in _facts(conn, id)])


async def write_down(db: Database, notes: Sequence[Noted], clock: Clock) -> None:
    """In one transaction, with an entry in the feed each. Raises StoreDown, StoreFull."""
    now = micros(clock.now())

    def job(conn: Connection) -> None:
        for one in notes:
            for queue, epoch in _NOTE.rows(conn, which=one.conversation, how=one.protect, why=one.why):
                put_feed(conn, Kind.CONVERSATION, now, conversation=one.conversation, queue=queue, epoch=epoch)

    await db.write(job)
    db.notify(Role.DESK)


def _facts(conn: Connection, conversation: str) -> Iterable[Facts]:
    row = _FACTS.row(conn, which=conversation)
    if row is None:
        return
    id, mailbox, encrypted, address, protect, why = row
    bound = _BOUND.rows(conn, which=address, trust=Trust.TRUSTED.value) if address is not None else []
    yield Facts(
        conversation=id, mailbox=mailbox, encrypted=bool(encrypted), answerable=address is not None,
        trusted=tuple(fingerprint for (fingerprint,) in bound), noted=(protect, why),
    )  # fmt: skip

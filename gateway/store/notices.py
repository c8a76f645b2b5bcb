"""Notices that are still to be written: put down in the transaction that gives the reason, claimed by the inspector.

Kinds: first-contact (by `Queue.put`), held, refused (by `Spool.hold`), expired (by `Spool.expire`).

Rule: an address gets so many a day, of all kinds and whatever the reasons; addresses stand here as blind indexes only.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection

from gateway import limits
from gateway.audit import Event, note, record
from gateway.ids import Clock, micros
from gateway.killpoints import Point
from gateway.states import Spooled
from gateway.store import schema
from gateway.store.claiming import SECOND, Claims
from gateway.store.database import Database
from gateway.store.rates import count_in, counted
from gateway.store.statements import adding

_DAY: Final = 86_400


class NoticeKind(StrEnum):
    FIRST_CONTACT = "first-contact"
    HELD = "held"
    REFUSED = "refused"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeClaim:
    """`id` serves as the outbox row's id and in the Message-ID, so that a repeat is recognised. `for_inspector` is what
    `Spool.hold` was given; for "first-contact" there is a conversation instead."""

    id: str
    kind: NoticeKind
    conversation: str | None
    spool_id: str | None
    for_inspector: bytes | None = field(repr=False)
    attempts: int
    fence: int
    lease_until: int
    created_at: int


_ADD: Final = adding(
    schema.notices,
    ["id", "lane", "state", "due_at", "kind", "conversation_id", "spool_id", "for_inspector", "created_at"],
    unless=["id"],
)


def put_notice(
    conn: Connection,
    kind: NoticeKind,
    at: int,
    *,
    reason_id: str,
    conversation: str | None = None,
    spool_id: str | None = None,
    for_inspector: bytes | None = None,
) -> None:
    """Inside a write job. One notice of a kind for one reason (a message or spool row)."""
    _ADD.run(
        conn,
        id=f"{reason_id}.{kind.value}",
        lane=reason_id.encode(),
        state=Spooled.WAITING.value,
        due_at=at,
        kind=kind.value,
        conversation_id=conversation,
        spool_id=spool_id,
        for_inspector=for_inspector,
        created_at=at,
    )


class Notices:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        self._claims = Claims(
            schema.notices,
            Spooled.WAITING,
            Spooled.WORKING,
            ["id", "kind", "conversation_id", "spool_id", "for_inspector", "attempts", "fence", "due_at", "created_at"],
        )

    async def claim(self, limit: int, lease_seconds: float) -> list[NoticeClaim]:
        rows = await self._db.write(
            lambda conn: self._claims.take(conn, self._clock, limit, lease_seconds),
            points=(Point.CLAIM_BEFORE_COMMIT, Point.NOTICE_CLAIMED),
        )
        return [
            NoticeClaim(
                id=row[1],
                kind=NoticeKind(row[2]),
                conversation=row[3],
                spool_id=row[4],
                for_inspector=row[5],
                attempts=row[6],
                fence=row[7],
                lease_until=row[8],
                created_at=row[9],
            )
            for row in rows
        ]

    async def counted(self, claim: NoticeClaim, address: bytes) -> bool:
        """Counts the notice in for its address (a blind index), once however often it is tried. False when the address
        had its share of the day. Raises StoreDown, StoreFull."""
        mine = hashlib.sha256(address + claim.id.encode()).digest()

        def job(conn: Connection) -> bool:
            if counted(conn, mine, self._clock, seconds=_DAY):
                return True
            return count_in(
                conn, address, self._clock, most=limits.NOTICES_PER_ADDRESS_DAY, seconds=_DAY
            ) and count_in(conn, mine, self._clock, most=1, seconds=_DAY)

        return await self._db.write(job)

    async def retry(self, claim: NoticeClaim, delay: float) -> None:
        """Raises Fenced."""
        due = micros(self._clock.now()) + int(delay * SECOND)
        await self._db.write(
            lambda conn: self._claims.move(conn, claim.id, claim.fence, Spooled.WAITING, due_at=due),
            points=(Point.RETRY_BEFORE_COMMIT, Point.RETRY_AFTER_COMMIT),
        )

    async def finish(self, claim: NoticeClaim, reason: str = "") -> None:
        """It is in the outbox, or it isn't to be sent (`reason`, a fixed token). Raises Fenced."""

        def job(conn: Connection) -> None:
            self._claims.delete(conn, claim.id, claim.fence)
            if reason:
                note(conn, record(Event.NOTICE_DROPPED, object=claim.id, kind=claim.kind.value, reason=reason))
            else:
                note(conn, record(Event.NOTICE_QUEUED, object=claim.id, kind=claim.kind.value))

        await self._db.write(job, points=(Point.RETRY_BEFORE_COMMIT, Point.NOTICE_AFTER_COMMIT))

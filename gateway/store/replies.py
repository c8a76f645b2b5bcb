"""Replies: what agents wrote, boxed to the inspector and signed by the desk.

    waiting ──claim──► working ──► outbox (queue.record_sent) | stopped | waiting (retry)

Rules: serial within a conversation; attempts are counted before the work; the box is dropped when the reply is in the
outbox, and kept when it was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import msgspec
from sqlalchemy import Connection, select

from gateway.audit import Event, note, record
from gateway.ids import Clock, micros
from gateway.killpoints import Point
from gateway.rules import Decision
from gateway.states import Answered
from gateway.store import schema
from gateway.store.claiming import SECOND, Claims
from gateway.store.database import Database, Role
from gateway.store.feed import Kind, put_feed
from gateway.store.held import key_ids
from gateway.store.statements import adding
from keys.box import KeyId
from keys.box import parse as parse_box


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyClaim:
    id: str
    conversation: str
    author: str
    box: bytes = field(repr=False)
    attempts: int
    fence: int
    lease_until: int
    created_at: int


CLAIMS: Final = Claims(
    schema.replies,
    Answered.WAITING,
    Answered.WORKING,
    ["id", "conversation_id", "author", "attempts", "fence", "due_at", "created_at", "box"],
)
"""Also `gateway.store.queue`'s, which ends the reply that it has recorded."""
_ADD: Final = adding(
    schema.replies,
    ["id", "lane", "state", "due_at", "conversation_id", "author", "key_id", "created_at", "changed_at", "box"],
    unless=["id"],
    returning=["id"],
)


class Replies:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def put(self, *, id: str, conversation: str, author: str, box: bytes) -> bool:
        """The desk's. Wakes the inspector. False if this id is there already. Raises keys.errors.BadData."""
        now = micros(self._clock.now())
        key = parse_box(box).key

        def job(conn: Connection) -> bool:
            added = _ADD.rows(
                conn, id=id, lane=conversation.encode(), state=Answered.WAITING.value, due_at=0,
                conversation_id=conversation, author=author, key_id=key, created_at=now, changed_at=now, box=box,
            )  # fmt: skip
            if added:
                put_feed(conn, Kind.REPLY, now, conversation=conversation, object=id, queue=_queue(conn, conversation))
                note(conn, record(Event.REPLY_WRITTEN, object=id, conversation=conversation, person=author))
            return bool(added)

        done = await self._db.write(job, points=(Point.REPLY_PUT_BEFORE_COMMIT, Point.REPLY_PUT_AFTER_COMMIT))
        self._db.notify(Role.INSPECTOR)
        self._db.notify(Role.DESK)
        return done

    async def claim(self, limit: int, lease_seconds: float) -> list[ReplyClaim]:
        """At most one per conversation."""
        rows = await self._db.write(
            lambda conn: CLAIMS.take(conn, self._clock, limit, lease_seconds),
            points=(Point.CLAIM_BEFORE_COMMIT, Point.REPLY_CLAIMED),
        )
        return [
            ReplyClaim(
                id=row[1],
                conversation=row[2],
                author=row[3],
                attempts=row[4],
                fence=row[5],
                lease_until=row[6],
                created_at=row[7],
                box=row[8],
            )
            for row in rows
        ]

    async def retry(self, claim: ReplyClaim, delay: float, *, counted: bool = True) -> None:
        """Raises Fenced."""
        now = micros(self._clock.now())
        due, attempts = now + int(delay * SECOND), claim.attempts if counted else claim.attempts - 1
        await self._db.write(
            lambda conn: CLAIMS.move(
                conn, claim.id, claim.fence, Answered.WAITING, due_at=due, attempts=attempts, changed_at=now
            ),
            points=(Point.RETRY_BEFORE_COMMIT, Point.RETRY_AFTER_COMMIT),
        )

    async def stop(self, claim: ReplyClaim, reason: str, decision: Decision | None = None) -> None:
        """OUTBOUND said no, or it can't be protected. `reason` is a fixed token. Raises Fenced."""
        now = micros(self._clock.now())
        kept = None if decision is None else msgspec.msgpack.encode(decision)
        codes = () if decision is None else tuple(finding.rule.code for finding in decision.findings)

        def job(conn: Connection) -> None:
            CLAIMS.move(conn, claim.id, claim.fence, Answered.STOPPED, reason=reason, decision=kept, changed_at=now)
            put_feed(
                conn, Kind.REPLY, now,
                conversation=claim.conversation, object=claim.id, queue=_queue(conn, claim.conversation),
            )  # fmt: skip
            note(
                conn,
                record(
                    Event.REPLY_STOPPED,
                    object=claim.id,
                    conversation=claim.conversation,
                    reason=reason,
                    codes=codes,
                    attempt=claim.attempts,
                ),
            )

        await self._db.write(job, points=(Point.REPLY_BEFORE_COMMIT, Point.REPLY_AFTER_COMMIT))
        self._db.notify(Role.DESK)

    async def key_ids_in_use(self) -> frozenset[KeyId]:
        """A stopped reply's box is never opened again; its key may go."""
        return await self._db.read(
            lambda conn: key_ids(
                conn, schema.replies, schema.replies.c.state.in_([Answered.WAITING.value, Answered.WORKING.value])
            )
        )


def _queue(conn: Connection, conversation: str) -> str:
    talks = schema.conversations
    return str(conn.execute(select(talks.c.queue).where(talks.c.id == conversation)).scalar() or "")

"""The outbox: what is to leave, boxed to the edge. Rows carry the box and facts that say nothing of the route.

    ready ──claim──► sending ──► sent | refused | ready (retry) | doubt | expired
                                 doubt, refused, expired ──resend──► ready

Rules:
1. The attempt is on record before the first byte leaves: `attempting`. If the process dies after it, the row ends in
   doubt, for a person to decide; nothing is sent twice by itself.
2. If it dies before, the lease runs out and the row is claimed again.
3. The box is dropped when it was sent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, or_, update

from channels.contract import Receipt, SendResult
from gateway import limits
from gateway.audit import Event, note, record
from gateway.ids import Clock, micros
from gateway.killpoints import Point
from gateway.states import Sending
from gateway.store import schema
from gateway.store.claiming import SECOND, Claims, nothing
from gateway.store.database import Database, Role
from gateway.store.feed import Kind, put_feed
from gateway.store.held import key_ids
from gateway.store.statements import adding
from keys.box import KeyId
from keys.box import parse as parse_box


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOutboxRow:
    """`id` is the row that the box is bound to. `lane`: rows of one lane leave in order (a keyed hash of the recipient,
    or the conversation's id). `kind` is "reply" or a notice's kind. Times in microseconds."""

    id: str
    channel: str
    lane: bytes
    kind: str
    box: bytes = field(repr=False)
    conversation: str | None
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxClaim:
    id: str
    channel: str
    kind: str
    box: bytes = field(repr=False)
    conversation: str | None
    attempts: int
    fence: int
    lease_until: int
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the desk sees of it. `state` is `gateway.states.Sending`'s value."""

    id: str
    kind: str
    conversation: str | None
    state: str
    attempts: int
    reason: str
    code: int
    tls: str
    created_at: int
    changed_at: int


_TABLE: Final = schema.outbox
_CLAIMS: Final = Claims(
    _TABLE,
    Sending.READY,
    Sending.SENDING,
    [
        "id", "channel", "kind", "conversation_id", "attempts", "fence", "due_at", "created_at", "expires_at", "box",
    ],
    horizon=max(limits.SEND_DELAY_SECONDS, limits.SEND_SECONDS) * 1.5,
)  # fmt: skip
_ADD: Final = adding(
    _TABLE,
    [
        "id", "lane", "state", "due_at", "channel", "kind", "conversation_id", "key_id", "created_at", "changed_at",
        "expires_at", "box",
    ],
    unless=["id"],
    returning=["id"],
)  # fmt: skip
DELIVERY_COLUMNS: Final = [
    _TABLE.c[name]
    for name in (
        "id",
        "kind",
        "conversation_id",
        "state",
        "attempts",
        "reason",
        "code",
        "tls",
        "created_at",
        "changed_at",
    )
]
_EVENTS: Final = {
    Sending.SENT: Event.SEND_SUCCEEDED,
    Sending.READY: Event.SEND_RETRIED,
    Sending.REFUSED: Event.SEND_REFUSED,
    Sending.DOUBT: Event.SEND_IN_DOUBT,
    Sending.EXPIRED: Event.SEND_EXPIRED,
}


def add(conn: Connection, row: NewOutboxRow, now: int) -> bool:
    """Inside a write job of the inspector. False if this id is there already. Raises keys.errors.BadData."""
    return bool(
        _ADD.rows(
            conn, id=row.id, lane=row.lane, state=Sending.READY.value, due_at=0, channel=row.channel, kind=row.kind,
            conversation_id=row.conversation, key_id=parse_box(row.box).key, created_at=now, changed_at=now,
            expires_at=row.expires_at, box=row.box,
        )
    )  # fmt: skip


class Outbox:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def put(self, row: NewOutboxRow) -> bool:
        """For what belongs to no conversation (a notice about a held message). False if this id is there already.
        Replies come in by `Queue.record_sent`. The inspector's."""
        now = micros(self._clock.now())
        done = await self._db.write(
            lambda conn: add(conn, row, now), points=(Point.OUTBOX_BEFORE_COMMIT, Point.OUTBOX_AFTER_COMMIT)
        )
        self._db.notify(Role.EDGE)
        return done

    async def claim(self, limit: int, lease_seconds: float) -> list[OutboxClaim]:
        """The edge's. First of all moves rows whose sender died after `attempting` into doubt."""

        def job(conn: Connection) -> list[tuple[Any, ...]]:
            self._abandoned(conn)
            return _CLAIMS.take(conn, self._clock, limit, lease_seconds)

        rows = await self._db.write(job, points=(Point.CLAIM_BEFORE_COMMIT, Point.OUTBOX_CLAIMED))
        return [
            OutboxClaim(
                id=row[1], channel=row[2], kind=row[3], conversation=row[4], attempts=row[5], fence=row[6],
                lease_until=row[7], created_at=row[8], expires_at=row[9], box=row[10],
            )
            for row in rows
        ]  # fmt: skip

    async def attempting(self, claim: OutboxClaim) -> None:
        """Right before the first byte leaves. Raises Fenced."""

        def job(conn: Connection) -> None:
            _CLAIMS.touch(conn, claim.id, claim.fence, attempting=True)
            note(conn, record(Event.SEND_ATTEMPTED, object=claim.id, attempt=claim.attempts, channel=claim.channel))

        await self._db.write(job, points=(Point.OUTBOX_BEFORE_COMMIT, Point.OUTBOX_ATTEMPTING))

    async def settle(self, claim: OutboxClaim, receipt: Receipt, *, delay: float = 0.0) -> str:
        """What `Channel.send` came to: sent, refused, doubt, or ready again after `delay` seconds (expired when that
        is too late). Returns the new state. Raises Fenced."""
        now = micros(self._clock.now())
        due = now + int(min(delay, limits.SEND_DELAY_SECONDS) * SECOND)
        match receipt.result:
            case SendResult.SENT:
                to = Sending.SENT
            case SendResult.REFUSED:
                to = Sending.REFUSED
            case SendResult.DOUBT:
                to = Sending.DOUBT
            case SendResult.RETRY:
                to = Sending.READY if due <= claim.expires_at else Sending.EXPIRED

        def job(conn: Connection) -> None:
            more: dict[str, Any] = {"box": None} if to is Sending.SENT else {}
            _CLAIMS.move(
                conn, claim.id, claim.fence, to,
                due_at=due, attempting=False, reason=receipt.reason, code=receipt.code, tls=receipt.tls or "",
                changed_at=now, **more,
            )  # fmt: skip
            self._told(conn, claim.id, claim.conversation, now)
            facts = {name: text for name, text in (("reason", receipt.reason), ("tls", receipt.tls)) if text}
            note(conn, record(_EVENTS[to], object=claim.id, attempt=claim.attempts, code=receipt.code, **facts))

        await self._db.write(job, points=(Point.OUTBOX_BEFORE_COMMIT, Point.OUTBOX_AFTER_COMMIT))
        self._db.notify(Role.DESK)
        return to.value

    async def give_back(self, claim: OutboxClaim) -> None:
        """We are stopped before anything was attempted. Raises Fenced."""
        await self._db.write(
            lambda conn: _CLAIMS.move(
                conn, claim.id, claim.fence, Sending.READY, due_at=0, attempting=False, attempts=claim.attempts - 1
            ),
            points=(Point.OUTBOX_BEFORE_COMMIT, Point.OUTBOX_AFTER_COMMIT),
        )

    async def expire(self) -> int:
        """Rows that waited too long."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> int:
            rows = conn.execute(
                update(_TABLE)
                .where(_TABLE.c.state == Sending.READY.value, _TABLE.c.expires_at <= now)
                .values(state=Sending.EXPIRED.value, changed_at=now)
                .returning(_TABLE.c.id, _TABLE.c.conversation_id, _TABLE.c.attempts)
            ).all()
            for row in rows:
                self._told(conn, row.id, row.conversation_id, now)
                note(conn, record(Event.SEND_EXPIRED, object=row.id, attempt=row.attempts))
            return len(rows)

        done = await self._db.write(job, points=(Point.OUTBOX_BEFORE_COMMIT, Point.OUTBOX_AFTER_COMMIT))
        if done:
            self._db.notify(Role.DESK)
        return done

    async def resend(self, id: str, by: str, *, expires_at: int, ended: Callable[[Connection], None] = nothing) -> bool:
        """A person's word on a row in doubt, refused or expired (its box is kept): send it again. The inspector's, on
        request; `ended`, the request's end, runs in the same transaction when it was such a row. One word, one
        attempt: a request that ran twice could send twice."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> bool:
            row = conn.execute(
                update(_TABLE)
                .where(
                    _TABLE.c.id == id,
                    _TABLE.c.state.in_([Sending.DOUBT.value, Sending.REFUSED.value, Sending.EXPIRED.value]),
                    _TABLE.c.box.is_not(None),
                )
                .values(
                    state=Sending.READY.value, due_at=0, attempts=0, attempting=False, expires_at=expires_at,
                    changed_at=now,
                )
                .returning(_TABLE.c.conversation_id)
            ).first()  # fmt: skip
            if row is None:
                return False
            self._told(conn, id, row.conversation_id, now)
            note(conn, record(Event.SEND_AGAIN, object=id, person=by))
            ended(conn)
            return True

        done = await self._db.write(job, points=(Point.OUTBOX_BEFORE_COMMIT, Point.OUTBOX_AFTER_COMMIT))
        self._db.notify(Role.EDGE)
        self._db.notify(Role.DESK)
        return done

    async def key_ids_in_use(self) -> frozenset[KeyId]:
        """What is in doubt, refused or expired may be sent again, so its key stays."""
        return await self._db.read(lambda conn: key_ids(conn, _TABLE))

    def _abandoned(self, conn: Connection) -> None:
        now = micros(self._clock.now())
        horizon = int(max(limits.SEND_DELAY_SECONDS, limits.SEND_SECONDS) * 1.5 * SECOND)
        rows = conn.execute(
            update(_TABLE)
            .where(
                _TABLE.c.state == Sending.SENDING.value,
                _TABLE.c.attempting.is_(True),
                or_(_TABLE.c.due_at <= now, _TABLE.c.due_at > now + horizon),
            )
            .values(state=Sending.DOUBT.value, attempting=False, reason="sender-died", changed_at=now)
            .returning(_TABLE.c.id, _TABLE.c.conversation_id, _TABLE.c.attempts)
        ).all()
        for row in rows:
            self._told(conn, row.id, row.conversation_id, now)
            note(conn, record(Event.SEND_IN_DOUBT, object=row.id, attempt=row.attempts, reason="sender-died"))

    @staticmethod
    def _told(conn: Connection, id: str, conversation: str | None, now: int) -> None:
        put_feed(conn, Kind.DELIVERY, now, conversation=conversation, object=id)


def delivery(row: Any) -> Delivery:
    return Delivery(
        id=row.id, kind=row.kind, conversation=row.conversation_id, state=row.state, attempts=row.attempts,
        reason=row.reason, code=row.code, tls=row.tls, created_at=row.created_at, changed_at=row.changed_at,
    )  # fmt: skip

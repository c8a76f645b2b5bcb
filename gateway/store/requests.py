"""Requests: what the desk asks of the inspector in a signed box (`gateway.requests`): release, reject, send again.

Rules: claimed and counted as the spool is; the box is dropped when the request is done or failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, select

from gateway import states
from gateway.audit import Event, note, record
from gateway.ids import Clock, micros
from gateway.killpoints import Point
from gateway.store import schema
from gateway.store.claiming import SECOND, Claims
from gateway.store.database import Database, Role
from gateway.store.feed import Kind, put_feed
from gateway.store.held import key_ids
from gateway.store.statements import adding
from keys.box import KeyId
from keys.box import parse as parse_box


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClaim:
    id: str
    kind: str
    object_id: str | None
    author: str
    box: bytes = field(repr=False)
    attempts: int
    fence: int
    lease_until: int
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`state` is `gateway.states.Asked`'s value; `answer` is sealed for the desk, or None."""

    id: str
    kind: str
    object_id: str | None
    author: str
    state: str
    reason: str
    answer: bytes | None = field(repr=False)
    created_at: int


_TABLE: Final = schema.requests
_CLAIMS: Final = Claims(
    _TABLE,
    states.Asked.WAITING,
    states.Asked.WAITING,
    ["id", "kind", "object_id", "author", "attempts", "fence", "due_at", "created_at", "box"],
)
_ADD: Final = adding(
    _TABLE,
    ["id", "lane", "state", "due_at", "kind", "object_id", "author", "key_id", "created_at", "changed_at", "box"],
    unless=["id"],
    returning=["id"],
)
_SEEN: Final = [_TABLE.c[name] for name in Asked.__dataclass_fields__]


class Requests:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def put(self, *, id: str, kind: str, object_id: str | None, author: str, box: bytes) -> bool:
        """The desk's. `kind` is a fixed token ("release", "reject", "resend" …). False if this id is there already.
        Raises keys.errors.BadData."""
        now = micros(self._clock.now())
        key = parse_box(box).key

        def job(conn: Connection) -> bool:
            added = _ADD.rows(
                conn, id=id, lane=(object_id or id).encode(), state=states.Asked.WAITING.value, due_at=0, kind=kind,
                object_id=object_id, author=author, key_id=key, created_at=now, changed_at=now, box=box,
            )  # fmt: skip
            if added:
                put_feed(conn, Kind.REQUEST, now, object=object_id)
                note(conn, record(Event.REQUEST_MADE, object=id, kind=kind, other=object_id or id, person=author))
            return bool(added)

        done = await self._db.write(job, points=(Point.REPLY_PUT_BEFORE_COMMIT, Point.REPLY_PUT_AFTER_COMMIT))
        self._db.notify(Role.INSPECTOR)
        self._db.notify(Role.DESK)
        return done

    async def claim(self, limit: int, lease_seconds: float) -> list[RequestClaim]:
        """At most one per object."""
        rows = await self._db.write(
            lambda conn: _CLAIMS.take(conn, self._clock, limit, lease_seconds),
            points=(Point.CLAIM_BEFORE_COMMIT, Point.REQUEST_CLAIMED),
        )
        return [
            RequestClaim(
                id=row[1],
                kind=row[2],
                object_id=row[3],
                author=row[4],
                attempts=row[5],
                fence=row[6],
                lease_until=row[7],
                created_at=row[8],
                box=row[9],
            )
            for row in rows
        ]

    async def retry(self, claim: RequestClaim, delay: float, *, counted: bool = True) -> None:
        """`counted=False` takes the attempt back. Raises Fenced."""
        due = micros(self._clock.now()) + int(delay * SECOND)
        attempts = claim.attempts if counted else claim.attempts - 1
        await self._db.write(
            lambda conn: _CLAIMS.touch(conn, claim.id, claim.fence, due_at=due, attempts=attempts),
            points=(Point.RETRY_BEFORE_COMMIT, Point.RETRY_AFTER_COMMIT),
        )

    async def finish(self, claim: RequestClaim, *, done: bool, reason: str = "", answer: bytes | None = None) -> None:
        """Raises Fenced."""
        job = self.ending(claim, done=done, reason=reason, answer=answer)
        await self._db.write(job, points=(Point.RETRY_BEFORE_COMMIT, Point.REQUEST_AFTER_COMMIT))
        self._db.notify(Role.DESK)

    def ending(
        self, claim: RequestClaim, *, done: bool, reason: str = "", answer: bytes | None = None
    ) -> Callable[[Connection], None]:
        """The request's end, to be run in the transaction that does what was asked for: if we died between two, it
        would be found done, and told as failed. Raises Fenced, which undoes both."""
        now = micros(self._clock.now())
        to = states.Asked.DONE if done else states.Asked.FAILED

        def job(conn: Connection) -> None:
            _CLAIMS.move(conn, claim.id, claim.fence, to, reason=reason, answer=answer, box=None, changed_at=now)
            put_feed(conn, Kind.REQUEST, now, object=claim.object_id)
            facts = {"reason": reason} if reason else {}
            event = Event.REQUEST_DONE if done else Event.REQUEST_FAILED
            note(conn, record(event, object=claim.id, kind=claim.kind, person=claim.author, **facts))

        return job

    async def find(self, id: str) -> Asked | None:
        def job(conn: Connection) -> Asked | None:
            row = conn.execute(select(*_SEEN).where(_TABLE.c.id == id)).first()
            return None if row is None else _asked(row)

        return await self._db.read(job)

    async def pending(self, object_id: str) -> list[Asked]:
        """What is asked for about an object and not yet done."""

        def job(conn: Connection) -> list[Asked]:
            rows = conn.execute(
                select(*_SEEN)
                .where(_TABLE.c.object_id == object_id, _TABLE.c.state == states.Asked.WAITING.value)
                .order_by(_TABLE.c.position)
            )
            return [_asked(row) for row in rows]

        return await self._db.read(job)

    async def key_ids_in_use(self) -> frozenset[KeyId]:
        return await self._db.read(lambda conn: key_ids(conn, _TABLE))


def _asked(row: Any) -> Asked:
    return Asked(**row._mapping)

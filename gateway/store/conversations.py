"""Conversations as the desk changes them: claim, release, close, reopen. States by `gateway.states`, here and nowhere
else.

Rules: a claim is a lease with a fencing token; whoever acts under an old one gets `Fenced`. A lease that ran out counts
as released. The desk changes no stamped column.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, select, update

from gateway import limits
from gateway.audit import Event, note, record
from gateway.errors import Fenced
from gateway.ids import Clock, micros
from gateway.states import Talk, may
from gateway.store import schema
from gateway.store.claiming import SECOND
from gateway.store.database import Database, Role
from gateway.store.feed import Kind, put_feed

T = TypeVar("T")

_TALKS: Final = schema.conversations
_HORIZON: Final = int(limits.DUE_HORIZON_SECONDS * SECOND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """`until` in microseconds."""

    conversation: str
    person: str
    fence: int
    until: int


def lease_is_live(lease_until: int, now: int) -> bool:
    """A lease that ends further off than any of ours comes of a clock that was set back."""
    return now < lease_until <= now + _HORIZON


def live(now: int) -> Any:
    """The same as a condition on a row."""
    return (_TALKS.c.state == Talk.CLAIMED.value) & (_TALKS.c.lease_until > now) & (
        _TALKS.c.lease_until <= now + _HORIZON
    )  # fmt: skip


def state_now(row: Any, now: int) -> Talk:
    """The state of a row, a lease that ran out taken as released."""
    state = Talk(row.state)
    return Talk.OPEN if state is Talk.CLAIMED and not lease_is_live(row.lease_until, now) else state


class Conversations:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def claim(self, conversation: str, person: str, seconds: float) -> Lease | None:
        """A new lease, or the person's own one made longer (same fence). None when somebody else has it, or when it is
        closed or unknown."""
        return await self._take(conversation, person, seconds, Event.CONVERSATION_CLAIMED, force=False)

    async def take_over(self, conversation: str, person: str, seconds: float) -> Lease | None:
        """A supervisor takes it from whoever has it. None when it is closed or unknown."""
        return await self._take(conversation, person, seconds, Event.CONVERSATION_TAKEN_OVER, force=True)

    async def release(self, conversation: str, person: str, fence: int) -> None:
        """Raises Fenced."""
        await self._end(conversation, person, fence, Talk.OPEN, Event.CONVERSATION_RELEASED)

    async def close(self, conversation: str, person: str, fence: int) -> None:
        """Raises Fenced."""
        await self._end(conversation, person, fence, Talk.CLOSED, Event.CONVERSATION_CLOSED)

    async def reopen(self, conversation: str, person: str) -> bool:
        """False when it isn't closed."""

        def job(conn: Connection, now: int) -> bool:
            row = _lock(conn, conversation)
            if row is None or Talk(row.state) is not Talk.CLOSED:
                return False
            _change(conn, row, Talk.OPEN, now, Event.CONVERSATION_REOPENED, person, closed_at=None)
            return True

        return await self._write(job)

    async def holds(self, conversation: str, person: str, fence: int) -> bool:
        """Whether this lease is good now."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> bool:
            question = select(_TALKS.c.id).where(
                _TALKS.c.id == conversation, _TALKS.c.claimed_by == person, _TALKS.c.fence == fence, live(now)
            )
            return conn.execute(question).first() is not None

        return await self._db.read(job)

    async def _take(self, conversation: str, person: str, seconds: float, event: Event, *, force: bool) -> Lease | None:
        def job(conn: Connection, now: int) -> Lease | None:
            row = _lock(conn, conversation)
            if row is None or Talk(row.state) is Talk.CLOSED:
                return None
            until = now + int(min(seconds, limits.DUE_HORIZON_SECONDS) * SECOND)
            taken = state_now(row, now) is Talk.CLAIMED
            if taken and row.claimed_by == person:
                conn.execute(update(_TALKS).where(_TALKS.c.id == conversation).values(lease_until=until))
                return Lease(conversation=conversation, person=person, fence=row.fence, until=until)
            if taken and not force:
                return None
            if Talk(row.state) is Talk.CLAIMED:  # by way of released: the table knows no other
                _allow(Talk.CLAIMED, Talk.OPEN)
            fence = row.fence + 1
            _change(
                conn, row, Talk.CLAIMED, now, event, person,
                before=Talk.OPEN, claimed_by=person, lease_until=until, fence=fence,
            )  # fmt: skip
            return Lease(conversation=conversation, person=person, fence=fence, until=until)

        return await self._write(job)

    async def _end(self, conversation: str, person: str, fence: int, to: Talk, event: Event) -> None:
        def job(conn: Connection, now: int) -> None:
            row = _lock(conn, conversation)
            if row is None or (row.claimed_by, row.fence) != (person, fence) or state_now(row, now) is not Talk.CLAIMED:
                raise Fenced
            closed: dict[str, Any] = {"closed_at": now, "waiting_since": None} if to is Talk.CLOSED else {}
            _change(conn, row, to, now, event, person, claimed_by=None, lease_until=0, **closed)

        await self._write(job)

    async def _write(self, job: Callable[[Connection, int], T]) -> T:
        now = micros(self._clock.now())
        result = await self._db.write(lambda conn: job(conn, now))
        self._db.notify(Role.DESK)
        return result


def _lock(conn: Connection, conversation: str) -> Any:
    columns = [_TALKS.c[name] for name in ("id", "state", "queue", "epoch", "claimed_by", "lease_until", "fence")]
    return conn.execute(select(*columns).where(_TALKS.c.id == conversation).with_for_update()).first()


def _allow(before: Talk, to: Talk) -> None:
    if not may(before, to):
        raise ValueError(f"conversation: {before} to {to}")


def _change(
    conn: Connection, row: Any, to: Talk, now: int, event: Event, person: str, *, before: Talk | None = None,
    **values: Any,
) -> None:  # fmt: skip
    _allow(before or Talk(row.state), to)
    conn.execute(update(_TALKS).where(_TALKS.c.id == row.id).values(state=to.value, **values))
    put_feed(conn, Kind.CONVERSATION, now, conversation=row.id, queue=row.queue, epoch=row.epoch)
    note(conn, record(event, conversation=row.id, person=person))

"""Numbers for metrics and health: ages, counts, failures. No customer data, no ids."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Table, func, select

from gateway.ids import micros
from gateway.states import Answered, Asked, Sending, Spooled, Talk
from gateway.store import schema
from gateway.store.claiming import SECOND
from gateway.store.database import Database, Role


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts by state; ages in seconds, 0.0 when there is none. `held_next_expiry`: seconds until the next."""

    spool: dict[str, int] = field(default_factory=dict)
    spool_age: float = 0.0
    spool_retrying: int = 0
    held_age: float = 0.0
    held_next_expiry: float = 0.0
    conversations: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    unanswered_age: float = 0.0
    replies: dict[str, int] = field(default_factory=dict)
    replies_age: float = 0.0
    requests: dict[str, int] = field(default_factory=dict)
    notices: int = 0
    outbox: dict[str, int] = field(default_factory=dict)
    outbox_age: float = 0.0
    dedupe: int = 0


_TALKS: Final = schema.conversations


async def stats(db: Database) -> Stats:
    """What this role may see; the rest stays empty. The edge: backlog and outbox; the desk: no spool but held ones."""
    now = micros(db.clock.now())

    def age(since: int | None) -> float:
        return 0.0 if since is None else max(0.0, (now - since) / SECOND)

    def job(conn: Connection) -> Stats:
        numbers: dict[str, Any] = {"outbox": _by_state(conn, schema.outbox)}
        numbers["outbox_age"] = age(_oldest(conn, schema.outbox, "created_at", Sending.READY, Sending.SENDING))
        if db.role is Role.EDGE:
            numbers["spool"] = {"rows": conn.execute(select(func.count(schema.spool.c.id))).scalar_one()}
            return Stats(**numbers)
        held = schema.held.c
        since, until = conn.execute(select(func.min(held.held_at), func.min(held.expires_at))).one()
        numbers |= {
            "held_age": age(since),
            "held_next_expiry": 0.0 if until is None else max(0.0, (until - now) / SECOND),
            "conversations": _by_state(conn, _TALKS),
            "replies": _by_state(conn, schema.replies),
            "replies_age": age(_oldest(conn, schema.replies, "created_at", Answered.WAITING, Answered.WORKING)),
            "requests": _by_state(conn, schema.requests),
        }
        waiting = (_TALKS.c.waiting_since.is_not(None), _TALKS.c.state != Talk.CLOSED.value)
        count, oldest = conn.execute(select(func.count(), func.min(_TALKS.c.waiting_since)).where(*waiting)).one()
        numbers |= {"unanswered": count, "unanswered_age": age(oldest)}
        if db.role is Role.DESK:
            numbers["spool"] = {Spooled.HELD.value: _count(conn, schema.held)}
            return Stats(**numbers)
        numbers |= {
            "spool": _by_state(conn, schema.spool),
            "spool_age": age(_oldest(conn, schema.spool, "received_at", Spooled.WAITING, Spooled.WORKING)),
            "spool_retrying": conn.execute(
                select(func.count())
                .select_from(schema.spool)
                .where(schema.spool.c.state == Spooled.WAITING.value, schema.spool.c.attempts > 0)
            ).scalar_one(),
            "notices": _count(conn, schema.notices),
            "dedupe": _count(conn, schema.dedupe),
        }
        return Stats(**numbers)

    return await db.read(job)


def _by_state(conn: Connection, table: Table) -> dict[str, int]:
    rows = conn.execute(select(table.c.state, func.count(table.c.id)).group_by(table.c.state))
    return {str(state): int(count) for state, count in rows}


def _count(conn: Connection, table: Table) -> int:
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def _oldest(conn: Connection, table: Table, column: str, *states: Spooled | Answered | Asked | Sending) -> int | None:
    names = [state.value for state in states]
    found = conn.execute(select(func.min(table.c[column])).where(table.c.state.in_(names))).scalar()
    return None if found is None else int(found)

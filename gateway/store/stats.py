"""Numbers for metrics and health: ages, counts, failures. No customer data, no ids."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, Table, case, func, select

from gateway.audit import Event
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
    """What this role may see; the rest stays empty. The edge: all but conversations, requests and notices; the desk: no
    spool but held ones."""
    now = micros(db.clock.now())

    def age(since: int | None) -> float:
        return 0.0 if since is None else max(0.0, (now - since) / SECOND)

    def job(conn: Connection) -> Stats:
        held = schema.held.c
        since, until = conn.execute(select(func.min(held.held_at), func.min(held.expires_at))).one()
        numbers: dict[str, Any] = {
            "outbox": _by_state(conn, schema.outbox),
            "outbox_age": age(_oldest(conn, schema.outbox, "created_at", Sending.READY, Sending.SENDING)),
            "held_age": age(since),
            "held_next_expiry": 0.0 if until is None else max(0.0, (until - now) / SECOND),
            "replies": _by_state(conn, schema.replies),
            "replies_age": age(_oldest(conn, schema.replies, "created_at", Answered.WAITING, Answered.WORKING)),
        }
        if db.role is Role.DESK:
            numbers["spool"] = {Spooled.HELD.value: _count(conn, schema.held)}
        else:
            numbers |= _spool(conn, age)
        if db.role is Role.EDGE:
            return Stats(**numbers)
        numbers |= {"conversations": _by_state(conn, _TALKS), "requests": _by_state(conn, schema.requests)}
        waiting = (_TALKS.c.waiting_since.is_not(None), _TALKS.c.state != Talk.CLOSED.value)
        count, oldest = conn.execute(select(func.count(), func.min(_TALKS.c.waiting_since)).where(*waiting)).one()
        numbers |= {"unanswered": count, "unanswered_age": age(oldest)}
        if db.role is not Role.DESK:
            numbers |= {"notices": _count(conn, schema.notices), "dedupe": _count(conn, schema.dedupe)}
        return Stats(**numbers)

    return await db.read(job)


class Tally:
    """What the audit took down since this was first asked, by event: of all roles, those without a listener too."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter({event.value: 0 for event in Event})
        self._heads: dict[str, int] | None = None

    async def refresh(self, db: Database) -> None:
        """Raises StoreError."""
        known = self._heads

        def job(conn: Connection) -> tuple[dict[str, int], Counter[str]]:
            heads, leaves = schema.audit_heads.c, schema.audit.c
            now = {str(chain): int(seq) for chain, seq in conn.execute(select(heads.chain, heads.seq))}
            found: Counter[str] = Counter()
            for chain, seq in now.items() if known is not None else ():
                new = (leaves.chain == chain, leaves.seq > (known or {}).get(chain, 0), leaves.seq <= seq)
                for event, count in conn.execute(select(leaves.event, func.count()).where(*new).group_by(leaves.event)):
                    found[str(event)] += int(count)
            return now, found

        self._heads, found = await db.read(job)
        self.counts.update(found)


def _spool(conn: Connection, age: Callable[[int | None], float]) -> dict[str, Any]:
    """In one pass; held ones don't wait for us."""
    spool = schema.spool.c
    tried = func.sum(case((spool.attempts > 0, 1), else_=0))
    rows = conn.execute(
        select(spool.state, func.count(spool.id), func.min(spool.received_at), tried).group_by(spool.state)
    ).all()
    active = [row for row in rows if row[0] != Spooled.HELD.value]
    return {
        "spool": {str(state): int(count) for state, count, _, _ in rows},
        "spool_age": age(min((int(oldest) for _, _, oldest, _ in active), default=None)),
        "spool_retrying": sum(int(again) for state, _, _, again in rows if state == Spooled.WAITING.value),
    }


def _by_state(conn: Connection, table: Table) -> dict[str, int]:
    rows = conn.execute(select(table.c.state, func.count(table.c.id)).group_by(table.c.state))
    return {str(state): int(count) for state, count in rows}


def _count(conn: Connection, table: Table) -> int:
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def _oldest(conn: Connection, table: Table, column: str, *states: Spooled | Answered | Asked | Sending) -> int | None:
    names = [state.value for state in states]
    found = conn.execute(select(func.min(table.c[column])).where(table.c.state.in_(names))).scalar()
    return None if found is None else int(found)

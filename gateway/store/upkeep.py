"""Upkeep: rows whose time is over. Each role clears what it may; a thousand rows at a time, so that nobody waits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, delete, select, tuple_

from gateway import limits
from gateway.ids import micros
from gateway.states import Asked
from gateway.store import schema
from gateway.store.claiming import SECOND
from gateway.store.database import Database, Role

_DAY: Final = 86_400
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class _Rule:
    """Rows of the table whose `column` is below now minus `seconds`, in units of so many microseconds."""

    role: Role
    table: Table
    column: Column[Any]
    seconds: float = 0.0
    only: Any = None


_RULES: Final = (
    _Rule(Role.INSPECTOR, schema.dedupe, schema.dedupe.c.expires_at),
    _Rule(Role.INSPECTOR, schema.bodies, schema.bodies.c.expires_at),
    _Rule(Role.INSPECTOR, schema.feed, schema.feed.c.at, limits.FEED_SECONDS),
    _Rule(
        Role.INSPECTOR, schema.requests, schema.requests.c.changed_at, 30 * _DAY,
        schema.requests.c.state.in_([Asked.DONE.value, Asked.FAILED.value]),
    ),
    _Rule(Role.DESK, schema.sessions, schema.sessions.c.expires_at),
    _Rule(Role.DESK, schema.idempotency, schema.idempotency.c.expires_at),
)  # fmt: skip


async def upkeep(db: Database) -> dict[str, int]:
    """How many rows went, by table. To be called now and then (an hour is often enough)."""
    now = micros(db.clock.now())
    gone: dict[str, int] = {}
    for rule in _RULES:
        if rule.role is not db.role:
            continue
        before = now - int(rule.seconds * SECOND)
        while count := await db.write(lambda conn, rule=rule, before=before: _clear(conn, rule, before)):  # type: ignore[misc]
            gone[rule.table.name] = gone.get(rule.table.name, 0) + count
    if db.role is Role.INSPECTOR:
        oldest = now // SECOND - 2 * _DAY
        count = await db.write(lambda conn: _clear_rates(conn, oldest))
        gone["rates"] = count
    return gone


def _clear(conn: Connection, rule: _Rule, before: int) -> int:
    keys = list(rule.table.primary_key.columns)
    old = select(*keys).where(rule.column < before)
    if rule.only is not None:
        old = old.where(rule.only)
    return conn.execute(delete(rule.table).where(tuple_(*keys).in_(old.limit(_BATCH)))).rowcount


def _clear_rates(conn: Connection, oldest: int) -> int:
    """A slot is named by the second at which it begins."""
    rates = schema.rates
    return conn.execute(delete(rates).where(rates.c.slot < oldest)).rowcount

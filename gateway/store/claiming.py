"""Claiming: how rows of the spool, the replies, requests, notices and the outbox are leased. One way for all of them.

A row may be claimed when it is due, and is the first in its lane that still wants work, and no other of its lane is
being worked on. `due_at` is the delay of one that waits and the end of the lease of one in work: whose worker died is
due again by itself.

Rules:
1. A claim counts the attempt and raises the fence, and is committed before the work starts.
2. Whatever is done with a claimed row is done `WHERE fence = …`: otherwise `Fenced`.
3. A due time further off than any lease or delay of ours comes of a clock that was set back, and counts as due.
4. Concurrent claimers on PostgreSQL skip each other's rows (FOR UPDATE SKIP LOCKED).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table, bindparam, exists, literal_column, select, update

from gateway import limits
from gateway.errors import Fenced
from gateway.ids import Clock, micros
from gateway.states import State, may
from gateway.store.statements import Prepared, Row, Value

SECOND = 1_000_000


def nothing(conn: Connection) -> None:
    """What else a transaction has to do, when there is nothing."""


class Claims:
    """Of one table. `waiting` and `working` are the states before and during the work; they may be the same."""

    def __init__(
        self,
        table: Table,
        waiting: State,
        working: State,
        columns: Sequence[str],
        *,
        horizon: float = limits.DUE_HORIZON_SECONDS,
    ) -> None:
        self._table, self._waiting, self._working = table, waiting, working
        self._horizon = int(horizon * SECOND)
        self._take = Prepared(_take(table, waiting, working, columns))
        self._moves: dict[tuple[str, ...], Prepared] = {}
        self._delete = Prepared(table.delete().where(*self._mine()))

    def take(self, conn: Connection, clock: Clock, limit: int, lease_seconds: float) -> list[Row]:
        """Rows of `position` and then the columns, in order."""
        now = micros(clock.now())
        rows = self._take.rows(
            conn, now=now, late=now + self._horizon, until=now + int(lease_seconds * SECOND), most=limit
        )
        return sorted(rows)

    def move(self, conn: Connection, id: str, fence: int, to: State, **values: Value) -> None:
        """A claimed row into another state. Raises Fenced. A change that isn't in `states.CHANGES` is our own error."""
        if to is not self._waiting and not may(self._working, to):
            raise ValueError(f"{self._table.name}: {self._working} to {to}")
        if self._run_move(conn, id, fence, {"state": to.value, **values}) != 1:
            raise Fenced

    def touch(self, conn: Connection, id: str, fence: int, **values: Value) -> None:
        """Other columns of a claimed row. Raises Fenced."""
        if self._run_move(conn, id, fence, values) != 1:
            raise Fenced

    def delete(self, conn: Connection, id: str, fence: int) -> None:
        """Raises Fenced."""
        if self._delete.run(conn, the_id=id, the_fence=fence) != 1:
            raise Fenced

    def _run_move(self, conn: Connection, id: str, fence: int, values: dict[str, Value]) -> int:
        names = tuple(sorted(values))
        statement = self._moves.get(names)
        if statement is None:
            changes: dict[str, Any] = {name: bindparam(f"to_{name}") for name in names}
            statement = Prepared(update(self._table).where(*self._mine()).values(changes))
            self._moves[names] = statement
        return statement.run(conn, the_id=id, the_fence=fence, **{f"to_{name}": values[name] for name in names})

    def _mine(self) -> tuple[Any, ...]:
        table = self._table
        return (
            table.c.id == bindparam("the_id"),
            table.c.fence == bindparam("the_fence"),
            table.c.state == _literal(self._working),
        )


def _literal(state: State) -> Any:
    """In the SQL itself, so that the partial indexes apply."""
    return literal_column(f"'{state.value}'")


def _take(table: Table, waiting: State, working: State, columns: Sequence[str]) -> Any:
    mine, other = table.alias("mine"), table.alias("other")
    states = list(dict.fromkeys((waiting, working)))
    now: Any = bindparam("now")
    late: Any = bindparam("late")

    def active(rows: Any) -> Any:
        return rows.c.state.in_([_literal(state) for state in states])

    before = exists().where(other.c.lane == mine.c.lane, active(other), other.c.position < mine.c.position)
    beside = exists().where(
        other.c.lane == mine.c.lane,
        other.c.state == _literal(working),
        other.c.position != mine.c.position,
        other.c.due_at > now,
        other.c.due_at <= late,
        other.c.fence > literal_column("0"),
    )
    following = (
        select(mine.c.position)
        .where(active(mine), (mine.c.due_at <= now) | (mine.c.due_at > late), ~before, ~beside)
        .order_by(mine.c.position)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, of=mine)
        .cte("following")
    )
    return (
        update(table)
        .where(table.c.position.in_(select(following.c.position)))
        .values(
            state=_literal(working),
            due_at=bindparam("until"),
            attempts=table.c.attempts + literal_column("1"),
            fence=table.c.fence + literal_column("1"),
        )
        .returning(table.c.position, *(table.c[name] for name in columns))
    )

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

from sqlalchemy import Connection, Table, bindparam, exists, func, literal_column, select, update

from gateway import limits
from gateway.errors import Fenced
from gateway.ids import Clock, micros
from gateway.states import State, may
from gateway.store.statements import Prepared, Row, Value

SECOND = 1_000_000
_WINDOW = 100
"""So many rows from the front are looked at for a claim, and four times as many as are wanted; then lanes are."""
_LANES = 200
"""So many lanes are walked in one statement."""
_WALKS = 10
"""So many statements for one claim."""


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
        self._walk = Prepared(_walk(table, waiting, working))
        self._take_one = Prepared(_take_one(table, waiting, working, columns))
        self._lane = b""
        self._moves: dict[tuple[str, ...], Prepared] = {}
        self._delete = Prepared(table.delete().where(*self._mine()))

    def take(self, conn: Connection, clock: Clock, limit: int, lease_seconds: float) -> list[Row]:
        """Rows of `position` and then the columns, in order."""
        now = micros(clock.now())
        times: dict[str, Value] = {"now": now, "late": now + self._horizon, "until": now + int(lease_seconds * SECOND)}
        rows = self._take.rows(conn, most=limit, window=limit * 4 + _WINDOW, **times)
        if len(rows) < limit:
            rows += self._by_lane(conn, limit - len(rows), times)
        return sorted(rows)

    def _by_lane(self, conn: Connection, limit: int, times: dict[str, Value]) -> list[Row]:
        """From lane to lane, on from where the last walk ended: the rows in front may all stand in a few long lanes."""
        rows: list[Row] = []
        began = since = self._lane
        wrapped = not began
        for _ in range(_WALKS):
            found = self._walk.rows(conn, since=since, now=times["now"], late=times["late"])
            for lane, position, due in found:
                since = bytes(lane)
                if due:
                    rows += self._take_one.rows(conn, which=position, **times)
                if len(rows) == limit:
                    break
            if len(rows) == limit or (wrapped and (len(found) < _LANES or since >= began > b"")):
                break
            if len(found) < _LANES:
                since, wrapped = b"", True
        self._lane = since
        return rows

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


def _active(rows: Any, waiting: State, working: State) -> Any:
    return rows.c.state.in_([_literal(state) for state in dict.fromkeys((waiting, working))])


_NOW: Any = bindparam("now")
_LATE: Any = bindparam("late")


def _due(rows: Any) -> Any:
    return (rows.c.due_at <= _NOW) | (rows.c.due_at > _LATE)


def _beside(mine: Any, other: Any, working: State) -> Any:
    """Another one of the lane is being worked on."""
    return exists().where(
        other.c.lane == mine.c.lane,
        other.c.state == _literal(working),
        other.c.position != mine.c.position,
        other.c.due_at > _NOW,
        other.c.due_at <= _LATE,
        other.c.fence > literal_column("0"),
    )


def _leased(table: Table, working: State, columns: Sequence[str]) -> Any:
    return (
        update(table)
        .values(
            state=_literal(working),
            due_at=bindparam("until"),
            attempts=table.c.attempts + literal_column("1"),
            fence=table.c.fence + literal_column("1"),
        )
        .returning(table.c.position, *(table.c[name] for name in columns))
    )


def _take(table: Table, waiting: State, working: State, columns: Sequence[str]) -> Any:
    """The first of their lanes among the first rows that are due."""
    front, mine, other = table.alias("front"), table.alias("mine"), table.alias("other")
    window = (
        select(front.c.position)
        .where(_active(front, waiting, working), _due(front))
        .order_by(front.c.position)
        .limit(bindparam("window"))
        .cte("window_")
    )
    before = exists().where(
        other.c.lane == mine.c.lane, _active(other, waiting, working), other.c.position < mine.c.position
    )
    following = (
        select(mine.c.position)
        .join(window, window.c.position == mine.c.position)
        .where(_active(mine, waiting, working), _due(mine), ~before, ~_beside(mine, other, working))
        .order_by(window.c.position)
        .limit(bindparam("most"))
        .with_for_update(skip_locked=True, of=mine)
        .cte("following")
    )
    return _leased(table, working, columns).where(table.c.position.in_(select(following.c.position)))


def _walk(table: Table, waiting: State, working: State) -> Any:
    """Of each lane after `since`, in order, the first row that still wants work, and whether it is due."""
    one, other, mine, first = (table.alias(name) for name in ("one", "other", "mine", "first"))
    start = (
        select(one.c.lane).where(_active(one, waiting, working), one.c.lane > bindparam("since"))
    ).order_by(one.c.lane).limit(literal_column("1"))  # fmt: skip
    walk = select(start.scalar_subquery().label("lane"), literal_column("1").label("n")).cte("walk", recursive=True)
    following = (
        select(other.c.lane)
        .where(_active(other, waiting, working), other.c.lane > walk.c.lane)
        .order_by(other.c.lane)
        .limit(literal_column("1"))
        .correlate(walk)
        .scalar_subquery()
    )
    walk = walk.union_all(
        select(following, walk.c.n + literal_column("1")).where(
            walk.c.lane.is_not(None), walk.c.n < literal_column(str(_LANES))
        )
    )
    head = (
        select(func.min(first.c.position))
        .where(first.c.lane == walk.c.lane, _active(first, waiting, working))
        .correlate(walk)
        .scalar_subquery()
    )
    return (
        select(walk.c.lane, mine.c.position, _due(mine).label("due"))
        .select_from(walk.join(mine, mine.c.position == head))
        .where(walk.c.lane.is_not(None))
        .order_by(walk.c.n)
    )


def _take_one(table: Table, waiting: State, working: State, columns: Sequence[str]) -> Any:
    other = table.alias("other")
    return _leased(table, working, columns).where(
        table.c.position == bindparam("which"),
        _active(table, waiting, working),
        _due(table),
        ~_beside(table, other, working),
    )

"""The writer: one thread, one connection, and as many jobs in a transaction as wait for one.

    jobs wait ─► BEGIN ─► job 1 in a savepoint, job 2 in a savepoint … ─► audit ─► COMMIT ─► results
                            │ raises: its savepoint is undone                │ fails: everybody hears StoreDown

Rules:
1. Nobody hears of a result before the COMMIT has returned.
2. A job that fails takes nothing along; a database that fails takes the whole group, and nothing of it stands.
3. Items for the same bulk job are handed to it together, as one statement's worth.
4. After a deadlock each job of the group runs again, alone.
5. After an I/O error no more is written: the kernel may have dropped pages that fsync won't tell of again.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from sqlalchemy import Connection, Engine

from gateway import audit, limits
from gateway.errors import StoreDown, StoreFull
from gateway.killpoints import Point, reach
from gateway.store.disk import Ballast
from gateway.store.engines import collided, failed_disk, mapped

Job = Callable[[Connection], Any]
Bulk = Callable[[Connection, Sequence[Any]], Sequence[Any]]
Points = tuple[Point, Point] | None
"""Kill points right before and right after the COMMIT."""


@dataclass(slots=True, eq=False)
class Waiting:
    """One caller. Exactly one of `job` and `bulk` is there; `item` belongs to `bulk`."""

    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    points: Points
    job: Job | None = None
    bulk: Bulk | None = None
    item: Any = None
    result: Any = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Unit:
    """What shares one savepoint: a job, or all items of one bulk job."""

    run: Job
    callers: list[Waiting] = field(default_factory=list)


class Writer:
    def __init__(
        self,
        engine: Engine,
        pending: audit.Pending,
        *,
        name: str,
        connected: Callable[[Connection, audit.Pending], None],
        turn: AbstractContextManager[None] | None = None,
        ballast: Ballast | None = None,
        checkpoints: bool = False,
    ) -> None:
        """`connected` is called with each new connection. `turn` is held during each transaction."""
        self._engine, self._pending, self._connected = engine, pending, connected
        self._turn = turn or nullcontext()
        self._ballast = ballast
        self._checkpoints = checkpoints
        self._conn: Connection | None = None
        self._jobs: deque[Waiting] = deque()
        self._bulks: deque[Waiting] = deque()
        self._wakeup = threading.Condition()
        self._stopping = False
        self.broken = threading.Event()
        self.on_broken: Callable[[], object] = lambda: None
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)

    def start(self) -> None:
        """Connects first, so that what is wrong is raised here."""
        self._connection()
        self._thread.start()

    def submit(self, waiting: Waiting) -> None:
        """From the event loop. Raises StoreDown when closed, broken, or when too many wait."""
        with self._wakeup:
            if self._stopping or self.broken.is_set():
                raise StoreDown
            queue = self._jobs if waiting.bulk is None else self._bulks
            if len(queue) >= limits.INTAKE_WAITING:
                raise StoreDown
            queue.append(waiting)
            self._wakeup.notify()

    def stop(self) -> None:
        """Works off what waits, then ends. Blocks."""
        with self._wakeup:
            self._stopping = True
            self._wakeup.notify()
        if self._thread.is_alive():
            self._thread.join()

    # --- in the thread

    def _main(self) -> None:
        due = monotonic() + limits.CHECKPOINT_SECONDS
        while True:
            with self._wakeup:
                while not (self._jobs or self._bulks or self._stopping):
                    if not self._wakeup.wait(max(0.0, due - monotonic()) if self._checkpoints else None):
                        break
                group = [queue.popleft() for queue in (self._bulks, self._jobs) for _ in range(_share(queue))]
                if not group and self._stopping:
                    break
            if group:
                self._work(group)
            if self._checkpoints and monotonic() >= due:
                self._checkpoint()
                due = monotonic() + limits.CHECKPOINT_SECONDS
        self._drop(hard=False)

    def _work(self, group: list[Waiting]) -> None:
        try:
            units = _units(group)
            error = self._transact(units)
            if isinstance(mapped(error) if error else None, StoreFull) and self._ballast and self._ballast.give():
                error = self._transact(_units(group))
            if error is not None and collided(error):
                for unit in units:
                    self._alone(unit)
            elif error is None:
                self._split(units)
            elif error is not None:
                _fail(group, error)
        except BaseException as error:  # noqa: BLE001 - the thread must outlive whatever happens in a job
            _fail(group, error)
        _deliver(group)

    def _split(self, units: Sequence[_Unit]) -> None:
        """One item that the database refuses must not take the others of its bulk job along."""
        for unit in units:
            first = unit.callers[0]
            if first.bulk is not None and first.error is not None and len(unit.callers) > 1:
                for caller in unit.callers:
                    self._alone(_Unit(_together(first.bulk, [caller]), [caller]))

    def _alone(self, unit: _Unit) -> None:
        for _ in range(3):
            error = self._transact([unit])
            if error is None or not collided(error):
                break
        if error is not None:
            _fail(unit.callers, error)

    def _transact(self, units: Sequence[_Unit]) -> BaseException | None:
        """The error that stopped the whole group, if any; results stand in the callers."""
        for caller in (caller for unit in units for caller in unit.callers):
            caller.result = caller.error = None
        points = {caller.points for unit in units for caller in unit.callers if caller.points}
        try:
            with self._turn:
                conn = self._connection()
                conn.begin()
                self._pending.attach(conn)
                for unit in units:
                    self._run(conn, unit, alone=len(units) == 1)
                if all(caller.error for unit in units for caller in unit.callers):
                    conn.rollback()
                    return None
                self._pending.flush(conn)
                for before, _ in points:
                    reach(before)
                conn.commit()
                for _, after in points:
                    reach(after)
        except BaseException as error:  # noqa: BLE001 - reported to every caller
            self._drop(hard=not collided(error))
            if failed_disk(error):
                self.broken.set()
                self.on_broken()
            return error
        return None

    def _run(self, conn: Connection, unit: _Unit, *, alone: bool) -> None:
        """A job's own error undoes its savepoint and is kept for its callers; a database's error goes up."""
        noted = len(self._pending.records)
        if not alone:
            _plain(conn, "SAVEPOINT job")
        try:
            results = unit.run(conn)
        except Exception as error:
            ours = mapped(error)
            if isinstance(ours, StoreDown | StoreFull) and ours is not error:
                raise
            del self._pending.records[noted:]
            if alone:
                conn.rollback()
            else:
                _plain(conn, "ROLLBACK TO SAVEPOINT job")
            _fail(unit.callers, error)
        else:
            for caller, result in zip(unit.callers, results, strict=True):
                caller.result = result
        if not alone:
            _plain(conn, "RELEASE SAVEPOINT job")

    def _connection(self) -> Connection:
        if self._conn is None:
            conn = self._engine.connect()
            try:
                self._connected(conn, self._pending)
            except BaseException:
                conn.close()
                raise
            self._conn = conn
        return self._conn

    def _drop(self, *, hard: bool) -> None:
        """After a failure: rolls back, or throws the connection away."""
        conn = self._conn
        if conn is None:
            return
        try:
            conn.rollback()
            if not hard:
                if not self._stopping:
                    return
            else:
                conn.invalidate()
            conn.close()
        except Exception:  # noqa: BLE001, S110 - the connection is lost anyway
            pass
        self._conn = None

    def _checkpoint(self) -> None:
        """Empties the write-ahead log if nobody is reading in it just now."""
        try:
            with self._turn:
                conn = self._connection()
                _plain(conn, "PRAGMA busy_timeout=0")
                _plain(conn, "PRAGMA wal_checkpoint(TRUNCATE)")
                _plain(conn, f"PRAGMA busy_timeout={int(limits.STORE_WAIT_SECONDS * 1000)}")
            if self._ballast is not None:
                self._ballast.take()
        except Exception as error:  # noqa: BLE001 - the next one will do
            self._drop(hard=True)
            if failed_disk(error):
                self.broken.set()
                self.on_broken()


def _share(queue: deque[Waiting]) -> int:
    return min(len(queue), limits.GROUP_COMMIT_ROWS)


def _units(group: Sequence[Waiting]) -> list[_Unit]:
    """Jobs one by one, the items of each bulk job together."""
    units: list[_Unit] = []
    bulks: dict[Bulk, _Unit] = {}
    for caller in group:
        if caller.bulk is None:
            units.append(_Unit(_single(caller), [caller]))
            continue
        unit = bulks.get(caller.bulk)
        if unit is None:
            unit = bulks[caller.bulk] = _Unit(lambda conn: ())
            unit.run = _together(caller.bulk, unit.callers)
            units.append(unit)
        unit.callers.append(caller)
    return units


def _single(caller: Waiting) -> Job:
    job = caller.job
    if job is None:
        raise TypeError("neither a job nor a bulk job")
    return lambda conn: (job(conn),)


def _together(bulk: Bulk, callers: Sequence[Waiting]) -> Job:
    return lambda conn: bulk(conn, [caller.item for caller in callers])


def _plain(conn: Connection, sql: str) -> None:
    cursor = conn.connection.cursor()
    try:
        cursor.execute(sql)
    finally:
        cursor.close()


def _fail(callers: Sequence[Waiting], error: BaseException) -> None:
    ours = mapped(error)
    for caller in callers:
        caller.error = error if ours is None else type(ours)(*ours.args)


def _deliver(group: Sequence[Waiting]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
    for caller in group:
        by_loop.setdefault(caller.loop, []).append(caller)
    for loop, callers in by_loop.items():
        try:
            loop.call_soon_threadsafe(_tell, callers)
        except RuntimeError:  # the loop is closed: nobody waits any more
            continue


def _tell(callers: Sequence[Waiting]) -> None:
    for caller in callers:
        if caller.future.done():
            continue
        if caller.error is not None:
            caller.future.set_exception(caller.error)
        else:
            caller.future.set_result(caller.result)

"""Database: one role's way into the store. One writer thread, a few readers, nothing else.

    await db.write(job)     job(connection) runs in the writer thread; jobs that wait meanwhile share one transaction
                            (group commit), each in a savepoint of its own; the result comes only after the COMMIT
    await db.together(bulk, item)   the same for many small writes: items that wait together come in one call
    await db.read(job)      job(connection) runs on a reader, in a snapshot that sees no half of anything

Rules:
1. A job may run more than once (after a deadlock), and does nothing but talk to its connection. It doesn't go on after
   a database error: on PostgreSQL its savepoint is void then.
2. A job never awaits: no transaction is open across an await.
3. Cancelling `write` doesn't cancel the commit.
4. Durability is asserted when the store is opened, by reading back: `Unsafe` says what is wrong.
5. Errors come as `StoreDown`, `StoreFull`, `Fenced` or `StoreError`, and say nothing of what was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Final, TypeVar

from sqlalchemy import Connection, text
from sqlalchemy.engine import make_url

from gateway import audit, limits
from gateway.errors import StoreDown, Unsafe
from gateway.ids import Clock
from gateway.killpoints import Point
from gateway.store import disk, engines, schema
from gateway.store.waking import Wake
from gateway.store.writer import Waiting, Writer

T = TypeVar("T")
I = TypeVar("I")  # noqa: E741 - an item


class Role(StrEnum):
    """Whose rights a connection has. ADMIN owns the tables: `vestibule db`, `user add`, tests."""

    EDGE = "edge"
    INSPECTOR = "inspector"
    DESK = "desk"
    ADMIN = "admin"


_SLOTS: Final = 64
"""Writers of one role at once on PostgreSQL."""
_SLOT_CLASS: Final = 0x56455354
"""The class of our advisory locks there; the key is the role's place times `_SLOTS` plus the slot."""
_SPACE_SECONDS: Final = 1.0
"""How long a look at the free space is good for."""


class Database:
    def __init__(self, url: str, role: Role, clock: Clock, wake: Wake | None) -> None:
        """Use `open`."""
        self.role: Final = role
        self.clock: Final = clock
        self.dialect: Final = make_url(url).get_backend_name()
        self.wake: Final = wake
        file = make_url(url).database or ""
        self.file: Final = Path(file) if self.dialect == "sqlite" else None
        rights = None if role is Role.ADMIN else role.value
        self._write_engine = engines.make(url, role=rights, reader=False)
        self._read_engine = engines.make(url, role=rights, reader=True)
        self._turn: disk.Turnstile | None = None
        self._ballast: disk.Ballast | None = None
        self._pending = audit.Pending(f"{role.value}.0", clock)
        self._writer: Writer | None = None
        self._readers = ThreadPoolExecutor(limits.READERS, f"store-{role.value}-reader")
        self._space_until = 0.0
        self._space = True

    @classmethod
    def open(cls, url: str, role: Role, *, clock: Clock, wake: Wake | None = None) -> Database:
        """`url` as `Config.store_url` gives it. Raises Unsafe, StoreDown."""
        db = cls(url, role, clock, wake)
        try:
            db._start()
        except BaseException as error:
            db._dispose()
            ours = engines.mapped(error)
            if ours is None or ours is error:
                raise
            raise ours from None
        return db

    @property
    def chain(self) -> str:
        """The audit chain that this writer appends to."""
        return self._pending.chain

    async def write(self, job: Callable[[Connection], T], *, points: tuple[Point, Point] | None = None) -> T:
        """`points`: the kill points right before and after the COMMIT.
        Raises what the job raises (its savepoint is undone), StoreDown, StoreFull."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(loop, loop.create_future(), points, job=job)
        self._running().submit(waiting)
        result: T = await waiting.future
        return result

    async def together(
        self,
        bulk: Callable[[Connection, Sequence[I]], Sequence[T]],
        item: I,
        *,
        points: tuple[Point, Point] | None = None,
    ) -> T:
        """`bulk` gets the items that wait for it and returns a result for each, in order. It must be the same function
        each time. Raises StoreDown (also when more than limits.INTAKE_WAITING wait), StoreFull."""
        loop = asyncio.get_running_loop()
        waiting = Waiting(loop, loop.create_future(), points, bulk=bulk, item=item)
        self._running().submit(waiting)
        result: T = await waiting.future
        return result

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Raises what the job raises, StoreDown."""
        self._running()
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, job)

    def _read(self, job: Callable[[Connection], T]) -> T:
        try:
            with self._read_engine.connect() as conn:
                try:
                    with conn.begin():
                        return job(conn)
                except Exception as error:
                    ours = engines.mapped(error)
                    if isinstance(ours, StoreDown) and ours is not error:
                        conn.invalidate()
                    raise
        except Exception as error:
            ours = engines.mapped(error)
            if ours is None or ours is error:
                raise
            raise ours from None

    def notify(self, role: Role) -> None:
        """Wakes the role, if there is a way to; many calls make one wake-up."""
        if self.wake is not None:
            self.wake.notify(role)

    def has_space(self) -> bool:
        """Whether the disk has more left than the reserve. On PostgreSQL the server tells, when it writes."""
        if self.file is not None and monotonic() >= self._space_until:
            self._space = disk.free(self.file) > limits.DISK_RESERVE_BYTES
            self._space_until = monotonic() + _SPACE_SECONDS
        return self._space

    async def broken(self) -> None:
        """Returns when the disk has failed a write or an fsync: the process must end, for what the kernel has dropped
        can't be told any more. Never returns otherwise."""
        writer, loop, told = self._running(), asyncio.get_running_loop(), asyncio.Event()
        writer.on_broken = lambda: loop.call_soon_threadsafe(told.set)
        if not writer.broken.is_set():
            await told.wait()

    async def close(self) -> None:
        """Commits what was handed in, then ends the threads."""
        writer, self._writer = self._writer, None
        if writer is not None:
            await asyncio.to_thread(writer.stop)
        await asyncio.to_thread(self._dispose)

    # --- opening

    def _start(self) -> None:
        if self.file is not None:
            if not self.file.exists():
                raise Unsafe("there is no store yet; make it with `vestibule db upgrade`")
            disk.refuse_network(self.file)
            self._turn = disk.Turnstile(self.file, limits.STORE_WAIT_SECONDS)
            if self.role is Role.INSPECTOR:
                self._ballast = disk.Ballast(Path(f"{self.file}-ballast"))
                self._ballast.take()
        self._read(self._right_revision)
        writer = Writer(
            self._write_engine,
            self._pending,
            name=f"store-{self.role.value}-writer",
            connected=self._connected,
            turn=self._turn,
            ballast=self._ballast,
            checkpoints=self.role is Role.INSPECTOR and self.file is not None,
        )
        writer.start()
        self._writer = writer

    def _right_revision(self, conn: Connection) -> None:
        try:
            found = conn.execute(text("SELECT version_num FROM alembic_version")).scalar()
        except Exception as error:
            if isinstance(engines.mapped(error), StoreDown):
                raise
            found = None
        if found != schema.REVISION:
            raise Unsafe("the store isn't at this program's revision; run `vestibule db upgrade`")

    def _connected(self, conn: Connection, pending: audit.Pending) -> None:
        """On PostgreSQL several writers of a role may run: each takes an audit chain for itself."""
        if self.dialect != "postgresql":
            return
        place = list(Role).index(self.role) * _SLOTS
        for slot in range(_SLOTS):
            question = text("SELECT pg_try_advisory_lock(:class, :key)").bindparams(**{"class": _SLOT_CLASS})
            if conn.execute(question, {"key": place + slot}).scalar():
                conn.commit()
                pending.chain = f"{self.role.value}.{slot}"
                return
        conn.rollback()
        raise StoreDown

    def _running(self) -> Writer:
        if self._writer is None:
            raise StoreDown
        return self._writer

    def _dispose(self) -> None:
        self._readers.shutdown(wait=True)
        self._write_engine.dispose()
        self._read_engine.dispose()
        if self._turn is not None:
            self._turn.close()
            self._turn = None

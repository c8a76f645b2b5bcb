"""Database: one role's way into the store. One writer thread, a few readers, nothing else.

    await db.write(job)     job(connection) runs in the writer thread; jobs that wait meanwhile share one transaction
                            (group commit), each in a savepoint of its own; the result comes only after the COMMIT
    await db.read(job)      job(connection) runs on a reader, in a snapshot that sees no half of anything

Rules:
1. A job may run more than once (after a deadlock), and does nothing but talk to its connection.
2. A job never awaits: no transaction is open across an await.
3. Cancelling `write` doesn't cancel the commit.
4. Durability is asserted when the store is opened, by reading back: `Unsafe` says what is wrong.
5. Errors come as `StoreDown`, `StoreFull`, `Fenced` or `StoreError`, and say nothing of what was written.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from sqlalchemy import Connection

from gateway.ids import Clock
from gateway.store.waking import Wake

T = TypeVar("T")


class Role(StrEnum):
    """Whose rights a connection has. ADMIN owns the tables: `vestibule db`, `user add`, tests."""

    EDGE = "edge"
    INSPECTOR = "inspector"
    DESK = "desk"
    ADMIN = "admin"


class Database:
    role: Role
    clock: Clock
    dialect: str
    """"sqlite" or "postgresql"."""
    chain: str
    """The audit chain that this writer appends to."""

    @classmethod
    def open(cls, url: str, role: Role, *, clock: Clock, wake: Wake | None = None) -> Database:
        """`url` as `Config.store_url` gives it. Raises Unsafe, StoreDown."""
        raise NotImplementedError

    async def write(self, job: Callable[[Connection], T]) -> T:
        """Raises what the job raises (its savepoint is undone), StoreDown, StoreFull."""
        raise NotImplementedError

    async def read(self, job: Callable[[Connection], T]) -> T:
        """Raises what the job raises, StoreDown."""
        raise NotImplementedError

    def notify(self, role: Role) -> None:
        """Wakes the role, if there is a way to; many calls make one wake-up."""
        raise NotImplementedError

    async def broken(self) -> None:
        """Returns when the disk has failed a write or an fsync: the process must end, for what the kernel has dropped
        can't be told any more. Never returns otherwise."""
        raise NotImplementedError

    async def close(self) -> None:
        """Commits what was handed in, then ends the threads."""
        raise NotImplementedError

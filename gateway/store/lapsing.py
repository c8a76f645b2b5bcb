"""Lapsing: what a predecessor had claimed when it died needn't wait for the end of its lease.

Rules:
1. Only on SQLite, where a role is one process: there whatever is in work when it starts is a dead process's. On
   PostgreSQL others may be at work, and leases end by themselves.
2. Even if the predecessor is alive after all, nothing is done twice: the next claim raises the fence.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Table, update

from gateway.ids import micros
from gateway.states import Answered, Asked, Sending, Spooled, State
from gateway.store import schema
from gateway.store.database import Database, Role

_WORKED_ON: Final[dict[Role, tuple[tuple[Table, State], ...]]] = {
    Role.INSPECTOR: (
        (schema.spool, Spooled.WORKING),
        (schema.replies, Answered.WORKING),
        (schema.notices, Answered.WORKING),
        (schema.requests, Asked.WAITING),
    ),
    Role.EDGE: ((schema.outbox, Sending.SENDING),),
}


async def lapse(db: Database) -> int:
    """To be called once, when a role starts; how many leases were ended. Raises StoreDown, StoreFull."""
    if db.dialect != "sqlite":
        return 0
    now = micros(db.clock.now())

    def job(conn: Connection) -> int:
        count = 0
        for table, state in _WORKED_ON.get(db.role, ()):
            leased = (table.c.state == state.value) & (table.c.due_at > now) & (table.c.fence > 0)
            count += conn.execute(update(table).where(leased).values(due_at=now)).rowcount
        return count

    return await db.write(job)

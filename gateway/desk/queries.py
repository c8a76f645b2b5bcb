"""What the desk asks of the store beside `gateway.store`'s own functions: a look at a session that doesn't count."""

from __future__ import annotations

import hashlib

from sqlalchemy import Connection, select

from gateway import limits
from gateway.ids import Clock, micros
from gateway.store.database import Database
from gateway.store.people import Session, User
from gateway.store.schema import sessions, users
from keys.secret import Secret


async def glance(db: Database, token: Secret[str], clock: Clock) -> Session | None:
    """As `People.session`, without noting a visit: for what the page does by itself."""
    key = hashlib.sha256(token.reveal().encode()).digest()
    now = micros(clock.now())
    idle = int(limits.SESSION_IDLE_SECONDS * 1_000_000)
    query = (
        select(users, sessions.c.created_at.label("session_created"), sessions.c.seen_at, sessions.c.expires_at)
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(
            sessions.c.key == key, sessions.c.expires_at > now, sessions.c.seen_at > now - idle,
            users.c.disabled.is_(False),
        )
    )  # fmt: skip

    def job(conn: Connection) -> Session | None:
        row = conn.execute(query).mappings().first()
        if row is None:
            return None
        user = User(
            id=row["id"], login=row["login"], name=row["name"], role=row["role"],
            queues=tuple(row["queues"].split()), permissions=tuple(row["permissions"].split()),
            language=row["language"], password="", disabled=False,
        )  # fmt: skip
        return Session(
            user=user, created_at=row["session_created"], seen_at=row["seen_at"], expires_at=row["expires_at"]
        )  # fmt: skip

    return await db.read(job)

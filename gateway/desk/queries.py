"""What the desk asks of the store beside `gateway.store`'s own functions: a look at a session that doesn't count, and
figures for the metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from gateway import limits
from gateway.ids import Clock, micros
from gateway.store.database import Database
from gateway.store.people import Session, User
from gateway.store.schema import conversations, drafts, held, sessions, users
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


async def with_drafts(db: Database, person: str, names: Sequence[str]) -> frozenset[str]:
    """Which of these (conversations or replies) the person has a draft for."""
    if not names:
        return frozenset()
    query = select(drafts.c.conversation_id).where(drafts.c.user_id == person, drafts.c.conversation_id.in_(names))
    return await db.read(lambda conn: frozenset(str(name) for name in conn.execute(query).scalars()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Conversations by state, how long the oldest unanswered one waits and the oldest held one is held, in seconds."""

    conversations: Mapping[str, int]
    waiting_seconds: float
    held: int
    held_seconds: float
    sessions: int


async def figures(db: Database, clock: Clock) -> Figures:
    now = micros(clock.now())

    def age(at: int | None) -> float:
        return max(0.0, (now - at) / 1_000_000) if at is not None else 0.0

    def job(conn: Connection) -> Figures:
        by_state = conn.execute(select(conversations.c.state, func.count()).group_by(conversations.c.state))
        kept, since = conn.execute(select(func.count(), func.min(held.c.held_at)).select_from(held)).one()
        return Figures(
            conversations={str(state): int(count) for state, count in by_state},
            waiting_seconds=age(conn.execute(select(func.min(conversations.c.waiting_since))).scalar()),
            held=int(kept),
            held_seconds=age(since),
            sessions=int(conn.execute(select(func.count()).where(sessions.c.expires_at > now)).scalar_one()),
        )

    return await db.read(job)

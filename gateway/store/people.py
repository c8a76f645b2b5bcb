"""People inside: users, their sessions, drafts, and answers kept for repeated requests. The desk's.

Rules: passwords stand as Argon2id hashes made elsewhere, session tokens and idempotency keys as SHA-256; drafts
and kept answers are sealed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Connection, delete, insert, select, update

from gateway import limits
from gateway.audit import Event, note, record
from gateway.ids import Clock, Ids, micros
from gateway.store import schema
from gateway.store.claiming import SECOND
from gateway.store.database import Database
from gateway.store.statements import adding
from keys.atrest import AtRest
from keys.errors import KeysError
from keys.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """`role`: agent, supervisor, admin, auditor. `queues` empty: all."""

    id: str
    login: str
    name: str
    role: str
    queues: tuple[str, ...]
    permissions: tuple[str, ...]
    language: str
    password: str = field(repr=False)
    disabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Times in microseconds."""

    user: User
    created_at: int
    seen_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    text: Secret[str] = field(repr=False)
    changed_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The answer to an earlier request with the same Idempotency-Key. `status` None: it is still being worked on."""

    same_request: bool
    status: int | None
    answer: Secret[bytes] | None = field(repr=False)


_USERS: Final = schema.users
_SESSIONS: Final = schema.sessions
_DRAFTS: Final = schema.drafts
_KEPT: Final = schema.idempotency
_SEEN_EVERY: Final = 30 * SECOND
"""A visit is written down at most that often: not every page costs a commit."""
_ABANDONED: Final = 60 * SECOND
"""A request whose process died may be tried again after so long."""
_ADD_USER: Final = adding(
    _USERS,
    ["id", "login", "name", "role", "queues", "permissions", "language", "password", "created_at", "changed_at"],
    unless=["login"],
    returning=["id"],
)
_ADD_KEPT: Final = adding(
    _KEPT, ["user_id", "key", "request", "expires_at"], unless=["user_id", "key"], returning=["user_id"]
)


class People:
    def __init__(self, db: Database, *, atrest: AtRest, clock: Clock, ids: Ids) -> None:
        self._db, self._atrest, self._clock, self._ids = db, atrest, clock, ids

    # --- users

    async def add_user(
        self,
        *,
        login: str,
        name: str,
        role: str,
        password: str,
        queues: tuple[str, ...] = (),
        permissions: tuple[str, ...] = (),
        language: str = "en",
        by: str = "cli",
    ) -> str | None:
        """The new id; None when the login is taken. `password` is the Argon2id hash."""
        id, now = self._ids.new(), self._now()

        def job(conn: Connection) -> str | None:
            added = _ADD_USER.rows(
                conn,
                id=id,
                login=login,
                name=name,
                role=role,
                queues=" ".join(queues),
                permissions=" ".join(permissions),
                language=language,
                password=password,
                created_at=now,
                changed_at=now,
            )
            if added:
                note(conn, record(Event.USER_ADDED, object=id, role=role, person=by))
            return id if added else None

        return await self._db.write(job)

    async def by_login(self, login: str) -> User | None:
        return await self._one(_USERS.c.login == login)

    async def user(self, id: str) -> User | None:
        return await self._one(_USERS.c.id == id)

    async def users(self) -> list[User]:
        """By login."""

        def job(conn: Connection) -> list[User]:
            return [_user(row) for row in conn.execute(select(_USERS).order_by(_USERS.c.login))]

        return await self._db.read(job)

    async def change_user(
        self,
        id: str,
        *,
        by: str,
        name: str | None = None,
        role: str | None = None,
        password: str | None = None,
        queues: tuple[str, ...] | None = None,
        permissions: tuple[str, ...] | None = None,
        language: str | None = None,
        disabled: bool | None = None,
    ) -> bool:
        """Ends the user's sessions when role, password or disabled change. False when there is no such user."""
        now = self._now()
        changes: dict[str, Any] = {
            "name": name,
            "role": role,
            "password": password,
            "queues": None if queues is None else " ".join(queues),
            "permissions": None if permissions is None else " ".join(permissions),
            "language": language,
            "disabled": disabled,
        }
        changes = {field_: value for field_, value in changes.items() if value is not None}

        def job(conn: Connection) -> bool:
            done = conn.execute(update(_USERS).where(_USERS.c.id == id).values(changed_at=now, **changes))
            if not done.rowcount:
                return False
            if changes.keys() & {"role", "password", "disabled"}:
                conn.execute(delete(_SESSIONS).where(_SESSIONS.c.user_id == id))
            note(conn, record(Event.USER_CHANGED, object=id, person=by, codes=tuple(sorted(changes))))
            return True

        return await self._db.write(job)

    # --- sessions

    async def start_session(self, user: str, token: Secret[str]) -> None:
        """`token`: the cookie's random value."""
        now = self._now()
        values = {
            "key": _digest(token.reveal()),
            "user_id": user,
            "created_at": now,
            "seen_at": now,
            "expires_at": now + int(limits.SESSION_ABSOLUTE_SECONDS * SECOND),
        }
        await self._db.write(lambda conn: _done(conn.execute(insert(_SESSIONS).values(**values))))

    async def session(self, token: Secret[str]) -> Session | None:
        """None when it ran out (idle or absolute, see limits), was ended, or the user is disabled. Notes the visit."""
        key, now = _digest(token.reveal()), self._now()
        idle = int(limits.SESSION_IDLE_SECONDS * SECOND)

        def job(conn: Connection) -> Session | None:
            row = conn.execute(
                select(_SESSIONS, _USERS)
                .join(_USERS, _USERS.c.id == _SESSIONS.c.user_id)
                .where(
                    _SESSIONS.c.key == key,
                    _SESSIONS.c.expires_at > now,
                    _SESSIONS.c.seen_at > now - idle,
                    _USERS.c.disabled.is_(False),
                )
            ).first()
            if row is None:
                return None
            return Session(
                user=_user(row),
                created_at=row._mapping[_SESSIONS.c.created_at],
                seen_at=row.seen_at,
                expires_at=row.expires_at,
            )

        found = await self._db.read(job)
        if found is not None and now - found.seen_at > _SEEN_EVERY:
            seen = update(_SESSIONS).where(_SESSIONS.c.key == key).values(seen_at=now)
            await self._db.write(lambda conn: _done(conn.execute(seen)))
        return found

    async def end_session(self, token: Secret[str]) -> None:
        key = _digest(token.reveal())
        await self._db.write(lambda conn: _done(conn.execute(delete(_SESSIONS).where(_SESSIONS.c.key == key))))

    async def end_sessions(self, user: str) -> int:
        return await self._db.write(
            lambda conn: _done(conn.execute(delete(_SESSIONS).where(_SESSIONS.c.user_id == user)))
        )

    # --- drafts

    async def save_draft(self, user: str, conversation: str, text: Secret[str]) -> None:
        """An empty text deletes it."""
        now = self._now()
        sealed = self._atrest.seal(Secret(text.reveal().encode()), _draft(user, conversation)) if text else None

        def job(conn: Connection) -> None:
            conn.execute(delete(_DRAFTS).where(_DRAFTS.c.user_id == user, _DRAFTS.c.conversation_id == conversation))
            if sealed is not None:
                conn.execute(
                    insert(_DRAFTS).values(user_id=user, conversation_id=conversation, sealed=sealed, changed_at=now)
                )

        await self._db.write(job)

    async def draft(self, user: str, conversation: str) -> Draft | None:
        """None also when its key was destroyed."""

        def job(conn: Connection) -> Any:
            return conn.execute(
                select(_DRAFTS).where(_DRAFTS.c.user_id == user, _DRAFTS.c.conversation_id == conversation)
            ).first()

        row = await self._db.read(job)
        if row is None:
            return None
        try:
            opened = self._atrest.open(row.sealed, _draft(user, conversation))
        except KeysError:
            return None
        return Draft(text=Secret(opened.reveal().decode()), changed_at=row.changed_at)

    # --- answers kept for repeated requests

    async def begin(self, user: str, key: str, request: bytes) -> Kept | None:
        """Takes the Idempotency-Key for this request (a digest of method, path and body): None when it is new and the
        caller is to do the work; otherwise what an earlier one came to."""
        digest, now = _digest(key), self._now()
        until = now + int(limits.IDEMPOTENCY_SECONDS * SECOND)
        mine = (_KEPT.c.user_id == user, _KEPT.c.key == digest)
        began = until - _ABANDONED

        def job(conn: Connection) -> Any:
            stale = (_KEPT.c.expires_at <= now) | (_KEPT.c.status.is_(None) & (_KEPT.c.expires_at <= began))
            conn.execute(delete(_KEPT).where(*mine, stale))
            if _ADD_KEPT.rows(conn, user_id=user, key=digest, request=request, expires_at=until):
                return None
            return conn.execute(select(_KEPT).where(*mine)).first()

        row = await self._db.write(job)
        if row is None:
            return None
        answer = None
        if row.answer is not None:
            try:
                answer = self._atrest.open(row.answer, _kept(user, digest))
            except KeysError:
                answer = Secret(b"")
        return Kept(same_request=bytes(row.request) == request, status=row.status, answer=answer)

    async def finish(self, user: str, key: str, status: int, answer: Secret[bytes]) -> None:
        digest = _digest(key)
        sealed = self._atrest.seal(answer, _kept(user, digest))
        statement = (
            update(_KEPT).where(_KEPT.c.user_id == user, _KEPT.c.key == digest).values(status=status, answer=sealed)
        )
        await self._db.write(lambda conn: _done(conn.execute(statement)))

    async def abandon(self, user: str, key: str) -> None:
        """The work failed: the key may be used again."""
        statement = delete(_KEPT).where(_KEPT.c.user_id == user, _KEPT.c.key == _digest(key), _KEPT.c.status.is_(None))
        await self._db.write(lambda conn: _done(conn.execute(statement)))

    def _now(self) -> int:
        return micros(self._clock.now())

    async def _one(self, condition: Any) -> User | None:
        def job(conn: Connection) -> User | None:
            row = conn.execute(select(_USERS).where(condition)).first()
            return None if row is None else _user(row)

        return await self._db.read(job)


def _done(result: Any) -> int:
    return int(result.rowcount)


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "surrogateescape")).digest()


def _draft(user: str, conversation: str) -> str:
    return f"draft/{user}/{conversation}"


def _kept(user: str, digest: bytes) -> str:
    return f"answer/{user}/{digest.hex()}"


def _user(row: Any) -> User:
    return User(
        id=row._mapping[_USERS.c.id],
        login=row.login,
        name=row.name,
        role=row.role,
        queues=tuple(row.queues.split()),
        permissions=tuple(row.permissions.split()),
        language=row.language,
        password=row.password,
        disabled=bool(row.disabled),
    )

"""People inside: users, their sessions, drafts, and answers kept for repeated requests. The desk's.

Rules: passwords stand as Argon2id hashes made elsewhere, session tokens and idempotency keys as SHA-256; drafts
and kept answers are sealed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.ids import Clock, Ids
from gateway.store.database import Database
from keys.atrest import AtRest
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


class People:
    def __init__(self, db: Database, *, atrest: AtRest, clock: Clock, ids: Ids) -> None:
        raise NotImplementedError

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
        raise NotImplementedError

    async def by_login(self, login: str) -> User | None:
        raise NotImplementedError

    async def user(self, id: str) -> User | None:
        raise NotImplementedError

    async def users(self) -> list[User]:
        raise NotImplementedError

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
        """Ends the user's sessions when role, password or disabled change."""
        raise NotImplementedError

    async def start_session(self, user: str, token: Secret[str]) -> None:
        """`token`: the cookie's random value."""
        raise NotImplementedError

    async def session(self, token: Secret[str]) -> Session | None:
        """None when it ran out (idle or absolute, see limits), was ended, or the user is disabled. Notes the visit."""
        raise NotImplementedError

    async def end_session(self, token: Secret[str]) -> None:
        raise NotImplementedError

    async def end_sessions(self, user: str) -> int:
        raise NotImplementedError

    async def save_draft(self, user: str, conversation: str, text: Secret[str]) -> None:
        """An empty text deletes it."""
        raise NotImplementedError

    async def draft(self, user: str, conversation: str) -> Draft | None:
        raise NotImplementedError

    async def begin(self, user: str, key: str, request: bytes) -> Kept | None:
        """Takes the Idempotency-Key for this request (a digest of method, path and body): None when it is new and the
        caller is to do the work; otherwise what an earlier one came to."""
        raise NotImplementedError

    async def finish(self, user: str, key: str, status: int, answer: Secret[bytes]) -> None:
        raise NotImplementedError

    async def abandon(self, user: str, key: str) -> None:
        """The work failed: the key may be used again."""
        raise NotImplementedError

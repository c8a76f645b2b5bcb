"""What every handler is given: the desk's parts, and who asks.

`Desk` is built once (`gateway.desk.role`); a `Call` is made for each request by `gateway.desk.guard`, which alone
decides whether a handler runs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.desk.access import Actor, Do
from gateway.desk.passwords import Passwords
from gateway.desk.recording import Recorder
from gateway.desk.texts import Texts
from gateway.ids import Clock, Ids
from gateway.log import Log
from gateway.store.conversations import Conversations
from gateway.store.database import Database
from gateway.store.people import People, User
from gateway.store.rates import Attempts
from gateway.store.reading import Reading
from gateway.store.replies import Replies
from gateway.store.requests import Requests
from keys.atrest import AtRest
from keys.box import PublicKeys, SigningKey
from keys.secret import Secret

if TYPE_CHECKING:
    from gateway.desk.events import Hub


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the desk is. `hosts` are the Host headers that are served, `origins` those whose requests may change
    something; `secure`: people reach it by TLS."""

    company: str
    hosts: frozenset[str]
    origins: frozenset[str]
    secure: bool
    queues: tuple[str, ...] = ()

    @property
    def cookie(self) -> str:
        return "__Host-vestibule" if self.secure else "vestibule"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    site: Site
    db: Database
    reading: Reading
    people: People
    conversations: Conversations
    replies: Replies
    requests: Requests
    attempts: Attempts
    passwords: Passwords
    recorder: Recorder
    public_keys: PublicKeys
    signing_key: SigningKey
    session_key: Secret[bytes]
    atrest: AtRest
    hub: Hub
    clock: Clock
    ids: Ids
    log: Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request. `user` is None where nobody is signed in; `csrf` is good for this session only."""

    desk: Desk
    actor: Actor
    user: User | None
    texts: Texts
    csrf: str
    token: Secret[str] | None

    @property
    def me(self) -> User:
        """On routes that need a sign-in."""
        if self.user is None:
            raise RuntimeError("a route that needs a person was called without one")
        return self.user


Handler = Callable[[web.Request, Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One line of a route table. `do` is what it asks for. `body` and `answer` are the JSON types, `status` that of
    success, `paged` adds cursor and limit, `query` are further parameters, `once` demands an Idempotency-Key.
    `quiet`: doesn't count as activity."""

    method: str
    path: str
    do: Do
    handler: Handler
    summary: str = ""
    body: type | None = None
    answer: type | None = None
    status: int = 200
    paged: bool = False
    once: bool = False
    query: tuple[str, ...] = ()
    stream: bool = False
    quiet: bool = False

    @property
    def unsafe(self) -> bool:
        return self.method not in ("GET", "HEAD")


DESK: Final = web.AppKey("desk", Desk)

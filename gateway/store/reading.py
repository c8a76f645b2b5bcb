"""What the desk reads: pages of the queue, conversations, held ones, the feed. Verified, or marked as not.

Rules:
1. A row is shown only if its stamp verifies over its ciphertext and place: otherwise `content` is None.
2. `intact` tells whether the conversation's head verifies over all of its rows and is not older than the feed.
3. Cursors are opaque. The feed's never skips a late commit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.ids import Clock
from gateway.sanitized import Sanitized
from gateway.states import Talk
from gateway.store.database import Database
from gateway.store.outbox import Delivery
from gateway.store.held import HeldRow
from keys.atrest import AtRest
from keys.box import VerifyKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """`state` takes a lease that ran out as released. `waiting_since`: the customer's oldest unanswered message, None
    when nothing waits. `protect` and `protect_why` as `gateway.policy.protection` put them. `correspondent` is whom a
    reply goes to, as sanitized. Times in microseconds."""

    id: str
    contact: str
    number: str
    channel: str
    mailbox: str
    queue: str
    language: str
    state: Talk
    claimed_by: str | None
    lease_until: int
    fence: int
    note: str
    related: str | None
    encrypted: bool
    protect: str
    protect_why: str
    correspondent: str
    length: int
    opened_at: int
    updated_at: int
    waiting_since: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """`direction`: "in", "out" or "notice". `author` is the agent's id for "out"."""

    id: str
    sequence: int
    revision: int
    direction: str
    author: str | None
    at: int
    content: Sanitized | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyStatus:
    """A reply of the desk. `state` is `gateway.states.Answered`'s value; `delivery` once it is in the outbox."""

    id: str
    author: str
    state: str
    reason: str
    codes: tuple[str, ...]
    created_at: int
    changed_at: int
    delivery: Delivery | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    conversation: Conversation
    intact: bool
    messages: tuple[Message, ...]
    replies: tuple[ReplyStatus, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One line of a list, with the newest inbound and the newest message of all."""

    conversation: Conversation
    inbound: Message | None
    newest: Message | None


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Which conversations. `queues` None: all. `mine`: claimed by this person. Newest change first unless `oldest`."""

    queues: tuple[str, ...] | None = None
    states: tuple[Talk, ...] = (Talk.OPEN, Talk.CLAIMED)
    mine: str | None = None
    contact: str | None = None
    oldest: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """`open` and `closed` by queue; `mine` of the person; `held` of all queues asked for."""

    open: dict[str, int]
    claimed: dict[str, int]
    mine: int
    held: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One change. `kind` is `gateway.store.feed.Kind`'s value; `object` a message, reply, outbox or spool id."""

    cursor: str
    kind: str
    conversation: str | None
    object: str | None
    queue: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """`missed`: entries after the cursor may be gone already; look at everything afresh."""

    entries: tuple[Entry, ...]
    cursor: str
    missed: bool


class Reading:
    def __init__(self, db: Database, *, atrest: AtRest, stamps: VerifyKey, tenant: str, clock: Clock) -> None:
        """`atrest` is the one that desk and inspector share."""
        raise NotImplementedError

    async def page(self, view: View, cursor: str = "", limit: int = 50) -> tuple[list[Listed], str]:
        """And the cursor of the next page, "" at the end. Raises ValueError for a cursor that isn't ours."""
        raise NotImplementedError

    async def conversation(self, id: str) -> Opened | None:
        raise NotImplementedError

    async def by_number(self, number: str) -> str | None:
        """The conversation's id, by its case number in any spelling."""
        raise NotImplementedError

    async def counts(self, person: str, queues: Sequence[str] | None) -> Counts:
        raise NotImplementedError

    async def held(
        self, queues: Sequence[str] | None = None, cursor: str = "", limit: int = 50
    ) -> tuple[list[HeldRow], str]:
        """Oldest first."""
        raise NotImplementedError

    async def held_row(self, id: str) -> HeldRow | None:
        raise NotImplementedError

    async def now(self) -> str:
        """The feed's cursor as of now."""
        raise NotImplementedError

    async def changes(self, cursor: str, limit: int = 500) -> Changes:
        """What came after the cursor. Raises ValueError for a cursor that isn't ours."""
        raise NotImplementedError

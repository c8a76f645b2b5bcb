"""What the desk is shown of the store, as types. Made by `gateway.store.reading` from rows that verified, or marked as
not."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.sanitized import Sanitized
from gateway.states import Talk
from gateway.store.outbox import Delivery


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
    """`deliveries` are all that left or is to leave, notices too."""

    conversation: Conversation
    intact: bool
    messages: tuple[Message, ...]
    replies: tuple[ReplyStatus, ...]
    deliveries: tuple[Delivery, ...] = ()


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

"""The audit: what happened, when, to which object, by whom. Append-only, hash-chained, facts only.

    leaf  = canonical JSON (RFC 8785) of {"at", "chain", "event", "facts", "prev", "seq"}
    hash  = SHA-256(0x00 | leaf)           (RFC 6962's leaf hash);  prev = the hash before, in hexadecimal

Rules:
1. Events have literal names (`Event`), facts have names and kinds (`FACTS`): ids, tokens, numbers, flags, times, codes.
   Free text has no way in; a fact that doesn't fit raises `TypeError` before anything is written.
2. A record is appended in the transaction of what it tells about: both are there, or neither.
3. There is one chain per writer (role and slot), so that writers don't wait for each other.
4. A chain alone doesn't show that its end was cut off, or that all of it was made anew: keep heads elsewhere
   (`vestibule audit head`), and give them to `verify`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final

from sqlalchemy import Connection


class Kind(Enum):
    """What a fact may be."""

    ID = "id"
    TOKEN = "token"  # noqa: S105 - an enum's value or a name of our own
    NUMBER = "number"
    FLAG = "flag"
    TIME = "time"
    CODES = "codes"


class Event(StrEnum):
    """Everything that is written down. Past tense; `object.what`."""

    MESSAGE_ACCEPTED = "message.accepted"
    MESSAGE_REPEATED = "message.repeated"
    MESSAGE_REFUSED = "message.refused"
    MESSAGE_DEFERRED = "message.deferred"
    MESSAGE_QUEUED = "message.queued"
    MESSAGE_HELD = "message.held"
    MESSAGE_RETRIED = "message.retried"
    MESSAGE_RELEASED = "message.released"
    MESSAGE_REJECTED = "message.rejected"
    MESSAGE_EXPIRED = "message.expired"
    CONVERSATION_CLAIMED = "conversation.claimed"
    CONVERSATION_TAKEN_OVER = "conversation.taken-over"
    CONVERSATION_RELEASED = "conversation.released"
    CONVERSATION_CLOSED = "conversation.closed"
    CONVERSATION_REOPENED = "conversation.reopened"
    CONVERSATION_READ = "conversation.read"
    REPLY_WRITTEN = "reply.written"
    REPLY_QUEUED = "reply.queued"
    REPLY_STOPPED = "reply.stopped"
    REQUEST_MADE = "request.made"
    REQUEST_DONE = "request.done"
    REQUEST_FAILED = "request.failed"
    NOTICE_QUEUED = "notice.queued"
    NOTICE_DROPPED = "notice.dropped"
    SEND_ATTEMPTED = "send.attempted"
    SEND_SUCCEEDED = "send.succeeded"
    SEND_RETRIED = "send.retried"
    SEND_REFUSED = "send.refused"
    SEND_IN_DOUBT = "send.in-doubt"
    SEND_EXPIRED = "send.expired"
    SEND_AGAIN = "send.again"
    CERTIFICATE_BOUND = "certificate.bound"
    CERTIFICATE_UNBOUND = "certificate.unbound"
    CONTACT_ERASED = "contact.erased"
    KEY_ROTATED = "key.rotated"
    KEY_DESTROYED = "key.destroyed"
    SIGNED_IN = "sign-in.succeeded"
    SIGN_IN_FAILED = "sign-in.failed"
    SIGN_IN_LIMITED = "sign-in.limited"
    SIGNED_OUT = "sign-out"
    DENIED = "access.denied"
    USER_ADDED = "user.added"
    USER_CHANGED = "user.changed"
    ROLE_STARTED = "role.started"
    ROLE_STOPPED = "role.stopped"
    CONFIG_LOADED = "config.loaded"
    POLICY_APPLIED = "policy.applied"
    CLOCK_STEPPED = "clock.stepped"
    STORE_UPGRADED = "store.upgraded"
    BACKUP_MADE = "backup.made"
    BACKUP_RESTORED = "backup.restored"
    STAMP_BROKEN = "stamp.broken"


Fact = str | int | bool | Sequence[str]

FACTS: Final[Mapping[str, Kind]] = {
    "object": Kind.ID,
    "other": Kind.ID,
    "conversation": Kind.ID,
    "contact": Kind.ID,
    "person": Kind.ID,
    "session": Kind.ID,
    "fingerprint": Kind.ID,
    "key": Kind.ID,
    "channel": Kind.TOKEN,
    "mailbox": Kind.TOKEN,
    "queue": Kind.TOKEN,
    "kind": Kind.TOKEN,
    "reason": Kind.TOKEN,
    "role": Kind.TOKEN,
    "layer": Kind.TOKEN,
    "action": Kind.TOKEN,
    "permission": Kind.TOKEN,
    "protection": Kind.TOKEN,
    "tls": Kind.TOKEN,
    "peer": Kind.TOKEN,
    "trust": Kind.TOKEN,
    "version": Kind.TOKEN,
    "revision": Kind.TOKEN,
    "codes": Kind.CODES,
    "attempt": Kind.NUMBER,
    "code": Kind.NUMBER,
    "count": Kind.NUMBER,
    "octets": Kind.NUMBER,
    "sequence": Kind.NUMBER,
    "seconds": Kind.NUMBER,
    "policy": Kind.NUMBER,
    "first": Kind.FLAG,
    "encrypted": Kind.FLAG,
    "repeated": Kind.FLAG,
    "until": Kind.TIME,
    "received": Kind.TIME,
}
"""Every fact that a record may carry. `peer` is an IP address; `object` is what the event is about."""


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened; made by `record`."""

    event: Event
    facts: Mapping[str, Fact]


def record(event: Event, **facts: Fact) -> Record:
    """Raises TypeError for a fact that isn't in FACTS or isn't of its kind."""
    raise NotImplementedError


def note(conn: Connection, *records: Record) -> None:
    """Inside a job of `Database.write`: appended right before its COMMIT, or undone with its savepoint."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: how many leaves, and the last one's hash in hexadecimal."""

    chain: str
    seq: int
    hash: str


class Flaw(StrEnum):
    """What `verify` finds."""

    CHANGED = "changed"
    MISSING = "missing"
    OUT_OF_ORDER = "out-of-order"
    CUT_OFF = "cut-off"
    NO_HEAD = "no-head"


@dataclass(frozen=True, slots=True)
class Finding:
    chain: str
    seq: int
    flaw: Flaw


@dataclass(frozen=True, slots=True)
class Report:
    leaves: int
    heads: tuple[Head, ...]
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        return not self.findings


def verify(conn: Connection, known: Sequence[Head] = ()) -> Report:
    """Walks every chain. `known`: heads kept elsewhere, which the chains must still contain."""
    raise NotImplementedError


def heads(conn: Connection) -> tuple[Head, ...]:
    raise NotImplementedError


def read(conn: Connection, *, before: int | None = None, limit: int = 100) -> list[Mapping[str, Any]]:
    """The newest leaves (before a time in microseconds), newest first."""
    raise NotImplementedError


_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,79}")

"""The audit: what happened, when, to which object, by whom. Append-only, hash-chained, facts only.

    leaf  = canonical JSON (RFC 8785) of {"at", "chain", "event", "facts", "prev", "seq"}
    hash  = SHA-256(0x00 | leaf)           (RFC 6962's leaf hash);  prev = the hash before, in hexadecimal

Rules:
1. Events have literal names (`Event`), facts have names and kinds (`FACTS`): ids, tokens, numbers, flags, times, codes.
   Free text has no way in; a fact that doesn't fit raises `TypeError` before anything is written.
2. A record is appended in the transaction of what it tells about: both are there, or neither.
3. There is one chain per writer (role and slot), so that writers don't wait for each other.
4. A chain alone doesn't show that its end was cut off, or that all of it was made anew: keep heads elsewhere
   (`vestibule audit verify` prints them), and give them to `verify`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from gateway.ids import Clock, micros
from gateway.store import schema
from gateway.store.statements import Prepared


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


_TOKEN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+-]{0,79}")


@dataclass(frozen=True, slots=True)
class Record:
    """One thing that happened; made by `record`."""

    event: Event
    facts: Mapping[str, Fact]


def record(event: Event, **facts: Fact) -> Record:
    """Raises TypeError for a fact that isn't in FACTS or isn't of its kind."""
    return Record(event, {name: _checked(name, fact) for name, fact in facts.items()})


def _checked(name: str, fact: Fact) -> Fact:
    check = _CHECKS.get(name)
    if check is None:
        raise TypeError("an unknown fact")
    if not check(fact):
        raise TypeError(f"not a fact: {name}")
    return tuple(str(code) for code in fact) if isinstance(fact, (tuple, list)) else fact


def _is_word(fact: object) -> bool:
    return isinstance(fact, str) and _TOKEN.fullmatch(fact) is not None


def _is_number(fact: object) -> bool:
    """As JSON's readers everywhere take it (RFC 8785, section 3.2.2.3)."""
    return isinstance(fact, int) and not isinstance(fact, bool) and -(2**53) < fact < 2**53


def _is_flag(fact: object) -> bool:
    return isinstance(fact, bool)


def _is_codes(fact: object) -> bool:
    return isinstance(fact, (tuple, list)) and all(map(_is_word, fact))


_BY_KIND: Final[Mapping[Kind, Callable[[object], bool]]] = {
    Kind.ID: _is_word,
    Kind.TOKEN: _is_word,
    Kind.NUMBER: _is_number,
    Kind.TIME: _is_number,
    Kind.FLAG: _is_flag,
    Kind.CODES: _is_codes,
}
_CHECKS: Final = {name: _BY_KIND[kind] for name, kind in FACTS.items()}


def note(conn: Connection, *records: Record) -> None:
    """Inside a job of `Database.write`: appended right before its COMMIT, or undone with its savepoint."""
    conn.info[_PENDING].records.extend(records)


_PENDING: Final = "vestibule-audit"
GENESIS: Final = bytes(32)
"""What the first leaf of a chain names as the hash before it."""


@dataclass(slots=True)
class Pending:
    """What the writer's transaction under way has noted; kept beside its connection."""

    chain: str
    clock: Clock
    records: list[Record] = field(default_factory=list)

    def attach(self, conn: Connection) -> None:
        self.records.clear()
        conn.info[_PENDING] = self

    def flush(self, conn: Connection) -> None:
        """Appends what was noted; the writer calls it right before COMMIT."""
        if self.records:
            append(conn, self.chain, micros(self.clock.now()), self.records)
            self.records.clear()


_HEAD = Prepared(
    select(schema.audit_heads.c.seq, schema.audit_heads.c.hash)
    .where(schema.audit_heads.c.chain == bindparam("which"))
    .with_for_update()
)
_NEW_HEAD = Prepared(insert(schema.audit_heads), ["chain", "seq", "hash"])
_MOVE_HEAD = Prepared(
    update(schema.audit_heads)
    .where(schema.audit_heads.c.chain == bindparam("which"))
    .values(seq=bindparam("to"), hash=bindparam("by"))
)
_APPEND = Prepared(insert(schema.audit), ["chain", "seq", "at", "event", "leaf", "hash"])


def append(conn: Connection, chain: str, at: int, records: Sequence[Record]) -> Head:
    """Appends leaves to a chain within the connection's transaction. `at` in microseconds."""
    found = _HEAD.row(conn, which=chain)
    seq, last = (int(found[0]), bytes(found[1])) if found else (0, GENESIS)
    rows: list[dict[str, str | int | bytes]] = []
    for one in records:
        seq += 1
        leaf = canonical(chain, seq, at, one.event, one.facts, last)
        last = leaf_hash(leaf)
        rows.append({"chain": chain, "seq": seq, "at": at, "event": str(one.event), "leaf": leaf, "hash": last})
    _APPEND.many(conn, rows)
    if found:
        _MOVE_HEAD.run(conn, which=chain, to=seq, by=last)
    else:
        _NEW_HEAD.run(conn, chain=chain, seq=seq, hash=last)
    return Head(chain, seq, last.hex())


def canonical(chain: str, seq: int, at: int, event: str, facts: Mapping[str, Fact], prev: bytes) -> str:
    """RFC 8785: sorted names, no blanks. Our strings are ASCII tokens and our numbers integers below 2^53, so that
    Python's own writer gives its very form."""
    leaf = {"at": at, "chain": chain, "event": event, "facts": facts, "prev": prev.hex(), "seq": seq}
    return _JSON(leaf)


_JSON: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode


def leaf_hash(leaf: str) -> bytes:
    return hashlib.sha256(b"\x00" + leaf.encode()).digest()


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
    findings: list[Finding] = []
    ends: list[Head] = []
    leaves = 0
    stored = {head.chain: head for head in heads(conn)}
    wanted: dict[tuple[str, int], str] = {(head.chain, head.seq): head.hash for head in known if head.seq}
    chain, seq, last = "", 0, GENESIS
    for row in _walk(conn):
        if row.chain != chain:
            _close(chain, seq, last, stored, ends, findings)
            chain, seq, last = row.chain, 0, GENESIS
        if row.seq != seq + 1:
            findings.append(Finding(chain, seq + 1, Flaw.MISSING if row.seq > seq + 1 else Flaw.OUT_OF_ORDER))
        elif not _sound(row, last):
            findings.append(Finding(chain, row.seq, Flaw.CHANGED))
        before = wanted.pop((chain, row.seq), None)
        if before is not None and before != row.hash.hex():
            findings.append(Finding(chain, row.seq, Flaw.CHANGED))
        seq, last = row.seq, row.hash
        leaves += 1
    _close(chain, seq, last, stored, ends, findings)
    findings.extend(Finding(head.chain, head.seq, Flaw.CUT_OFF) for head in stored.values() if head.seq)
    findings.extend(Finding(name, number, Flaw.CUT_OFF) for name, number in wanted)
    return Report(leaves, tuple(ends), tuple(findings))


def _close(
    chain: str, seq: int, last: bytes, stored: dict[str, Head], ends: list[Head], findings: list[Finding]
) -> None:
    """At the end of a chain: is it where the stored head says?"""
    if not chain:
        return
    ends.append(Head(chain, seq, last.hex()))
    head = stored.pop(chain, None)
    if head is None:
        findings.append(Finding(chain, seq, Flaw.NO_HEAD))
    elif head.seq > seq:
        findings.append(Finding(chain, head.seq, Flaw.CUT_OFF))
    elif (head.seq, head.hash) != (seq, last.hex()):
        findings.append(Finding(chain, seq, Flaw.CHANGED))


def _sound(row: Any, last: bytes) -> bool:
    """Whether a row's leaf is canonical, says what the columns say, follows the leaf before and has its hash."""
    try:
        leaf = json.loads(row.leaf)
        again = canonical(row.chain, row.seq, row.at, row.event, leaf["facts"], last)
    except (ValueError, KeyError, TypeError):
        return False
    return bool(again == row.leaf and leaf_hash(row.leaf) == row.hash)


def _walk(conn: Connection) -> Iterator[Any]:
    """Every leaf by chain and number, a thousand at a time."""
    table = schema.audit
    chain, seq = "", 0
    while True:
        later = (table.c.chain > chain) | ((table.c.chain == chain) & (table.c.seq > seq))
        rows = conn.execute(select(table).where(later).order_by(table.c.chain, table.c.seq).limit(1000)).all()
        yield from rows
        if len(rows) < 1000:
            return
        chain, seq = rows[-1].chain, rows[-1].seq


def heads(conn: Connection) -> tuple[Head, ...]:
    """Where each chain ends, as stored beside it. Keep a copy where this database's writers can't reach it."""
    table = schema.audit_heads
    rows = conn.execute(select(table).order_by(table.c.chain)).all()
    return tuple(Head(row.chain, row.seq, row.hash.hex()) for row in rows)


def read(conn: Connection, *, before: int | None = None, limit: int = 100) -> list[Mapping[str, Any]]:
    """The newest leaves (before a time in microseconds), newest first."""
    table = schema.audit
    question = select(table.c.leaf).order_by(table.c.at.desc(), table.c.chain, table.c.seq.desc()).limit(limit)
    if before is not None:
        question = question.where(table.c.at < before)
    return [json.loads(leaf) for leaf in conn.execute(question).scalars()]

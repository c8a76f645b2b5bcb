"""Filing: a message into a conversation, under the row's lock: sequence number, sealed row, stamps of row and head.

Rules:
1. A conversation's row is read under its lock once and written once: `lock` or `new`, changes in memory, `file`.
2. Sealed rows are bound to conversation, message, sequence and revision; the stamp covers the sealed bytes.
3. The head's epoch grows with every message, and the feed tells of it: an old head can't be put back unseen.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from gateway.codec import pack, unpack
from gateway.errors import StoreError
from gateway.ids import Ids
from gateway.sanitized import Sanitized
from gateway.states import Talk, may
from gateway.store import schema
from gateway.store.contacts import Directory, Stamper
from gateway.store.feed import Kind, put_feed
from gateway.store.statements import Prepared, Value, adding
from gateway.store.threads import new_number
from keys.secret import Secret
from keys.stamp import ZERO, StampedHead, StampedRow, extend

_TALKS: Final = schema.conversations
_MESSAGES: Final = schema.messages
_LOCKED: Final = (
    "id", "contact_id", "address_id", "mailbox", "queue", "language", "number", "state", "encrypted", "epoch",
    "length", "chain", "last_inbound", "waiting_since", "closed_at", "lease_until", "claimed_by",
)  # fmt: skip
_LOCK: Final = Prepared(
    select(*(_TALKS.c[name] for name in _LOCKED), schema.contacts.c.key_desk)
    .join(schema.contacts, schema.contacts.c.id == _TALKS.c.contact_id)
    .where(_TALKS.c.id == bindparam("which"))
    .with_for_update(of=_TALKS)
)
_CHANGED: Final = (
    "address_id", "state", "encrypted", "epoch", "length", "chain", "stamp", "last_inbound", "updated_at",
    "waiting_since", "closed_at", "claimed_by", "lease_until",
)  # fmt: skip
_CHANGE: Final = Prepared(
    update(_TALKS).where(_TALKS.c.id == bindparam("which")).values({name: bindparam(f"to_{name}") for name in _CHANGED})
)
_CORRESPONDENT: Final = Prepared(
    update(_TALKS).where(_TALKS.c.id == bindparam("which")).values(correspondent=bindparam("sealed"))
)
_NEW: Final = adding(
    _TALKS,
    [
        "id",
        "contact_id",
        "channel",
        "mailbox",
        "queue",
        "language",
        "number",
        "note",
        "related",
        "opened_at",
        *_CHANGED,
    ],
    unless=["number"],
    returning=["id"],
)
_MESSAGE: Final = Prepared(
    insert(_MESSAGES),
    ["id", "conversation_id", "sequence", "revision", "direction", "policy_version", "author", "sealed", "stamp", "at"],
)


class Direction(StrEnum):
    IN = "in"
    OUT = "out"
    NOTICE = "notice"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What is to be filed."""

    id: str
    direction: Direction
    author: str | None
    content: Sanitized
    at: int


def row_place(conversation: str, message: str, sequence: int, revision: int) -> str:
    """What a sealed row is bound to; the desk opens it with the same words."""
    return f"message/{conversation}/{message}/{sequence}/{revision}"


def correspondent_place(conversation: str) -> str:
    return f"correspondent/{conversation}"


@dataclass(slots=True, kw_only=True)
class Place:
    """A conversation under its lock. `new`: not in the table yet."""

    id: str
    contact: str
    key_desk: bytes
    channel: str
    mailbox: str
    queue: str
    language: str
    number: str
    state: Talk
    address_id: str | None = None
    encrypted: bool = False
    epoch: int = 0
    length: int = 0
    chain: bytes = ZERO
    last_inbound: str | None = None
    waiting_since: int | None = None
    closed_at: int | None = None
    claimed_by: str | None = None
    lease_until: int = 0
    note: str = ""
    related: str | None = None
    new: bool = False

    def change(self, to: Talk) -> None:
        if not may(self.state, to):
            raise ValueError(f"conversation: {self.state} to {to}")
        self.state = to
        if to is Talk.OPEN:
            self.closed_at, self.claimed_by, self.lease_until = None, None, 0

    def arrived(
        self, *, address_id: str | None, encrypted: bool, message: str, waiting: int, language: str, note: str,
        related: str | None,
    ) -> None:  # fmt: skip
        """The customer's message: whom an answer goes to, and since when they wait for one."""
        self.address_id = address_id or self.address_id
        self.encrypted = self.encrypted or encrypted
        self.last_inbound = message
        self.waiting_since = self.waiting_since or waiting
        if self.new:
            self.language, self.note, self.related = language, note, related

    def answered(self, *, sealed: bool) -> None:
        self.waiting_since = None
        self.encrypted = self.encrypted or sealed


class Filing:
    def __init__(self, *, directory: Directory, stamper: Stamper, tenant: str, policy_version: int, ids: Ids) -> None:
        self._directory, self._stamper, self._tenant, self._ids = directory, stamper, tenant, ids
        self.policy_version: Final = policy_version

    def lock(self, conn: Connection, conversation: str) -> Place | None:
        found = _LOCK.row(conn, which=conversation)
        if found is None:
            return None
        row = dict(zip((*_LOCKED, "key_desk"), found, strict=True))
        if row["key_desk"] is None:
            raise StoreError("the contact was erased")
        return Place(
            id=row["id"], contact=row["contact_id"], key_desk=row["key_desk"], channel="", mailbox=row["mailbox"],
            queue=row["queue"], language=row["language"], number=row["number"], state=Talk(row["state"]),
            address_id=row["address_id"], encrypted=bool(row["encrypted"]), epoch=row["epoch"], length=row["length"],
            chain=row["chain"], last_inbound=row["last_inbound"], waiting_since=row["waiting_since"],
            closed_at=row["closed_at"], claimed_by=row["claimed_by"], lease_until=row["lease_until"],
        )  # fmt: skip

    def new(
        self, *, channel: str, mailbox: str, queue: str, language: str, contact: str, key_desk: bytes, now: int
    ) -> Place:
        return Place(
            id=self._ids.new(), contact=contact, key_desk=key_desk, channel=channel, mailbox=mailbox, queue=queue,
            language=language, number=new_number(), state=Talk.OPEN, new=True,
        )  # fmt: skip

    def file(self, conn: Connection, place: Place, row: Row, *, correspondent: str | None = None) -> int:
        """The sequence number."""
        sequence, revision = place.length + 1, 1
        key = self._directory.desk_key(place.contact, place.key_desk)
        sealed = key.seal(pack(row.content), row_place(place.id, row.id, sequence, revision))
        stamped = StampedRow(
            tenant=self._tenant, conversation=place.id, message=row.id, sequence=sequence, revision=revision,
            policy_version=self.policy_version, ciphertext=sealed,
        )  # fmt: skip
        place.length, place.epoch = sequence, place.epoch + 1
        place.chain = extend(place.chain, stamped.digest())
        head = StampedHead(
            tenant=self._tenant, conversation=place.id, epoch=place.epoch, length=place.length, chain=place.chain
        )
        row_stamp, head_stamp = self._stamper.stamp(stamped, head)
        self._save(conn, place, head_stamp, row.at)
        _MESSAGE.run(
            conn, id=row.id, conversation_id=place.id, sequence=sequence, revision=revision,
            direction=row.direction.value, policy_version=self.policy_version, author=row.author, sealed=sealed,
            stamp=row_stamp, at=row.at,
        )  # fmt: skip
        if correspondent is not None:
            name = key.seal(Secret(correspondent.encode()), correspondent_place(place.id))
            _CORRESPONDENT.run(conn, which=place.id, sealed=name)
        put_feed(conn, Kind.MESSAGE, row.at, conversation=place.id, object=row.id, queue=place.queue, epoch=place.epoch)
        return sequence

    def _save(self, conn: Connection, place: Place, stamp: bytes, now: int) -> None:
        changes: dict[str, Value] = {
            "address_id": place.address_id, "state": place.state.value, "encrypted": place.encrypted,
            "epoch": place.epoch, "length": place.length, "chain": place.chain, "stamp": stamp,
            "last_inbound": place.last_inbound, "updated_at": now, "waiting_since": place.waiting_since,
            "closed_at": place.closed_at, "claimed_by": place.claimed_by, "lease_until": place.lease_until,
        }  # fmt: skip
        if not place.new:
            _CHANGE.run(conn, which=place.id, **{f"to_{name}": value for name, value in changes.items()})
            return
        while not _NEW.rows(
            conn, id=place.id, contact_id=place.contact, channel=place.channel, mailbox=place.mailbox,
            queue=place.queue, language=place.language, number=place.number, note=place.note, related=place.related,
            opened_at=now, **changes,
        ):  # fmt: skip
            place.number = new_number()
        place.new = False

    def inbound(self, conn: Connection, conversation: str, contact: str, key_desk: bytes) -> list[Sanitized]:
        """The customer's messages, newest first. Raises CannotDecrypt when one isn't this contact's, in this very
        conversation: rows can be moved about by whoever has the database, but not that they would open there."""
        rows = conn.execute(
            select(_MESSAGES)
            .where(_MESSAGES.c.conversation_id == conversation, _MESSAGES.c.direction == Direction.IN.value)
            .order_by(_MESSAGES.c.sequence.desc())
        )
        key = self._directory.desk_key(contact, key_desk)
        found = []
        for row in rows:
            opened = key.open(row.sealed, row_place(conversation, row.id, row.sequence, row.revision))
            found.append(unpack(Sanitized, opened.reveal()))
        return found

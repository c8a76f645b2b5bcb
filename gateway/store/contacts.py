"""Contacts: customers as we know them, their addresses and certificates. All sealed; found again by blind index.

Rules: each contact has data keys of its own, one for the inspector's eyes and one for the desk's; destroying them
(`erase`) makes all that we keep of them unreadable, in backups too. An address belongs to one contact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Protocol

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from channels.contract import Address
from gateway.audit import Event, note, record
from gateway.errors import StoreError
from gateway.ids import Clock, Ids, micros
from gateway.store import schema
from gateway.store.claiming import SECOND
from gateway.store.database import Database
from gateway.store.feed import Kind, put_feed
from gateway.store.paging import parse
from gateway.store.statements import Prepared, adding
from keys.atrest import AtRest, DataKey
from keys.secret import Secret
from keys.stamp import StampedHead, StampedRow


class Stamper(Protocol):
    """The key process's client, or `keys.stamping.Stamper`."""

    def stamp(self, *stamped: StampedRow | StampedHead) -> tuple[bytes, ...]: ...


class Trust(StrEnum):
    """What the directory makes of a certificate. Only TRUSTED is sealed to and believed."""

    CANDIDATE = "candidate"
    TRUSTED = "trusted"
    REJECTED = "rejected"


class Provenance(StrEnum):
    """Where a certificate came from."""

    MESSAGE = "message"
    ADMIN = "admin"
    DIRECTORY = "directory"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """A certificate as it is bound to an address."""

    fingerprint: str
    address: Address
    trust: Trust
    provenance: Provenance
    certificate: bytes = field(repr=False)
    added_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A contact inside a write job. `address_id` None: nobody can be answered. `first`: made just now."""

    contact: str
    address_id: str | None
    key_inspector: bytes = field(repr=False)
    key_desk: bytes = field(repr=False)
    first: bool
    last_seen: int = 0


_CONTACTS: Final = schema.contacts
_ADDRESSES: Final = schema.addresses
_CERTIFICATES: Final = schema.certificates

_SEEN_EVERY: Final = 3600 * SECOND
"""When somebody was last seen is written down to the hour."""
_FIND: Final = Prepared(
    select(_ADDRESSES.c.id, _CONTACTS.c.id, _CONTACTS.c.key_inspector, _CONTACTS.c.key_desk, _ADDRESSES.c.last_seen)
    .join(_CONTACTS, _CONTACTS.c.id == _ADDRESSES.c.contact_id)
    .where(_ADDRESSES.c.channel == bindparam("of"), _ADDRESSES.c.index == bindparam("wanted"))
)
_ADD_CONTACT: Final = Prepared(
    insert(_CONTACTS), ["id", "language", "key_inspector", "key_desk", "first_seen", "last_seen"]
)
_ADD_ADDRESS: Final = adding(
    _ADDRESSES,
    ["id", "contact_id", "channel", "index", "sealed", "first_seen", "last_seen"],
    unless=["channel", "index"],
    returning=["id"],
)
_SEEN: Final = Prepared(
    update(_ADDRESSES).where(_ADDRESSES.c.id == bindparam("which")).values(last_seen=bindparam("now"))
)
_SEEN_CONTACT: Final = Prepared(
    update(_CONTACTS).where(_CONTACTS.c.id == bindparam("which")).values(last_seen=bindparam("now"))
)


class Directory:
    """Finding and making contacts inside a job. What `Contacts` and `Queue` share."""

    def __init__(self, *, atrest: AtRest, desk_atrest: AtRest, ids: Ids) -> None:
        self._atrest, self._desk_atrest, self._ids = atrest, desk_atrest, ids

    def index(self, channel: str, address: str) -> bytes:
        """Addresses compare without regard to case."""
        return self._atrest.index(f"address/{channel}", address.lower())

    def thread_index(self, contact: str, message_id: str) -> bytes:
        return self._atrest.index(f"thread/{contact}", message_id)

    def find(self, conn: Connection, channel: str, address: Address) -> Person | None:
        row = _FIND.row(conn, of=channel, wanted=self.index(channel, address))
        if row is None:
            return None
        if row[2] is None or row[3] is None:
            raise StoreError("an erased contact still has an address")
        return Person(
            contact=row[1], address_id=row[0], key_inspector=row[2], key_desk=row[3], first=False, last_seen=row[4]
        )

    def require(self, conn: Connection, channel: str, address: Address | None, now: int, language: str = "") -> Person:
        """The contact of the address; a new one when it is new, or when there is no address."""
        if address is not None:
            known = self.find(conn, channel, address)
            if known is not None:
                if abs(now - known.last_seen) > _SEEN_EVERY:
                    _SEEN.run(conn, which=known.address_id, now=now)
                    _SEEN_CONTACT.run(conn, which=known.contact, now=now)
                return known
        id = self._ids.new()
        owner = f"contact/{id}"
        person = Person(
            contact=id,
            address_id=None if address is None else self._ids.new(),
            key_inspector=self._atrest.new_data_key(owner),
            key_desk=self._desk_atrest.new_data_key(owner),
            first=address is not None,
        )
        if address is not None and person.address_id is not None:
            sealed = self.inspector_key(person).seal(Secret(address.encode()), f"address/{person.address_id}")
            added = _ADD_ADDRESS.rows(
                conn,
                id=person.address_id,
                contact_id=id,
                channel=channel,
                index=self.index(channel, address),
                sealed=sealed,
                first_seen=now,
                last_seen=now,
            )
            if not added:  # another inspector was faster
                return self.require(conn, channel, address, now, language)
        _ADD_CONTACT.run(
            conn,
            id=id,
            language=language,
            key_inspector=person.key_inspector,
            key_desk=person.key_desk,
            first_seen=now,
            last_seen=now,
        )
        return person

    def inspector_key(self, person: Person) -> DataKey:
        return self._atrest.data_key(person.key_inspector, f"contact/{person.contact}")

    def desk_key(self, contact: str, wrapped: bytes) -> DataKey:
        return self._desk_atrest.data_key(wrapped, f"contact/{contact}")

    def address(self, person: Person, sealed: bytes) -> Address:
        opened = self.inspector_key(person).open(sealed, f"address/{person.address_id}")
        return Address(opened.reveal().decode("utf-8", "surrogateescape"))

    def bound(self, conn: Connection, person: Person) -> tuple[Bound, ...]:
        """The certificates of the person's address."""
        if person.address_id is None:
            return ()
        sealed = conn.execute(select(_ADDRESSES.c.sealed).where(_ADDRESSES.c.id == person.address_id)).scalar_one()
        address, key = self.address(person, sealed), self.inspector_key(person)
        rows = conn.execute(
            select(_CERTIFICATES)
            .where(_CERTIFICATES.c.address_id == person.address_id)
            .order_by(_CERTIFICATES.c.added_at, _CERTIFICATES.c.fingerprint)
        ).all()
        return tuple(
            Bound(
                fingerprint=row.fingerprint,
                address=address,
                trust=Trust(row.trust),
                provenance=Provenance(row.provenance),
                certificate=key.open(row.sealed, _certificate(row.address_id, row.fingerprint)).reveal(),
                added_at=row.added_at,
            )
            for row in rows
        )


def trusted(conn: Connection, address_id: str | None) -> int:
    """How many trusted certificates an address has."""
    if address_id is None:
        return 0
    return int(_TRUSTED.rows(conn, which=address_id)[0][0])


_TRUSTED: Final = Prepared(
    select(func.count())
    .select_from(_CERTIFICATES)
    .where(_CERTIFICATES.c.address_id == bindparam("which"), _CERTIFICATES.c.trust == Trust.TRUSTED.value)
)


def _certificate(address_id: str, fingerprint: str) -> str:
    return f"certificate/{address_id}/{fingerprint}"


class Contacts:
    """The inspector's side."""

    def __init__(self, db: Database, *, atrest: AtRest, desk_atrest: AtRest, clock: Clock, ids: Ids) -> None:
        self._db, self._clock = db, clock
        self._directory = Directory(atrest=atrest, desk_atrest=desk_atrest, ids=ids)

    async def find(self, channel: str, address: Address) -> str | None:
        """The contact's id."""

        def job(conn: Connection) -> str | None:
            person = self._directory.find(conn, channel, address)
            return None if person is None else person.contact

        return await self._db.read(job)

    async def certificates(self, channel: str, address: Address) -> tuple[Bound, ...]:
        def job(conn: Connection) -> tuple[Bound, ...]:
            person = self._directory.find(conn, channel, address)
            return () if person is None else self._directory.bound(conn, person)

        return await self._db.read(job)

    async def all_certificates(self, cursor: str = "", limit: int = 100) -> tuple[list[Bound], str]:
        """By address, a page of addresses at a time. Raises ValueError."""

        def job(conn: Connection) -> tuple[list[Bound], str]:
            after = parse(cursor)
            question = (
                select(_ADDRESSES.c.id, _ADDRESSES.c.first_seen, _CONTACTS.c.id.label("contact"),
                       _CONTACTS.c.key_inspector, _CONTACTS.c.key_desk)
                .join(_CONTACTS, _CONTACTS.c.id == _ADDRESSES.c.contact_id)
                .where(_ADDRESSES.c.id.in_(select(_CERTIFICATES.c.address_id)))
                .order_by(_ADDRESSES.c.id)
                .limit(limit + 1)
            )  # fmt: skip
            if after is not None:
                question = question.where(_ADDRESSES.c.id > after[1])
            rows = conn.execute(question).all()
            found: list[Bound] = []
            for row in rows[:limit]:
                found += self._directory.bound(conn, _person(row))
            return found, f"0.{rows[limit - 1].id}" if len(rows) > limit else ""

        return await self._db.read(job)

    async def bind(
        self, channel: str, address: Address, fingerprint: str, certificate: bytes, trust: Trust, provenance: Provenance
    ) -> bool:
        """Adds or changes a binding (makes the contact if need be). False if it stood so already. A candidate never
        changes what a person has decided."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> bool:
            person = self._directory.require(conn, channel, address, now)
            address_id = str(person.address_id)
            sealed = self._directory.inspector_key(person).seal(
                Secret(certificate), _certificate(address_id, fingerprint)
            )
            mine = (_CERTIFICATES.c.address_id == address_id, _CERTIFICATES.c.fingerprint == fingerprint)
            before = conn.execute(select(_CERTIFICATES.c.trust).where(*mine).with_for_update()).scalar()
            changes = {"trust": trust.value, "provenance": provenance.value, "sealed": sealed, "changed_at": now}
            if before is None:
                conn.execute(
                    insert(_CERTIFICATES).values(
                        address_id=address_id, fingerprint=fingerprint, added_at=now, **changes
                    )
                )
            elif before == trust.value or trust is Trust.CANDIDATE:
                return False
            else:
                conn.execute(update(_CERTIFICATES).where(*mine).values(**changes))
            put_feed(conn, Kind.CONTACT, now, object=person.contact)
            note(
                conn,
                record(
                    Event.CERTIFICATE_BOUND,
                    contact=person.contact,
                    fingerprint=fingerprint,
                    trust=trust.value,
                    kind=provenance.value,
                ),
            )
            return True

        return await self._db.write(job)

    async def unbind(self, channel: str, address: Address, fingerprint: str) -> bool:
        now = micros(self._clock.now())

        def job(conn: Connection) -> bool:
            person = self._directory.find(conn, channel, address)
            if person is None:
                return False
            gone = conn.execute(
                delete(_CERTIFICATES).where(
                    _CERTIFICATES.c.address_id == person.address_id, _CERTIFICATES.c.fingerprint == fingerprint
                )
            )
            if gone.rowcount:
                put_feed(conn, Kind.CONTACT, now, object=person.contact)
                note(conn, record(Event.CERTIFICATE_UNBOUND, contact=person.contact, fingerprint=fingerprint))
            return gone.rowcount > 0

        return await self._db.write(job)

    async def erase(self, contact: str, by: str) -> bool:
        """Destroys the contact's data keys and deletes what is sealed under them. False if there is none such."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> bool:
            done = conn.execute(
                update(_CONTACTS)
                .where(_CONTACTS.c.id == contact, _CONTACTS.c.erased_at.is_(None))
                .values(key_inspector=None, key_desk=None, erased_at=now)
            )
            if not done.rowcount:
                return False
            addresses = select(_ADDRESSES.c.id).where(_ADDRESSES.c.contact_id == contact)
            talks = select(schema.conversations.c.id).where(schema.conversations.c.contact_id == contact)
            conn.execute(delete(_CERTIFICATES).where(_CERTIFICATES.c.address_id.in_(addresses)))
            own = select(schema.replies.c.id).where(schema.replies.c.conversation_id.in_(talks))
            drafts = schema.drafts.c.conversation_id
            conn.execute(delete(schema.drafts).where(drafts.in_(talks) | drafts.in_(own)))
            conn.execute(delete(schema.threads).where(schema.threads.c.contact_id == contact))
            conn.execute(delete(schema.messages).where(schema.messages.c.conversation_id.in_(talks)))
            for table in (schema.replies, schema.outbox, schema.notices):
                conn.execute(delete(table).where(table.c.conversation_id.in_(talks)))
            conn.execute(delete(schema.conversations).where(schema.conversations.c.contact_id == contact))
            conn.execute(delete(_ADDRESSES).where(_ADDRESSES.c.contact_id == contact))
            put_feed(conn, Kind.CONTACT, now, object=contact)
            note(conn, record(Event.CONTACT_ERASED, contact=contact, person=by))
            return True

        return await self._db.write(job)


def _person(row: Any) -> Person:
    return Person(
        contact=row.contact,
        address_id=row.id,
        key_inspector=row.key_inspector,
        key_desk=row.key_desk,
        first=False,
    )

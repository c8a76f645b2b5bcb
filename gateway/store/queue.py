"""The agents' queue: where a message that every layer has passed is filed, exactly once.

Rules:
1. One transaction: contact, conversation, sequence number under the row's lock, sealed row, stamps of row and head,
   thread ids, feed, audit, and the spool row's deletion. The row's deletion is fenced; the message's id is the spool
   row's, so a second filing can't happen.
2. Only a `Passed[Sanitized]` is filed.
3. A conversation is joined by the Message-IDs it answers to, by a signed reply address, or by a quoted case number,
   in this order, and **only when it is the same contact's**; otherwise it is a new one with a note. A closed one
   reopens.
4. What came in encrypted, or was answered so, marks the conversation for good: it is never answered in clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import Connection, bindparam, literal_column, select, update

from channels.contract import Address
from gateway.audit import Event, note, record
from gateway.crossing import Passage
from gateway.errors import StoreError
from gateway.ids import Clock, Ids, micros
from gateway.killpoints import Point
from gateway.layers import Passed
from gateway.sanitized import Sanitized
from gateway.states import Answered, Talk
from gateway.store import outbox, replies, schema, spool
from gateway.store.contacts import Bound, Directory, Person, Stamper
from gateway.store.database import Database, Role
from gateway.store.feed import Kind, put_feed
from gateway.store.filing import Direction, Filing, Row
from gateway.store.notices import NoticeKind, put_notice
from gateway.store.outbox import NewOutboxRow
from gateway.store.replies import ReplyClaim
from gateway.store.spool import Claim
from gateway.store.statements import Prepared
from gateway.store.threads import JOINED, NUMBERED, TIE, ReplyTokens, quoted_numbers
from keys.atrest import AtRest


class Note(StrEnum):
    """Why a message opened a new conversation although it quoted another one."""

    NONE = ""
    OTHER_CONTACT = "quotes-another-contact"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """Where a message stands now. `first_contact`: this contact has never written before."""

    contact: str
    conversation: str
    message: str
    sequence: int
    number: str
    first_contact: bool
    reopened: bool
    language: str
    mailbox: str
    queue: str
    note: Note = Note.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A reply or notice of ours that is to leave. `id` is the reply's or notice's; `message_id` is our Message-ID, by
    which the answer to it will be threaded. `copy` is what agents are shown of it. `sealed`: it leaves encrypted.
    `outbox` None: nothing leaves."""

    id: str
    conversation: str
    author: str
    notice: bool
    copy: Passed[Sanitized]
    message_id: str
    outbox: NewOutboxRow | None
    sealed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Correspondence:
    """What the inspector must know to answer in a conversation. `to` None: nobody can be answered. `in_reply_to` is the
    newest inbound message's Message-ID and `references` what an answer to it carries (RFC 5322, section 3.6.4: oldest
    first, `in_reply_to` last); "" and () when it had none. `subject` is its sanitized subject. `bound` are the
    certificates of the address; `encrypted` tells that something came in encrypted or was answered so."""

    conversation: str
    contact: str
    to: Address | None
    channel: str
    mailbox: str
    queue: str
    language: str
    number: str
    subject: str
    in_reply_to: str
    references: tuple[str, ...]
    encrypted: bool
    bound: tuple[Bound, ...]


_TALKS: Final = schema.conversations
_FILED: Final = Prepared(
    select(
        schema.messages.c.sequence, _TALKS.c.id, _TALKS.c.number, _TALKS.c.contact_id, _TALKS.c.language,
        _TALKS.c.mailbox, _TALKS.c.queue,
    )
    .join(_TALKS, _TALKS.c.id == schema.messages.c.conversation_id)
    .where(schema.messages.c.id == bindparam("which"))
)  # fmt: skip
_HEARD: Final = Prepared(select(_TALKS.c.id).where(_TALKS.c.contact_id == bindparam("who")).limit(literal_column("1")))
_QUOTE_CHARACTERS: Final = 20_000
"""How far into a text a quoted case number is looked for."""


class Queue:
    def __init__(
        self,
        db: Database,
        *,
        atrest: AtRest,
        desk_atrest: AtRest,
        stamper: Stamper,
        tokens: ReplyTokens,
        clock: Clock,
        ids: Ids,
        tenant: str,
        policy_version: int,
        first_contact_notice: bool = False,
    ) -> None:
        """`atrest` is the inspector's own, `desk_atrest` the one shared with the desk. With `first_contact_notice` a
        notice of kind "first-contact" is put down for each new contact whose message isn't automatic."""
        self._db, self._clock, self._ids, self._tokens = db, clock, ids, tokens
        self._directory = Directory(atrest=atrest, desk_atrest=desk_atrest, ids=ids)
        self._filing = Filing(
            directory=self._directory, stamper=stamper, tenant=tenant, policy_version=policy_version, ids=ids
        )
        self._first_contact_notice = first_contact_notice

    async def put(self, claim: Claim, cleared: Passed[Sanitized], passage: Passage) -> Filed:
        """Raises Fenced, StoreDown, StoreFull, keys.errors.Unavailable (no stamp to be had)."""
        now = micros(self._clock.now())
        filed = await self._db.write(
            lambda conn: self._put(conn, claim, cleared, passage, now),
            points=(Point.QUEUE_BEFORE_COMMIT, Point.QUEUE_AFTER_COMMIT),
        )
        self._db.notify(Role.DESK)
        return filed

    async def record_sent(self, sent: Sent, reply: ReplyClaim | None = None) -> Filed:
        """Files our side's message and puts its box into the outbox, in one transaction with the reply's end. Doing it
        twice does it once. Raises Fenced, StoreDown, StoreFull."""
        now = micros(self._clock.now())
        filed = await self._db.write(
            lambda conn: self._record_sent(conn, sent, reply, now),
            points=(Point.REPLY_BEFORE_COMMIT, Point.REPLY_AFTER_COMMIT),
        )
        self._db.notify(Role.EDGE)
        self._db.notify(Role.DESK)
        return filed

    async def correspondence(self, conversation: str) -> Correspondence | None:
        """None when there is no such conversation, or the contact was erased. What decides over a reply's way is taken
        from sealed rows that open for this contact in this conversation, so that nobody turns a reply to another
        customer, or into clear, by changing the database. Raises CannotDecrypt where somebody tried."""
        return await self._db.read(lambda conn: self._correspondence(conn, conversation))

    async def set_protection(self, conversation: str, protect: str, why: str) -> None:
        """Writes down how a reply would leave (`gateway.reply.Protect` and a fixed token), for the desk to show."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> bool:
            done = conn.execute(
                update(_TALKS)
                .where(_TALKS.c.id == conversation, (_TALKS.c.protect != protect) | (_TALKS.c.protect_why != why))
                .values(protect=protect, protect_why=why)
                .returning(_TALKS.c.queue, _TALKS.c.epoch)
            ).first()
            if done is not None:
                put_feed(conn, Kind.CONVERSATION, now, conversation=conversation, queue=done.queue, epoch=done.epoch)
            return done is not None

        if await self._db.write(job):
            self._db.notify(Role.DESK)

    # --- inside the transaction

    def _put(self, conn: Connection, claim: Claim, cleared: Passed[Sanitized], passage: Passage, now: int) -> Filed:
        spool.CLAIMS.delete(conn, claim.id, claim.fence)
        message = cleared.message
        person = self._directory.require(conn, claim.channel, passage.author, now, message.language)
        found, note_, related = self._joined(conn, person, message, passage)
        place = self._filing.lock(conn, found) if found else None
        reopened = False
        first = person.address_id is not None and place is None and _unheard(conn, person.contact)
        if place is None:
            place = self._filing.new(
                channel=claim.channel, mailbox=passage.mailbox, queue=passage.queue, language=message.language,
                contact=person.contact, key_desk=person.key_desk, now=now,
            )  # fmt: skip
        elif place.state is Talk.CLOSED:
            place.change(Talk.OPEN)
            reopened = True
        place.arrived(
            address_id=person.address_id, encrypted=passage.encrypted, message=claim.id, waiting=claim.received_at,
            language=message.language, note=note_.value, related=related,
        )  # fmt: skip
        row = Row(id=claim.id, direction=Direction.IN, author=None, content=message, at=now)
        sequence = self._filing.file(conn, place, row, correspondent=message.author)
        if message.message_id:
            self._tie(conn, person.contact, message.message_id, place.id)
        if first and self._first_contact_notice and not (message.automatic or passage.automatic):
            put_notice(conn, NoticeKind.FIRST_CONTACT, now, reason_id=claim.id, conversation=place.id)
        note(
            conn,
            record(
                Event.MESSAGE_QUEUED,
                object=claim.id,
                conversation=place.id,
                contact=person.contact,
                sequence=sequence,
                codes=tuple(finding.rule.code for finding in cleared.findings),
                first=first,
                encrypted=passage.encrypted,
                policy=self._filing.policy_version,
                attempt=claim.attempts,
            ),
        )
        return Filed(
            contact=person.contact,
            conversation=place.id,
            message=claim.id,
            sequence=sequence,
            number=place.number,
            first_contact=first,
            reopened=reopened,
            language=message.language,
            mailbox=passage.mailbox,
            queue=place.queue,
            note=note_,
        )

    def _joined(
        self, conn: Connection, person: Person, message: Sanitized, passage: Passage
    ) -> tuple[str | None, Note, str | None]:
        """Which conversation it goes to; a note, and the conversation of another contact that it quotes."""
        for reference in message.references:
            row = JOINED.row(
                conn, contact=person.contact, wanted=self._directory.thread_index(person.contact, reference)
            )
            if row is not None:
                return str(row[0]), Note.NONE, None
        numbers = quoted_numbers(f"{message.subject}\n{message.text[:_QUOTE_CHARACTERS]}")
        signed = self._tokens.read(passage.tag) if passage.tag else None
        related: str | None = None
        for number in (*([signed] if signed else []), *numbers):
            row = NUMBERED.row(conn, wanted=number)
            if row is None:
                continue
            if row[1] == person.contact:
                return str(row[0]), Note.NONE, None
            related = related or str(row[0])
        return None, Note.OTHER_CONTACT if related else Note.NONE, related

    def _record_sent(self, conn: Connection, sent: Sent, reply: ReplyClaim | None, now: int) -> Filed:
        before = _FILED.row(conn, which=sent.id)
        if before is not None:
            return self._already(before, sent)
        place = self._filing.lock(conn, sent.conversation)
        if place is None:
            raise StoreError("no such conversation")
        if reply is not None:
            replies.CLAIMS.move(conn, reply.id, reply.fence, Answered.OUTBOX, box=None, changed_at=now)
        direction = Direction.NOTICE if sent.notice else Direction.OUT
        row = Row(id=sent.id, direction=direction, author=sent.author, content=sent.copy.message, at=now)
        if not sent.notice:
            place.answered(sealed=sent.sealed)
        sequence = self._filing.file(conn, place, row)
        if sent.message_id:
            self._tie(conn, place.contact, sent.message_id, place.id)
        if sent.outbox is not None:
            outbox.add(conn, sent.outbox, now)
        put_feed(conn, Kind.REPLY, now, conversation=place.id, object=sent.id, queue=place.queue, epoch=place.epoch)
        note(
            conn,
            record(
                Event.NOTICE_QUEUED if sent.notice else Event.REPLY_QUEUED,
                object=sent.id,
                conversation=place.id,
                sequence=sequence,
                kind=sent.outbox.kind if sent.outbox else "none",
            ),
        )
        return Filed(
            contact=place.contact, conversation=place.id, message=sent.id, sequence=sequence, number=place.number,
            first_contact=False, reopened=False, language=place.language, mailbox=place.mailbox, queue=place.queue,
        )  # fmt: skip

    @staticmethod
    def _already(row: tuple[object, ...], sent: Sent) -> Filed:
        sequence, conversation, number, contact, language, mailbox, queue = row
        return Filed(
            contact=str(contact), conversation=str(conversation), message=sent.id, sequence=int(str(sequence)),
            number=str(number), first_contact=False, reopened=False, language=str(language), mailbox=str(mailbox),
            queue=str(queue),
        )  # fmt: skip

    def _tie(self, conn: Connection, contact: str, message_id: str, conversation: str) -> None:
        index = self._directory.thread_index(contact, message_id)
        TIE.run(conn, contact_id=contact, index=index, conversation_id=conversation)

    def _correspondence(self, conn: Connection, conversation: str) -> Correspondence | None:
        talk = conn.execute(select(_TALKS).where(_TALKS.c.id == conversation)).first()
        if talk is None:
            return None
        keys = conn.execute(
            select(schema.contacts.c.key_inspector, schema.contacts.c.key_desk).where(
                schema.contacts.c.id == talk.contact_id
            )
        ).one()
        if keys.key_inspector is None or keys.key_desk is None:
            return None
        person = Person(
            contact=talk.contact_id, address_id=talk.address_id, key_inspector=keys.key_inspector,
            key_desk=keys.key_desk, first=False,
        )  # fmt: skip
        to: Address | None = None
        if talk.address_id is not None:
            sealed = conn.execute(
                select(schema.addresses.c.sealed).where(schema.addresses.c.id == talk.address_id)
            ).scalar_one()
            to = self._directory.address(person, sealed)
        inbound = self._filing.inbound(conn, talk.id, talk.contact_id, keys.key_desk)
        if not inbound:
            return None
        newest = inbound[0]
        message_id = newest.message_id
        return Correspondence(
            conversation=talk.id,
            contact=talk.contact_id,
            to=to,
            channel=talk.channel,
            mailbox=talk.mailbox,
            queue=talk.queue,
            language=talk.language,
            number=talk.number,
            subject=newest.subject,
            in_reply_to=message_id,
            references=(*reversed(newest.references), message_id) if message_id else (),
            encrypted=bool(talk.encrypted) or any(one.trust.encrypted != "none" for one in inbound),
            bound=self._directory.bound(conn, person),
        )


def _unheard(conn: Connection, contact: str) -> bool:
    """Whether there is no conversation with them yet: an admin may know a customer before they write."""
    return _HEARD.row(conn, who=contact) is None

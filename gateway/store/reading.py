"""What the desk reads: pages of the queue, conversations, held ones, the feed. Verified, or marked as not.

Rules:
1. A row is shown only if its stamp verifies over its ciphertext and place: otherwise `content` is None.
2. `intact` tells whether the conversation's head verifies over all of its rows and is not older than the feed.
3. Cursors are opaque. The feed's never skips a late commit.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import BigInteger, Connection, Text, case, cast, func, or_, select, tuple_

from gateway import limits
from gateway.codec import BadFrame, unpack
from gateway.ids import Clock, micros
from gateway.rules import Decision
from gateway.sanitized import Sanitized
from gateway.states import Talk
from gateway.store import schema
from gateway.store.claiming import SECOND
from gateway.store.conversations import live, state_now
from gateway.store.database import Database
from gateway.store.filing import correspondent_place, row_place
from gateway.store.held import HeldRow, find_held, held_page
from gateway.store.outbox import DELIVERY_COLUMNS, Delivery, delivery
from gateway.store.paging import cut, parse
from gateway.store.shown import Changes as Changes
from gateway.store.shown import Conversation as Conversation
from gateway.store.shown import Counts as Counts
from gateway.store.shown import Entry as Entry
from gateway.store.shown import Listed as Listed
from gateway.store.shown import Message as Message
from gateway.store.shown import Opened as Opened
from gateway.store.shown import ReplyStatus as ReplyStatus
from gateway.store.shown import View as View
from gateway.store.threads import read_number
from keys.atrest import AtRest, DataKey
from keys.box import VerifyKey
from keys.errors import BadSignature, KeysError
from keys.stamp import StampedHead, StampedRow, chain_of, verify

_TALKS: Final = schema.conversations
_MESSAGES: Final = schema.messages
_FEED: Final = schema.feed
_CURSOR: Final = re.compile(r"(\d{1,18})\.(\d{1,18})\.(\d{1,18})")
_REMEMBERED: Final = 4096
"""How many verified stamps are remembered: a list is looked at again and again."""


class Reading:
    def __init__(self, db: Database, *, atrest: AtRest, stamps: VerifyKey, tenant: str, clock: Clock) -> None:
        """`atrest` is the one that desk and inspector share."""
        self._db, self._atrest, self._stamps, self._tenant, self._clock = db, atrest, stamps, tenant, clock
        self._verified: dict[bytes, None] = {}

    async def page(self, view: View, cursor: str = "", limit: int = 50) -> tuple[list[Listed], str]:
        """And the cursor of the next page, "" at the end. Raises ValueError for a cursor that isn't ours."""
        after, now = parse(cursor), self._now()

        def job(conn: Connection) -> tuple[list[Listed], str]:
            question = select(_TALKS, schema.contacts.c.key_desk).join(
                schema.contacts, schema.contacts.c.id == _TALKS.c.contact_id
            )
            question = question.where(*_conditions(view, now))
            place = tuple_(_TALKS.c.updated_at, _TALKS.c.id)
            if after is not None:
                question = question.where(place > after if view.oldest else place < after)
            ways = (_TALKS.c.updated_at, _TALKS.c.id)
            question = question.order_by(*(way if view.oldest else way.desc() for way in ways)).limit(limit + 1)
            rows, following = cut(conn.execute(question).all(), limit, lambda row: (row.updated_at, row.id))
            shown = self._shown(conn, rows)
            return [
                Listed(
                    conversation=self._conversation(row, now),
                    inbound=shown.get((row.id, row.last_inbound)),
                    newest=shown.get((row.id, row.length)),
                )
                for row in rows
            ], following

        return await self._db.read(job)

    async def conversation(self, id: str) -> Opened | None:
        """None when there is none such, or its contact was erased."""
        now = self._now()

        def job(conn: Connection) -> Opened | None:
            row = conn.execute(
                select(_TALKS, schema.contacts.c.key_desk)
                .join(schema.contacts, schema.contacts.c.id == _TALKS.c.contact_id)
                .where(_TALKS.c.id == id)
            ).first()
            if row is None or row.key_desk is None:
                return None
            key = self._key(row)
            rows = conn.execute(
                select(_MESSAGES).where(_MESSAGES.c.conversation_id == id).order_by(_MESSAGES.c.sequence)
            ).all()
            deliveries = [
                delivery(one)
                for one in conn.execute(
                    select(*DELIVERY_COLUMNS)
                    .where(schema.outbox.c.conversation_id == id)
                    .order_by(schema.outbox.c.created_at, schema.outbox.c.id)
                )
            ]
            return Opened(
                conversation=self._conversation(row, now),
                intact=self._intact(conn, row, rows),
                messages=tuple(self._message(message, key) for message in rows),
                replies=_replies(conn, id, {one.id: one for one in deliveries}),
                deliveries=tuple(deliveries),
            )

        return await self._db.read(job)

    async def by_number(self, number: str) -> str | None:
        """The conversation's id, by its case number in any spelling."""
        wanted = read_number(number)
        if wanted is None:
            return None

        def job(conn: Connection) -> str | None:
            found = conn.execute(select(_TALKS.c.id).where(_TALKS.c.number == wanted)).scalar()
            return None if found is None else str(found)

        return await self._db.read(job)

    async def counts(self, person: str, queues: Sequence[str] | None) -> Counts:
        now = self._now()

        def job(conn: Connection) -> Counts:
            mine = () if queues is None else (_TALKS.c.queue.in_(queues),)
            claimed = live(now)
            question = select(_TALKS.c.queue, func.count(), func.sum(case((claimed, 1), else_=0))).where(
                _TALKS.c.state.in_([Talk.OPEN.value, Talk.CLAIMED.value]), *mine
            )
            rows = conn.execute(question.group_by(_TALKS.c.queue)).all()
            taken = {queue: int(claims) for queue, _, claims in rows if claims}
            open_ = {queue: n - int(claims) for queue, n, claims in rows if n > claims}
            held = select(func.count()).select_from(schema.held)
            if queues is not None:
                held = held.where(schema.held.c.queue.in_(["", *queues]))
            own = select(func.count()).select_from(_TALKS).where(_TALKS.c.claimed_by == person, claimed)
            return Counts(
                open=open_,
                claimed=taken,
                mine=conn.execute(own).scalar_one(),
                held=conn.execute(held).scalar_one(),
            )

        return await self._db.read(job)

    async def held(
        self, queues: Sequence[str] | None = None, cursor: str = "", limit: int = 50
    ) -> tuple[list[HeldRow], str]:
        """Oldest first. What was held before a queue was known is shown to everybody. Raises ValueError."""
        return await self._db.read(lambda conn: held_page(conn, cursor, limit, queues=queues))

    async def held_row(self, id: str) -> HeldRow | None:
        return await self._db.read(lambda conn: find_held(conn, id))

    async def now(self) -> str:
        """The feed's cursor as of now."""
        at = self._now()

        def job(conn: Connection) -> str:
            return _cursor(*_end(conn), at)

        return await self._db.read(job)

    async def changes(self, cursor: str, limit: int = 500) -> Changes:
        """What came after the cursor. Raises ValueError for a cursor that isn't ours."""
        found = _CURSOR.fullmatch(cursor)
        if found is None:
            raise ValueError("not a cursor of ours")
        xid, position, at = (int(part) for part in found.groups())
        old = at < self._now() - int(limits.FEED_SECONDS * SECOND)

        def job(conn: Connection) -> Changes:
            end = _end(conn)
            if (xid, position) > end:  # of another life of this database: a backup was restored
                return Changes(entries=(), cursor=_cursor(*end, self._now()), missed=True)
            question = select(_FEED).where(tuple_(_FEED.c.xid, _FEED.c.position) > (xid, position))
            if conn.dialect.name == "postgresql":
                question = question.where(_FEED.c.xid < end[0])
            rows = conn.execute(question.order_by(_FEED.c.xid, _FEED.c.position).limit(limit)).all()
            entries = tuple(_entry(row) for row in rows)
            return Changes(entries=entries, cursor=entries[-1].cursor if entries else cursor, missed=old)

        return await self._db.read(job)

    # --- rows into what is shown

    def _now(self) -> int:
        return micros(self._clock.now())

    def _key(self, row: Any) -> DataKey | None:
        """The contact's data key; None when it was destroyed or isn't ours."""
        if row.key_desk is None:
            return None
        try:
            return self._atrest.data_key(row.key_desk, f"contact/{row.contact_id}")
        except KeysError:
            return None

    def _conversation(self, row: Any, now: int) -> Conversation:
        state = state_now(row, now)
        claimed = state is Talk.CLAIMED
        return Conversation(
            id=row.id,
            contact=row.contact_id,
            number=row.number,
            channel=row.channel,
            mailbox=row.mailbox,
            queue=row.queue,
            language=row.language,
            state=state,
            claimed_by=row.claimed_by if claimed else None,
            lease_until=row.lease_until if claimed else 0,
            fence=row.fence,
            note=row.note,
            related=row.related,
            encrypted=bool(row.encrypted),
            protect=row.protect,
            protect_why=row.protect_why,
            correspondent=self._correspondent(row),
            length=row.length,
            opened_at=row.opened_at,
            updated_at=row.updated_at,
            waiting_since=row.waiting_since,
        )

    def _correspondent(self, row: Any) -> str:
        key = self._key(row)
        if key is None or row.correspondent is None:
            return ""
        try:
            return key.open(row.correspondent, correspondent_place(row.id)).reveal().decode("utf-8", "replace")
        except KeysError:
            return ""

    def _shown(self, conn: Connection, talks: Sequence[Any]) -> dict[tuple[str, object], Message]:
        """The newest and the newest inbound message of each, by conversation and both sequence number and id."""
        by_id = {talk.id: talk for talk in talks}
        question = (
            select(_MESSAGES)
            .join(_TALKS, _TALKS.c.id == _MESSAGES.c.conversation_id)
            .where(
                _TALKS.c.id.in_(list(by_id)),
                or_(_MESSAGES.c.id == _TALKS.c.last_inbound, _MESSAGES.c.sequence == _TALKS.c.length),
            )
        )
        found: dict[tuple[str, object], Message] = {}
        for row in conn.execute(question):
            message = self._message(row, self._key(by_id[row.conversation_id]))
            found[row.conversation_id, row.id] = found[row.conversation_id, row.sequence] = message
        return found

    def _message(self, row: Any, key: DataKey | None) -> Message:
        return Message(
            id=row.id,
            sequence=row.sequence,
            revision=row.revision,
            direction=row.direction,
            author=row.author,
            at=row.at,
            content=self._content(row, key),
        )

    def _content(self, row: Any, key: DataKey | None) -> Sanitized | None:
        if key is None:
            return None
        try:
            self._verify(row.stamp, self._stamped(row))
            opened = key.open(row.sealed, row_place(row.conversation_id, row.id, row.sequence, row.revision))
            return unpack(Sanitized, opened.reveal())
        except (KeysError, BadFrame):
            return None

    def _stamped(self, row: Any) -> StampedRow:
        return StampedRow(
            tenant=self._tenant,
            conversation=row.conversation_id,
            message=row.id,
            sequence=row.sequence,
            revision=row.revision,
            policy_version=row.policy_version,
            ciphertext=row.sealed,
        )

    def _verify(self, stamp: bytes, stamped: StampedRow | StampedHead) -> None:
        """Raises BadSignature. The same bytes are verified once."""
        seen = hashlib.sha256(stamp + stamped.encode()).digest()
        if seen in self._verified:
            return
        verify(self._stamps, stamp, stamped)
        if len(self._verified) >= _REMEMBERED:
            self._verified.clear()
        self._verified[seen] = None

    def _intact(self, conn: Connection, talk: Any, rows: Sequence[Any]) -> bool:
        head = StampedHead(
            tenant=self._tenant, conversation=talk.id, epoch=talk.epoch, length=talk.length, chain=talk.chain
        )
        try:
            self._verify(talk.stamp, head)
        except BadSignature:
            return False
        told = conn.execute(select(func.max(_FEED.c.epoch)).where(_FEED.c.conversation_id == talk.id)).scalar()
        return (
            [row.sequence for row in rows] == list(range(1, talk.length + 1))
            and chain_of(self._stamped(row).digest() for row in rows) == talk.chain
            and (told or 0) <= talk.epoch
        )


def _conditions(view: View, now: int) -> list[Any]:
    claimed = live(now)
    closed = _TALKS.c.state == Talk.CLOSED.value
    by_state = {Talk.OPEN: ~closed & ~claimed, Talk.CLAIMED: claimed, Talk.CLOSED: closed}
    wanted = set(view.states)
    conditions: list[Any] = []
    if wanted == {Talk.OPEN, Talk.CLAIMED}:
        conditions.append(_TALKS.c.state.in_([Talk.OPEN.value, Talk.CLAIMED.value]))
    elif wanted != set(Talk):
        conditions.append(or_(*(by_state[state] for state in wanted)))
    if view.queues is not None:
        conditions.append(_TALKS.c.queue.in_(view.queues))
    if view.mine is not None:
        conditions += [_TALKS.c.claimed_by == view.mine, claimed]
    if view.contact is not None:
        conditions.append(_TALKS.c.contact_id == view.contact)
    return conditions


def _replies(conn: Connection, conversation: str, deliveries: dict[str, Delivery]) -> tuple[ReplyStatus, ...]:
    table = schema.replies
    columns = [table.c[name] for name in ("id", "author", "state", "reason", "decision", "created_at", "changed_at")]
    rows = conn.execute(select(*columns).where(table.c.conversation_id == conversation).order_by(table.c.position))
    return tuple(
        ReplyStatus(
            id=row.id,
            author=row.author,
            state=row.state,
            reason=row.reason,
            codes=_codes(row.decision),
            created_at=row.created_at,
            changed_at=row.changed_at,
            delivery=deliveries.get(row.id),
        )
        for row in rows
    )


def _codes(decision: bytes | None) -> tuple[str, ...]:
    if decision is None:
        return ()
    return tuple(finding.rule.code for finding in msgspec.msgpack.decode(decision, type=Decision).findings)


def _end(conn: Connection) -> tuple[int, int]:
    """Everything before this has been decided: on PostgreSQL the oldest transaction that still runs."""
    if conn.dialect.name == "postgresql":
        oldest = func.pg_snapshot_xmin(func.pg_current_snapshot())
        return int(conn.execute(select(cast(cast(oldest, Text), BigInteger))).scalar_one()), 0
    return 0, int(conn.execute(select(func.max(_FEED.c.position))).scalar() or 0)


def _cursor(xid: int, position: int, at: int) -> str:
    return f"{xid}.{position}.{at}"


def _entry(row: Any) -> Entry:
    return Entry(
        cursor=_cursor(row.xid, row.position, row.at),
        kind=row.kind,
        conversation=row.conversation_id,
        object=row.object_id,
        queue=row.queue,
        at=row.at,
    )

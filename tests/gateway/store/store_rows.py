"""Rows, boxes and keys for the store's tests."""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from channels.contract import Address
from gateway.crossing import Passage
from gateway.ids import FixedClock, Ulids, micros
from gateway.layers import Layer, Passed
from gateway.rules import Finding
from gateway.sanitized import SafeText, Sanitized, Trust
from gateway.store.contacts import Contacts
from gateway.store.conversations import Conversations
from gateway.store.database import Database
from gateway.store.notices import Notices
from gateway.store.outbox import NewOutboxRow, Outbox
from gateway.store.queue import Filed, Queue, Sent
from gateway.store.reading import Reading
from gateway.store.replies import Replies
from gateway.store.spool import Claim, NewSpoolRow, Spool, put
from gateway.store.threads import ReplyTokens
from keys.atrest import AtRest
from keys.box import Binding, BoxPublicKey, Purpose, SigningKey, seal
from keys.secret import Secret
from keys.stamping import Stamper
from keys.unbox import BoxPrivateKey

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EDGE = SigningKey(Secret(b"e" * 32))
SPOOL_KEY = BoxPrivateKey(Secret(bytes(range(96))))
SPOOL_PUBLIC: BoxPublicKey = SPOOL_KEY.public()
_numbers = itertools.count(1)


def box(row: str, payload: bytes = b"sealed", *, purpose: Purpose = Purpose.SPOOL, channel: str = "email") -> bytes:
    return seal(Secret(payload), to=SPOOL_PUBLIC, by=EDGE, binding=Binding(purpose=purpose, row=row, channel=channel))


def new_row(
    clock: FixedClock, *, lane: bytes = b"", key: bytes = b"", payload: bytes = b"sealed", sealed: bytes = b""
) -> NewSpoolRow:
    """A row for the spool. Without a lane or key, one of its own."""
    id = Ulids(clock).new()
    return NewSpoolRow(
        id=id,
        channel="email",
        lane=lane or os.urandom(32),
        dedupe_key=key or os.urandom(32),
        box=sealed or box(id, payload),
        received_at=micros(clock.now()) + next(_numbers),
    )


ATREST = AtRest.single(Secret(b"i" * 32))
DESK_ATREST = AtRest.single(Secret(b"d" * 32))
STAMPER = Stamper(SigningKey(Secret(b"s" * 32)))
TOKENS = ReplyTokens(Secret(b"t" * 32))
ALICE, BOB, MALLORY = Address("alice@example.org"), Address("bob@example.net"), Address("mallory@evil.example")
TRUST = Trust(
    tls="TLSv1.3", encrypted="none", subject_encrypted=True, signatures=(), spf="pass", dkim="pass", dmarc="pass",
    authenticated_domain=SafeText("example.org"),
)  # fmt: skip


class Anything:
    rules = ()

    async def __call__(self, message: Sanitized, /) -> Sequence[Finding]:
        return ()


_PASS: Layer[Sanitized] = Layer("test", (Anything(),))


async def passed(text: str = "hello", **more: Any) -> Passed[Sanitized]:
    values: dict[str, Any] = {
        "author": "alice@example.org", "author_name": "Alice", "subject": "Refund", "text": text, "attachments": (),
        "redactions": {}, "trust": TRUST, "message_id": "", "references": (), "language": "en", "automatic": False,
        "sent_at": None,
    }  # fmt: skip
    return await _PASS.require(Sanitized(**{**values, **more}))


def passage(author: Address | None = ALICE, **more: Any) -> Passage:
    values: dict[str, Any] = {"author": author, "mailbox": "support", "queue": "support", "encrypted": False}
    return Passage(**{**values, **more})


@dataclass
class House:
    """All three roles over one store, and what a message needs to get through."""

    edge: Database
    inspector: Database
    desk: Database
    clock: FixedClock

    def __post_init__(self) -> None:
        ids = Ulids(self.clock)
        self.ids = ids
        self.spool = Spool(self.inspector, self.clock)
        self.queue = Queue(
            self.inspector, atrest=ATREST, desk_atrest=DESK_ATREST, stamper=STAMPER, tokens=TOKENS, clock=self.clock,
            ids=ids, tenant="main", policy_version=7, first_contact_notice=True,
        )  # fmt: skip
        self.contacts = Contacts(self.inspector, atrest=ATREST, desk_atrest=DESK_ATREST, clock=self.clock, ids=ids)
        self.notices = Notices(self.inspector, self.clock)
        self.reading = Reading(self.desk, atrest=DESK_ATREST, stamps=STAMPER.public, tenant="main", clock=self.clock)
        self.conversations = Conversations(self.desk, self.clock)
        self.replies, self.answering = Replies(self.desk, self.clock), Replies(self.inspector, self.clock)
        self.outbox, self.sending = Outbox(self.inspector, self.clock), Outbox(self.edge, self.clock)

    def later(self, seconds: float) -> None:
        self.clock.at += timedelta(seconds=seconds)

    async def arrive(self) -> Claim:
        """A fresh claim."""
        row = new_row(self.clock)
        await put(self.edge, row)
        claims = await self.spool.claim(100, 60)
        return next(claim for claim in claims if claim.id == row.id)

    async def receive(
        self, text: str = "hello", author: Address | None = ALICE, *, where: dict[str, Any] | None = None, **more: Any
    ) -> Filed:
        """A message all the way into the queue. `where` goes into the passage, the rest into the message."""
        self.later(1)
        claim = await self.arrive()
        message = await passed(text, author=author or "", **more)
        return await self.queue.put(claim, message, passage(author, **(where or {})))

    async def answer(self, filed: Filed, text: str = "dear customer", message_id: str = "<ours@acme>") -> str:
        """A reply, as far as the outbox."""
        self.later(1)
        id = self.ids.new()
        sealed = box(id, text.encode(), purpose=Purpose.REPLY, channel="desk")
        assert await self.replies.put(id=id, conversation=filed.conversation, author="ann", box=sealed)
        (claim,) = await self.answering.claim(1, 60)
        row = NewOutboxRow(
            id=id, channel="email", lane=b"x", kind="reply", box=box(id, purpose=Purpose.OUTBOX),
            conversation=filed.conversation, expires_at=micros(self.clock.now()) + 10**12,
        )  # fmt: skip
        sent = Sent(
            id=id, conversation=filed.conversation, author="ann", notice=False, copy=await passed(text),
            message_id=message_id, outbox=row,
        )  # fmt: skip
        await self.queue.record_sent(sent, claim)
        return id

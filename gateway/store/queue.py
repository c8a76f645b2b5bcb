"""The agents' queue: where a message that every layer has passed is filed, exactly once.

Rules:
1. One transaction: contact, conversation, sequence number under the row's lock, sealed row, stamps of row and head,
   thread ids, feed, audit, and the spool row's deletion. The row's deletion is fenced; the message's id is the spool
   row's, so a second filing can't happen.
2. Only a `Passed[Sanitized]` is filed.
3. A conversation is joined by the Message-IDs it answers to, by a signed reply address, or by a quoted case number,
   in this order, and **only when it is the same contact's**; otherwise it is a new one with a note. A closed one
   reopens.
4. What came in encrypted marks the conversation for good: it is never answered in clear.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from channels.contract import Address
from gateway.crossing import Passage
from gateway.ids import Clock, Ids
from gateway.layers import Passed
from gateway.sanitized import Sanitized
from gateway.store.contacts import Bound, Stamper
from gateway.store.database import Database
from gateway.store.outbox import NewOutboxRow
from gateway.store.replies import ReplyClaim
from gateway.store.spool import Claim
from gateway.store.threads import ReplyTokens
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
    which the answer to it will be threaded. `copy` is what agents are shown of it. `outbox` None: nothing leaves."""

    id: str
    conversation: str
    author: str
    notice: bool
    copy: Passed[Sanitized]
    message_id: str
    outbox: NewOutboxRow | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Correspondence:
    """What the inspector must know to answer in a conversation. `to` None: nobody can be answered. `in_reply_to` and
    `references` are Message-IDs of the newest inbound message, "" and () for none. `bound` are the certificates of the
    address, `encrypted` tells that something came in encrypted."""

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
        raise NotImplementedError

    async def put(self, claim: Claim, cleared: Passed[Sanitized], passage: Passage) -> Filed:
        """Raises Fenced, StoreDown, StoreFull, keys.errors.Unavailable (no stamp to be had)."""
        raise NotImplementedError

    async def record_sent(self, sent: Sent, reply: ReplyClaim | None = None) -> Filed:
        """Files our side's message and puts its box into the outbox, in one transaction with the reply's end. Doing it
        twice does it once. Raises Fenced, StoreDown, StoreFull."""
        raise NotImplementedError

    async def correspondence(self, conversation: str) -> Correspondence | None:
        raise NotImplementedError

    async def set_protection(self, conversation: str, protect: str, why: str) -> None:
        """Writes down how a reply would leave (`gateway.reply.Protect` and a fixed token), for the desk to show."""
        raise NotImplementedError

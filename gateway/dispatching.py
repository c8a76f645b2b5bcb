"""Dispatching: what an answer needs to know of the conversation, and what becomes of it in the workshop.

    correspondence (store) + mailbox (config) + certificates ──► Dispatch ──► worker: OUTBOUND, protect, compose, box
                                                                         └──► Sent: outbox row and sanitized copy

Rules:
1. To whom an answer goes and how it may leave comes from here, never from the desk.
2. Row, Message-ID and idempotency key are made of the answer's own id: doing it twice gives the same ones.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from channels.contract import Address, ChannelName, Demand
from gateway import limits
from gateway.certificates import Certificates
from gateway.config import Mailbox
from gateway.crossing import Outcome
from gateway.held import HeldContact
from gateway.ids import Clock, micros
from gateway.jobs import Dispatch, Report
from gateway.mailboxes import Mailboxes
from gateway.reply import Protect, Reply
from gateway.store.contacts import Bound
from gateway.store.outbox import NewOutboxRow
from gateway.store.queue import Correspondence, Sent
from gateway.store.threads import ReplyTokens
from keys.openpgp import Fingerprint
from keys.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Why something is written: an agent's reply, or a notice with its template. `id` is its row."""

    id: str
    author: str = ""
    template: str = ""


class Dispatching:
    """`transport` is what the company demands of the next server."""

    def __init__(
        self,
        *,
        mailboxes: Mailboxes,
        certificates: Certificates,
        tokens: ReplyTokens,
        transport: Demand,
        company: str,
        privacy_url: str,
        held_hours: float,
        clock: Clock,
    ) -> None:
        self._mailboxes, self._certificates, self._tokens = mailboxes, certificates, tokens
        self._transport, self._clock = transport, clock
        self._values = {"company": company, "privacy_url": privacy_url, "hours": f"{held_hours:g}"}

    def in_conversation(self, occasion: Occasion, correspondence: Correspondence) -> Dispatch | None:
        """None when nobody can be answered, or the mailbox isn't ours any more."""
        mailbox = self._mailboxes.named(correspondence.mailbox)
        if mailbox is None or correspondence.to is None:
            return None
        return self._dispatch(
            occasion,
            mailbox,
            to=correspondence.to,
            channel=correspondence.channel,
            conversation=correspondence.conversation,
            language=correspondence.language or mailbox.language,
            number=correspondence.number,
            subject=correspondence.subject,
            in_reply_to=correspondence.in_reply_to,
            references=correspondence.references,
            encrypted=correspondence.encrypted,
            certificates=self._certificates.usable(correspondence.bound),
            reply_to=Address(self._tokens.address(mailbox.address, correspondence.number)),
        )

    def about_held(
        self, occasion: Occasion, contact: HeldContact, channel: str, bound: tuple[Bound, ...]
    ) -> Dispatch | None:
        """A notice about a message that belongs to no conversation yet."""
        mailbox = self._mailboxes.named(contact.mailbox)
        if mailbox is None:
            return None
        return self._dispatch(
            occasion,
            mailbox,
            to=contact.to,
            channel=channel,
            conversation="",
            language=contact.language or mailbox.language,
            number="",
            subject="",
            in_reply_to="",
            references=(),
            encrypted=contact.encrypted,
            certificates=self._certificates.usable(bound),
            reply_to=None,
        )

    def sent(self, dispatch: Dispatch, report: Report, outcome: Outcome) -> Sent | None:
        """What is to be filed and to leave; None when the worker's answer isn't complete."""
        reply = dispatch.reply
        if outcome.cleared is None or not report.box:
            return None
        return Sent(
            id=reply.id,
            conversation=reply.conversation,
            author=reply.author,
            notice=bool(reply.template),
            copy=outcome.cleared,
            message_id=reply.message_id,
            outbox=self.row(dispatch, report),
            sealed=report.protect == Protect.SEALED.value,
        )

    def row(self, dispatch: Dispatch, report: Report) -> NewOutboxRow:
        reply = dispatch.reply
        lane = reply.conversation or reply.id
        return NewOutboxRow(
            id=dispatch.outbox_row,
            channel=dispatch.channel,
            lane=hashlib.sha256(b"outbox " + lane.encode()).digest(),
            kind=reply.template or "reply",
            box=report.box,
            conversation=reply.conversation or None,
            expires_at=micros(self._clock.now()) + int(limits.SEND_GIVE_UP_SECONDS * 1_000_000),
        )

    def _dispatch(
        self,
        occasion: Occasion,
        mailbox: Mailbox,
        *,
        to: Address,
        channel: str,
        conversation: str,
        language: str,
        number: str,
        subject: str,
        in_reply_to: str,
        references: tuple[str, ...],
        encrypted: bool,
        certificates: tuple[Fingerprint, ...],
        reply_to: Address | None,
    ) -> Dispatch:
        domain = mailbox.address.rpartition("@")[2]
        reply = Reply(
            id=occasion.id,
            conversation=conversation,
            author=occasion.author,
            text=Secret(""),
            subject=Secret(answering(subject or number)),
            to=to,
            mailbox=mailbox.terms().mailbox,
            language=language,
            number=number,
            message_id=f"<{occasion.id.lower()}@{domain}>",
            in_reply_to=in_reply_to,
            references=references,
            certificates=certificates,
            correspondent_encrypted=encrypted,
            clear_reply=mailbox.clear_reply,
            transport=self._transport,
            template=occasion.template,
            values={**self._values, "number": number} if occasion.template else {},
        )
        return Dispatch(reply=reply, outbox_row=occasion.id, channel=ChannelName(channel), reply_to=reply_to)


def answering(subject: str) -> str:
    """
    >>> answering("My order"), answering("RE: My order"), answering("")
    ('Re: My order', 'RE: My order', '')
    """
    return subject if not subject or subject[:3].lower() == "re:" else f"Re: {subject}"

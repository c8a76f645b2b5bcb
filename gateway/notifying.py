"""Notifying: the notices that the gateway writes by itself, on the same way out as replies.

Rules:
1. A notice quotes nothing. It is encrypted when the customer's message was; where it can't be, it isn't sent at all.
2. Nothing answers a program: whoever puts a notice down has seen to that, and its headers say what it is (RFC 3834).
3. One notice, one row: its id is the outbox row's, so that doing it twice sends it once.
4. A notice that can't be sent is dropped with a reason; it never holds anything up.
5. An address gets few a day (`limits.NOTICES_PER_ADDRESS_DAY`), tags aside: a From line may name a third person.
"""

from __future__ import annotations

from channels.contract import Address
from gateway import limits
from gateway.claiming import Claiming
from gateway.codec import BadFrame, pack
from gateway.dispatching import Dispatching, Occasion
from gateway.errors import Fenced, StoreError, WorkerError
from gateway.faults import FAULT, LIMIT, UNAVAILABLE
from gateway.held import open_contact
from gateway.ids import Clock
from gateway.jobs import Dispatch
from gateway.log import Log, LogEvent
from gateway.requests import Promised, ReplyRequest, reply_binding
from gateway.rules import Action, Token
from gateway.store.contacts import Contacts
from gateway.store.notices import NoticeClaim, Notices
from gateway.store.outbox import Outbox
from gateway.store.queue import Queue
from gateway.store.waking import Ear
from gateway.workshop import Workshop
from keys.atrest import AtRest
from keys.errors import KeysError, Unavailable
from keys.secret import Secret


class NoticeWorker:
    """`channel` is the channel that held messages came by, for their notices."""

    def __init__(
        self,
        *,
        notices: Notices,
        outbox: Outbox,
        queue: Queue,
        contacts: Contacts,
        workshop: Workshop,
        dispatching: Dispatching,
        atrest: AtRest,
        channel: str,
        ear: Ear,
        clock: Clock,
        log: Log,
    ) -> None:
        self._notices, self._outbox, self._queue, self._contacts = notices, outbox, queue, contacts
        self._workshop, self._dispatching, self._atrest = workshop, dispatching, atrest
        self._channel, self._clock, self._log = channel, clock, log
        self.claiming = Claiming(
            claim=lambda n: notices.claim(n, limits.LEASE_SECONDS),
            process=self.process, ear=ear, log=log, at_once=limits.NOTICES_AT_ONCE,
        )  # fmt: skip

    async def process(self, claim: NoticeClaim) -> None:
        """One notice, to its end. Never raises but on cancellation."""
        try:
            reason = await self._process(claim)
        except Fenced:
            return
        except StoreError as error:
            self._log.fault(error, LogEvent.STORE_DOWN, notice=Token(claim.id))
            return
        except Exception as error:  # noqa: BLE001 - our own fault; a notice may be missing, a message may not
            self._log.fault(error, LogEvent.FAULT, notice=Token(claim.id))
            reason = FAULT.code
        if reason is not None:
            await self._notices.finish(claim, reason)

    async def _process(self, claim: NoticeClaim) -> str | None:
        """Why it isn't sent, "" when it is, None when it is tried again."""
        if claim.attempts > limits.ATTEMPTS:
            return LIMIT.code
        dispatch = await self._dispatch(claim)
        if dispatch is None:
            return "nobody-to-answer"
        if not await self._notices.counted(claim, self._atrest.index("notice", mailbox_of(dispatch.reply.to))):
            return "too-many"
        binding = reply_binding(claim.id)
        empty = ReplyRequest(
            id=claim.id, conversation=dispatch.reply.conversation, author="", text=Secret(""), seen=0,
            promised=Promised.CLEAR, written_at=self._clock.now(),
        )  # fmt: skip
        try:
            box = await self._workshop.with_keys(lambda: self._workshop.agent.box(pack(empty), binding))
            report, outcome = await self._workshop.way_out(box, binding, dispatch)
        except (WorkerError, BadFrame, Unavailable) as error:
            self._log.fault(error, LogEvent.WORKER_ENDED, notice=Token(claim.id))
            await self._notices.retry(claim, limits.RETRY_SECONDS * 4**claim.attempts)
            return None
        if report.why == UNAVAILABLE.code:
            await self._notices.retry(claim, 60.0)
            return None
        if report.fault or outcome is None:
            return FAULT.code
        if outcome.decision.action is not Action.ACCEPT:
            return outcome.decision.findings[0].rule.code
        sent = self._dispatching.sent(dispatch, report, outcome)
        if sent is None:
            return report.why or FAULT.code
        if sent.conversation:
            await self._queue.record_sent(sent)
        elif sent.outbox is not None:
            await self._outbox.put(sent.outbox)
        return ""

    async def _dispatch(self, claim: NoticeClaim) -> Dispatch | None:
        occasion = Occasion(id=claim.id, template=claim.kind)
        if claim.conversation is not None:
            correspondence = await self._queue.correspondence(claim.conversation)
            return self._dispatching.in_conversation(occasion, correspondence) if correspondence else None
        if claim.spool_id is None or claim.for_inspector is None:
            return None
        try:
            contact = open_contact(self._atrest, claim.spool_id, claim.for_inspector)
        except (KeysError, BadFrame):
            return None
        bound = await self._contacts.certificates(self._channel, contact.to)
        return self._dispatching.about_held(occasion, contact, self._channel, bound)


def mailbox_of(address: Address) -> str:
    """Whose mailbox it is, as far as one can tell: case and plus-tag (RFC 5233) aside.

    >>> mailbox_of(Address("Alice+news@Example.ORG"))
    'alice@example.org'
    """
    local, at, domain = address.lower().rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"

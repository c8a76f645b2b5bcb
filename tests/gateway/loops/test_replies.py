"""Replies and notices: what leaves, what is stopped, and that doing it twice does it once."""

from __future__ import annotations

from typing import Any

import pytest
from bench_hands import Agent, Pages, Said, Silent, Workshop, rule
from store_rows import ALICE, ATREST, TOKENS, House, box, passed

from channels.contract import Address, Demand
from gateway import faults, limits
from gateway.codec import pack
from gateway.config import Mailbox
from gateway.crossing import Outcome
from gateway.dispatching import Dispatching, Occasion
from gateway.errors import WorkerError
from gateway.faults import decided
from gateway.held import HeldContact, seal_contact
from gateway.jobs import Report
from gateway.mailboxes import Mailboxes
from gateway.notifying import NoticeWorker
from gateway.path_out import completed
from gateway.replies import ReplyWorker
from gateway.requests import Promised, ReplyRequest, reply_binding
from gateway.rules import Action, Decision, Finding
from gateway.store.queue import Filed
from keys.box import KeyId, Purpose
from keys.errors import Unavailable
from keys.openpgp import Fingerprint
from keys.secret import Secret
from keys.unbox import Unboxed


class Certificates:
    """Everything that is trusted is usable."""

    def usable(self, bound: Any) -> tuple[Fingerprint, ...]:
        return tuple(Fingerprint(one.fingerprint) for one in bound)


def dispatching(house: House, **mailbox: Any) -> Dispatching:
    boxes = Mailboxes((Mailbox(name="support", address="support@acme.example", **mailbox),))
    return Dispatching(
        mailboxes=boxes, certificates=Certificates(), tokens=TOKENS, transport=Demand.REQUIRED, company="Acme",  # type: ignore[arg-type]
        privacy_url="https://acme.example/privacy", held_hours=72.0, clock=house.clock,
    )  # fmt: skip


async def leaving(**more: Any) -> Said:
    outcome = Outcome(decision=Decision(Action.ACCEPT, (), "outbound"), passage=None, cleared=await passed("copy"))
    return Report(box=box("x", purpose=Purpose.OUTBOX), protect="sealed", why="certificate", **more), outcome


class Desk:
    """A conversation with alice, and a reply to it."""

    def __init__(self, house: House, *answers: Said | Exception, mailbox: dict[str, Any] | None = None) -> None:
        self.house, self.pages = house, Pages(house.clock)
        self.workshop = Workshop(list(answers))
        self.worker = ReplyWorker(
            replies=house.answering, queue=house.queue, workshop=self.workshop,  # type: ignore[arg-type]
            dispatching=dispatching(house, **(mailbox or {})), ear=Silent(), clock=house.clock, log=self.pages.log,
            at_once=1,
        )  # fmt: skip

    async def reply(self, filed: Filed, attempts: int = 1) -> str:
        id = self.house.ids.new()
        sealed = box(id, purpose=Purpose.REPLY, channel="desk")
        await self.house.replies.put(id=id, conversation=filed.conversation, author="ann", box=sealed)
        for _ in range(attempts):
            (claim,) = await self.house.answering.claim(1, 60)
            await self.worker.process(claim)
            self.house.later(3600)
        return id

    async def status(self, filed: Filed) -> Any:
        opened = await self.house.reading.conversation(filed.conversation)
        assert opened is not None
        return opened.replies[0]


async def test_a_reply_goes_to_the_outbox_with_its_copy_in_one_go(house: House) -> None:
    desk = Desk(house, await leaving())
    filed = await house.receive(message_id="<1@example.org>")
    id = await desk.reply(filed)
    (row,) = await house.sending.claim(10, 60)
    assert (row.id, row.kind, row.conversation) == (id, "reply", filed.conversation)
    status = await desk.status(filed)
    assert (status.state, status.delivery.state) == ("outbox", "sending")
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert [one.direction for one in opened.messages] == ["in", "out"]


async def test_to_whom_and_how_comes_from_the_store_and_the_configuration(house: House) -> None:
    desk = Desk(house, await leaving(), mailbox={"clear_reply": False})
    filed = await house.receive(message_id="<1@example.org>", where={"encrypted": True})
    id = await desk.reply(filed)
    (dispatch,) = desk.workshop.dispatched
    reply = dispatch.reply
    assert (reply.to, reply.mailbox, reply.author) == (ALICE, "support", "ann")
    assert reply.in_reply_to == "<1@example.org>"
    assert reply.message_id == f"<{id.lower()}@acme.example>"
    assert reply.subject.reveal() == "Re: Refund"
    assert (reply.correspondent_encrypted, reply.clear_reply, reply.transport) == (True, False, Demand.REQUIRED)
    assert reply.text.reveal() == ""
    assert dispatch.reply_to is not None
    assert TOKENS.read(dispatch.reply_to.partition("+")[2].partition("@")[0]) == filed.number


async def test_what_outbound_stops_is_stopped_and_says_why(house: House) -> None:
    finding = Finding(rule("outbound.leak", Action.REJECT))
    desk = Desk(house, (Report(decision=Decision(Action.REJECT, (finding,), "outbound")), None))
    filed = await house.receive()
    await desk.reply(filed)
    status = await desk.status(filed)
    assert (status.state, status.reason, status.codes) == ("stopped", "outbound.leak", ("outbound.leak",))
    assert await house.sending.claim(10, 60) == []


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((Report(fault="KeyError"), None), "gateway.fault"),
        ((Report(why="keys.cert-cannot-encrypt"), None), "keys.cert-cannot-encrypt"),
        ((Report(decision=decided(faults.FORGED)), None), "gateway.forged"),
        (LookupError("x"), "gateway.fault"),
    ],
)
async def test_what_cannot_be_sent_is_stopped_with_a_reason(
    house: House, answer: Said | Exception, reason: str
) -> None:
    desk = Desk(house, answer)
    filed = await house.receive()
    await desk.reply(filed)
    assert (await desk.status(filed)).reason == reason


async def test_a_worker_that_dies_is_tried_again_and_then_it_is_stopped(house: House) -> None:
    desk = Desk(house, WorkerError("crash"))
    filed = await house.receive()
    await desk.reply(filed, attempts=limits.ATTEMPTS)
    assert (await desk.status(filed)).reason == "gateway.limit"


async def test_while_the_keys_are_away_a_reply_waits(house: House) -> None:
    desk = Desk(house, Unavailable(), (Report(why=faults.UNAVAILABLE.code), None), Unavailable(), await leaving())
    filed = await house.receive()
    await desk.reply(filed, attempts=3)
    assert (await desk.status(filed)).state == "waiting"
    (claim,) = await house.answering.claim(1, 60)
    await desk.worker.process(claim)
    assert (await desk.status(filed)).state == "outbox"


async def test_keys_that_stay_away_stop_it(house: House) -> None:
    desk = Desk(house, Unavailable())
    filed = await house.receive()
    await desk.reply(filed)
    house.later(limits.KEYS_AWAY_SECONDS)
    (claim,) = await house.answering.claim(1, 60)
    await desk.worker.process(claim)
    assert (await desk.status(filed)).reason == "gateway.unavailable"


async def test_a_conversation_without_an_address_is_not_answered(house: House) -> None:
    desk = Desk(house, await leaving())
    filed = await house.receive(author=None)
    await desk.reply(filed)
    assert (await desk.status(filed)).reason == "nobody-to-answer"
    assert desk.workshop.dispatched == []


async def test_the_same_reply_twice_is_one_row_and_one_copy(house: House) -> None:
    """The store committed and we died before we heard of it: the claim is worked on again."""
    desk = Desk(house, await leaving())
    filed = await house.receive()
    id = house.ids.new()
    sealed = box(id, purpose=Purpose.REPLY, channel="desk")
    await house.replies.put(id=id, conversation=filed.conversation, author="ann", box=sealed)
    (claim,) = await house.answering.claim(1, 60)
    await desk.worker.process(claim)
    await desk.worker.process(claim)
    assert len(await house.sending.claim(10, 60)) == 1
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert [one.direction for one in opened.messages] == ["in", "out"]


async def test_once_we_answered_sealed_a_later_answer_is_not_clear_by_itself(house: House) -> None:
    desk = Desk(house, await leaving())
    filed = await house.receive()
    before = await house.queue.correspondence(filed.conversation)
    await desk.reply(filed)
    after = await house.queue.correspondence(filed.conversation)
    assert before is not None
    assert after is not None
    assert (before.encrypted, after.encrypted) == (False, True)


@pytest.mark.parametrize(("promised", "sealed"), [(Promised.SEALED, True), (Promised.CLEAR, False)])
async def test_the_promise_comes_out_of_the_agents_box(house: House, promised: Promised, sealed: bool) -> None:
    filed = await house.receive()
    correspondence = await house.queue.correspondence(filed.conversation)
    assert correspondence is not None
    dispatch = dispatching(house).in_conversation(Occasion(id="01R", author="ann"), correspondence)
    assert dispatch is not None
    request = ReplyRequest(
        id="01R", conversation=filed.conversation, author="ann", text=Secret("Hello"), seen=1, promised=promised,
        written_at=house.clock.now(),
    )  # fmt: skip
    unboxed = Unboxed(payload=pack(request), binding=reply_binding("01R"), signer=KeyId("0" * 16))
    assert completed(dispatch, unboxed).promised_sealed is sealed


# --- notices


def notifier(house: House, *answers: Said | Exception, agent: Agent | None = None) -> tuple[NoticeWorker, Workshop]:
    workshop = Workshop(list(answers), agent or Agent())
    return NoticeWorker(
        notices=house.notices, outbox=house.outbox, queue=house.queue, contacts=house.contacts, workshop=workshop,  # type: ignore[arg-type]
        dispatching=dispatching(house), atrest=ATREST, channel="email", ear=Silent(), clock=house.clock,
        log=Pages(house.clock).log,
    ), workshop  # fmt: skip


async def test_a_new_contact_is_told_once(house: House) -> None:
    worker, workshop = notifier(house, await leaving())
    filed = await house.receive(message_id="<1@example.org>")
    (claim,) = await house.notices.claim(10, 60)
    await worker.process(claim)
    (row,) = await house.sending.claim(10, 60)
    assert (row.kind, row.conversation) == ("first-contact", filed.conversation)
    reply = workshop.dispatched[0].reply
    assert reply.template == "first-contact"
    assert reply.values["number"] == filed.number
    assert await house.notices.claim(10, 60) == []
    await house.receive()
    assert await house.notices.claim(10, 60) == []


async def test_a_notice_about_a_held_message_goes_to_its_author(house: House) -> None:
    worker, workshop = notifier(house, await leaving())
    claim = await house.arrive()
    contact = HeldContact(to=ALICE, mailbox="support", language="es", encrypted=True)
    await house.spool.hold(
        claim, decided(faults.FAULT), None, expires_at=2 * 10**15, mailbox="support", queue="support",
        for_inspector=seal_contact(ATREST, claim.id, contact), notice=True,
    )  # fmt: skip
    (notice,) = await house.notices.claim(10, 60)
    await worker.process(notice)
    reply = workshop.dispatched[0].reply
    assert (reply.template, reply.to, reply.language) == ("held", ALICE, "es")
    assert reply.correspondent_encrypted
    assert reply.values["hours"] == "72"
    (row,) = await house.sending.claim(10, 60)
    assert (row.kind, row.conversation) == ("held", None)


async def test_a_third_person_is_not_written_to_over_and_over(house: House) -> None:
    worker, workshop = notifier(house, await leaving())
    for number in range(6):
        claim = await house.arrive()
        contact = HeldContact(
            to=Address(f"alice+{number}@example.org"), mailbox="support", language="es", encrypted=False
        )  # fmt: skip
        await house.spool.hold(
            claim, decided(faults.FAULT), None, expires_at=2 * 10**15, mailbox="support", queue="support",
            for_inspector=seal_contact(ATREST, claim.id, contact), notice=True,
        )  # fmt: skip
    for notice in await house.notices.claim(10, 60):
        await worker.process(notice)
    assert len(workshop.dispatched) == len(await house.sending.claim(10, 60)) == limits.NOTICES_PER_ADDRESS_DAY
    house.later(3600)
    assert await house.notices.claim(10, 60) == []


async def test_a_notice_that_cannot_be_protected_is_dropped_with_a_reason(house: House) -> None:
    finding = Finding(rule("outbound.downgrade", Action.REJECT))
    worker, _ = notifier(house, (Report(decision=Decision(Action.REJECT, (finding,), "outbound")), None))
    await house.receive(where={"encrypted": True})
    (claim,) = await house.notices.claim(10, 60)
    await worker.process(claim)
    assert await house.sending.claim(10, 60) == []
    house.later(86_400)
    assert await house.notices.claim(10, 60) == []


async def test_a_notice_waits_for_keys_that_are_away(house: House) -> None:
    worker, _ = notifier(house, await leaving(), agent=Agent(error=Unavailable()))
    await house.receive()
    (claim,) = await house.notices.claim(10, 60)
    await worker.process(claim)
    house.later(3600)
    assert len(await house.notices.claim(10, 60)) == 1

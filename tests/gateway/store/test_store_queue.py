"""Into the queue exactly once, into the right conversation, and nobody into a stranger's."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import func, select
from store_rows import ALICE, BOB, MALLORY, TOKENS, House, passage, passed

from channels.contract import Address
from gateway.errors import Fenced
from gateway.states import Talk
from gateway.store import schema
from gateway.store.queue import Note, Queue
from keys.errors import Unavailable


async def test_a_message_is_filed_and_its_spool_row_is_gone(house: House) -> None:
    filed = await house.receive("hello there", message_id="<1@example.org>")
    assert (filed.sequence, filed.first_contact, filed.reopened, filed.note) == (1, True, False, Note.NONE)
    assert (filed.mailbox, filed.queue, filed.language) == ("support", "support", "en")
    assert await house.spool.backlog() == 0
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert opened.intact
    (message,) = opened.messages
    assert message.content is not None
    assert (message.id, message.direction, message.content.text) == (filed.message, "in", "hello there")
    assert (opened.conversation.number, opened.conversation.correspondent) == (filed.number, str(ALICE))
    assert opened.conversation.waiting_since is not None


async def test_filing_twice_is_fenced(house: House) -> None:
    claim = await house.arrive()
    await house.queue.put(claim, await passed(), passage())
    with pytest.raises(Fenced):
        await house.queue.put(claim, await passed(), passage())
    assert (await house.queue.correspondence("none")) is None


async def test_an_old_lease_cannot_file(house: House) -> None:
    old = await house.arrive()
    house.later(61)
    (new,) = await house.spool.claim(1, 60)
    with pytest.raises(Fenced):
        await house.queue.put(old, await passed(), passage())
    assert (await house.queue.put(new, await passed(), passage())).sequence == 1


async def test_without_a_stamp_nothing_is_filed_and_the_row_stays(house: House) -> None:
    class Gone:
        def stamp(self, *_: object) -> tuple[bytes, ...]:
            raise Unavailable

    claim = await house.arrive()
    working = house.queue._filing._stamper
    house.queue._filing._stamper = Gone()
    with pytest.raises(Unavailable):
        await house.queue.put(claim, await passed(), passage())
    house.queue._filing._stamper = working
    assert await house.spool.backlog() == 1
    assert (await house.queue.put(claim, await passed(), passage())).first_contact


async def test_an_answer_joins_by_the_message_ids_it_names(house: House) -> None:
    first = await house.receive(message_id="<1@example.org>")
    second = await house.receive(message_id="<2@example.org>", references=("<x@y>", "<1@example.org>"))
    third = await house.receive(references=("<2@example.org>",))
    assert first.conversation == second.conversation == third.conversation
    assert [first.sequence, second.sequence, third.sequence] == [1, 2, 3]
    assert not second.first_contact
    assert (await house.receive()).conversation != first.conversation, "nothing quoted, nothing joined"


async def test_an_answer_to_our_reply_joins(house: House) -> None:
    filed = await house.receive()
    await house.answer(filed, message_id="<ours-1@acme.example>")
    assert (await house.receive(references=("<ours-1@acme.example>",))).conversation == filed.conversation


@pytest.mark.parametrize("place", ["subject", "text", "tag"])
async def test_a_case_number_or_signed_address_joins_the_same_contact(house: House, place: str) -> None:
    first = await house.receive()
    plain = first.number.replace("-", "").lower()
    match place:
        case "subject":
            again = await house.receive(subject=f"Re: [{first.number}] Refund")
        case "text":
            again = await house.receive(f"about my case {plain}")
        case _:
            again = await house.receive(where={"tag": TOKENS.tag(first.number)})
    assert (again.conversation, again.sequence) == (first.conversation, 2)


@pytest.mark.parametrize("place", ["references", "subject", "text", "tag"])
async def test_a_stranger_never_joins_by_quoting(house: House, place: str) -> None:
    first = await house.receive(message_id="<1@example.org>")
    match place:
        case "references":
            other = await house.receive(author=MALLORY, references=("<1@example.org>",))
        case "subject":
            other = await house.receive(author=MALLORY, subject=f"[{first.number}]")
        case "text":
            other = await house.receive(f"case {first.number}", author=MALLORY)
        case _:
            other = await house.receive(author=MALLORY, where={"tag": TOKENS.tag(first.number)})
    assert other.conversation != first.conversation
    assert other.contact != first.contact
    assert other.note is (Note.NONE if place == "references" else Note.OTHER_CONTACT)
    opened = await house.reading.conversation(other.conversation)
    assert opened is not None
    assert opened.conversation.related == (None if place == "references" else first.conversation)


async def test_a_forged_tag_joins_nothing(house: House) -> None:
    first = await house.receive()
    forged = TOKENS.tag(first.number)[:-1] + ("a" if TOKENS.tag(first.number)[-1] != "a" else "b")
    assert (await house.receive(where={"tag": forged})).conversation != first.conversation


async def test_a_closed_conversation_reopens(house: House) -> None:
    first = await house.receive(message_id="<1@example.org>")
    lease = await house.conversations.claim(first.conversation, "ann", 60)
    assert lease is not None
    await house.conversations.close(first.conversation, "ann", lease.fence)
    again = await house.receive(references=("<1@example.org>",))
    assert (again.reopened, again.conversation) == (True, first.conversation)
    opened = await house.reading.conversation(first.conversation)
    assert opened is not None
    assert (opened.conversation.state, opened.conversation.claimed_by) == (Talk.OPEN, None)


async def test_a_message_leaves_a_claim_with_its_agent(house: House) -> None:
    first = await house.receive(message_id="<1@example.org>")
    lease = await house.conversations.claim(first.conversation, "ann", 60)
    await house.receive(references=("<1@example.org>",))
    assert lease is not None
    assert await house.conversations.holds(first.conversation, "ann", lease.fence)


async def test_addresses_compare_without_case_and_contacts_are_kept_apart(house: House) -> None:
    first = await house.receive()
    again = await house.receive(author=Address("ALICE@Example.ORG"))
    other = await house.receive(author=BOB)
    assert first.contact == again.contact != other.contact
    assert (again.first_contact, other.first_contact) == (False, True)


async def test_without_an_author_nobody_can_be_answered(house: House) -> None:
    filed = await house.receive(author=None)
    assert not filed.first_contact
    known = await house.queue.correspondence(filed.conversation)
    assert known is not None
    assert known.to is None
    assert (await house.receive(author=None)).contact != filed.contact


async def test_what_came_in_encrypted_once_marks_the_conversation(house: House) -> None:
    first = await house.receive(message_id="<1@example.org>", where={"encrypted": True})
    await house.receive(references=("<1@example.org>",))
    known = await house.queue.correspondence(first.conversation)
    assert known is not None
    assert known.encrypted


async def test_correspondence_is_what_an_answer_needs(house: House) -> None:
    first = await house.receive(subject="Refund", message_id="<2@e>", references=("<1@e>", "<0@e>"))
    known = await house.queue.correspondence(first.conversation)
    assert known is not None
    assert (known.to, known.in_reply_to, known.references) == (ALICE, "<2@e>", ("<0@e>", "<1@e>", "<2@e>"))
    assert (known.subject, known.number, known.mailbox, known.channel) == ("Refund", first.number, "support", "email")
    assert known.bound == ()


async def test_a_reply_is_filed_once_and_ends_in_the_outbox(house: House) -> None:
    filed = await house.receive()
    id = await house.answer(filed, "here you are")
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert opened.intact
    assert [(one.direction, one.author) for one in opened.messages] == [("in", None), ("out", "ann")]
    assert opened.conversation.waiting_since is None
    (status,) = opened.replies
    assert (status.id, status.state) == (id, "outbox")
    assert status.delivery is not None
    assert status.delivery.state == "ready"
    (claim,) = await house.sending.claim(5, 60)
    assert claim.id == id
    assert await house.answering.key_ids_in_use() == frozenset()


async def test_first_contact_puts_down_a_notice_but_not_for_machines(house: House) -> None:
    filed = await house.receive()
    await house.receive()
    await house.receive(author=BOB, automatic=True)
    await house.receive(author=None)
    (notice,) = await house.notices.claim(10, 60)
    assert (notice.kind, notice.conversation, notice.attempts) == ("first-contact", filed.conversation, 1)
    await house.notices.finish(notice)
    house.later(120)
    assert await house.notices.claim(10, 60) == []


async def test_many_at_once_get_numbers_without_gaps(house: House, opened) -> None:
    """Two inspectors file into one conversation at the same time."""
    first = await house.receive(message_id="<1@example.org>")
    other = opened(house.inspector.role)
    queues = [house.queue, House(house.edge, other, house.desk, house.clock).queue]
    claims = [await house.arrive() for _ in range(20)]
    message = await passed(references=("<1@example.org>",))
    filed = await asyncio.gather(
        *(queues[number % 2].put(claim, message, passage()) for number, claim in enumerate(claims))
    )
    assert sorted(one.sequence for one in filed) == list(range(2, 22))
    opened_ = await house.reading.conversation(first.conversation)
    assert opened_ is not None
    assert opened_.intact


async def test_one_new_customer_at_two_inspectors_is_one_contact(house: House, opened) -> None:
    queues: list[Queue] = [house.queue, House(house.edge, opened(house.inspector.role), house.desk, house.clock).queue]
    claims = [await house.arrive() for _ in range(10)]
    message = await passed()
    filed = await asyncio.gather(
        *(queues[number % 2].put(claim, message, passage(BOB)) for number, claim in enumerate(claims))
    )
    assert len({one.contact for one in filed}) == 1
    assert sum(one.first_contact for one in filed) == 1
    count = await house.inspector.read(
        lambda conn: conn.execute(select(func.count()).select_from(schema.contacts)).scalar_one()
    )
    assert count == 1

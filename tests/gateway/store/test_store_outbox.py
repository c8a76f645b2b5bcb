"""The way out: outbox, replies, requests, notices. Nothing leaves twice by itself, nothing is forgotten."""

from __future__ import annotations

import pytest
from store_rows import SPOOL_PUBLIC, House, box, passed

from channels.contract import Receipt, SendResult
from gateway import limits
from gateway.errors import Fenced
from gateway.ids import micros
from gateway.rules import Action, Code, Decision, Finding, Rule
from gateway.store.outbox import NewOutboxRow
from gateway.store.queue import Sent
from gateway.store.replies import Replies
from gateway.store.requests import Requests
from keys.box import Purpose


def row(house: House, lane: bytes = b"l", seconds: float = 3600, **more) -> NewOutboxRow:
    id = house.ids.new()
    values = {
        "id": id, "channel": "email", "lane": lane, "kind": "held", "box": box(id, purpose=Purpose.OUTBOX),
        "conversation": None, "expires_at": micros(house.clock.now()) + int(seconds * 1_000_000),
    }  # fmt: skip
    return NewOutboxRow(**{**values, **more})


SENT = Receipt(result=SendResult.SENT, code=250, tls="TLSv1.3")
RETRY = Receipt(result=SendResult.RETRY, code=451, reason="peer.deferred")


async def claim_one(house: House):
    (claim,) = await house.sending.claim(1, 60)
    return claim


async def test_a_row_is_put_once_sent_once_and_its_box_is_dropped(house: House) -> None:
    new = row(house)
    assert await house.outbox.put(new)
    assert not await house.outbox.put(new)
    claim = await claim_one(house)
    assert (claim.id, claim.box, claim.attempts) == (new.id, new.box, 1)
    assert await house.outbox.key_ids_in_use() == {SPOOL_PUBLIC.id}
    await house.sending.attempting(claim)
    assert await house.sending.settle(claim, SENT) == "sent"
    assert await house.outbox.key_ids_in_use() == frozenset()
    with pytest.raises(Fenced):
        await house.sending.settle(claim, SENT)
    house.later(7200)
    assert await house.sending.claim(9, 60) == []
    assert not await house.outbox.resend(new.id, "ann", expires_at=1), "what was sent is not sent again"


async def test_rows_of_a_lane_leave_in_order(house: House) -> None:
    first, second, other = row(house), row(house), row(house, lane=b"o")
    for one in (first, second, other):
        await house.outbox.put(one)
    claims = await house.sending.claim(9, 60)
    assert [claim.id for claim in claims] == [first.id, other.id]
    await house.sending.settle(claims[0], RETRY, delay=30)
    assert await house.sending.claim(9, 60) == []
    house.later(31)
    assert (await claim_one(house)).id == first.id


async def test_a_sender_that_died_before_the_first_byte_is_followed(house: House) -> None:
    await house.outbox.put(row(house))
    first = await claim_one(house)
    house.later(61)
    again = await claim_one(house)
    assert (again.id, again.attempts) == (first.id, 2)
    with pytest.raises(Fenced):
        await house.sending.attempting(first)


async def test_a_sender_that_died_in_the_middle_leaves_doubt(house: House) -> None:
    await house.outbox.put(new := row(house))
    await house.sending.attempting(await claim_one(house))
    house.later(61)
    assert await house.sending.claim(9, 60) == []
    house.later(100_000)
    assert await house.sending.claim(9, 60) == [], "a person decides"
    assert await house.outbox.resend(new.id, "ann", expires_at=micros(house.clock.now()) + 10**9)
    again = await claim_one(house)
    assert (again.id, again.box, again.attempts) == (new.id, new.box, 1)


@pytest.mark.parametrize("result", [SendResult.DOUBT, SendResult.REFUSED])
async def test_doubt_and_refusal_wait_for_a_person(house: House, result: SendResult) -> None:
    await house.outbox.put(new := row(house))
    claim = await claim_one(house)
    await house.sending.attempting(claim)
    assert await house.sending.settle(claim, Receipt(result=result, reason="x.y")) == result.value
    house.later(10_000)
    assert await house.sending.claim(9, 60) == []
    assert await house.outbox.resend(new.id, "ann", expires_at=micros(house.clock.now()) + 10**9)


async def test_retries_end_with_the_row_s_time(house: House) -> None:
    await house.outbox.put(row(house, seconds=100))
    claim = await claim_one(house)
    await house.sending.attempting(claim)
    assert await house.sending.settle(claim, RETRY, delay=50) == "ready"
    house.later(51)
    claim = await claim_one(house)
    assert await house.sending.settle(claim, RETRY, delay=50) == "expired"
    await house.outbox.put(row(house, lane=b"z", seconds=10))
    house.later(11)
    assert await house.outbox.expire() == 1
    assert await house.outbox.expire() == 0


async def test_giving_back_costs_no_attempt(house: House) -> None:
    await house.outbox.put(row(house))
    await house.sending.give_back(await claim_one(house))
    assert (await claim_one(house)).attempts == 1


# --- replies


async def put_reply(house: House, conversation: str) -> str:
    id = house.ids.new()
    assert await house.replies.put(
        id=id, conversation=conversation, author="ann", box=box(id, purpose=Purpose.REPLY, channel="desk")
    )
    return id


async def test_replies_are_serial_within_a_conversation(house: House) -> None:
    filed = await house.receive()
    first, second = await put_reply(house, filed.conversation), await put_reply(house, filed.conversation)
    (claim,) = await house.answering.claim(9, 60)
    assert (claim.id, claim.author, claim.attempts) == (first, "ann", 1)
    rule = Rule(Code("reply.leak"), Action.REJECT, "", "7.1", "It would leak.")
    await house.answering.stop(claim, "outbound", Decision(Action.REJECT, (Finding(rule),), "outbound"))
    (claim,) = await house.answering.claim(9, 60)
    assert claim.id == second
    await house.answering.retry(claim, 10)
    house.later(11)
    (claim,) = await house.answering.claim(9, 60)
    assert claim.attempts == 2
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert [(one.state, one.codes) for one in opened.replies] == [("stopped", ("reply.leak",)), ("working", ())]


async def test_recording_a_reply_is_fenced_and_done_once(house: House) -> None:
    filed = await house.receive()
    id = await put_reply(house, filed.conversation)
    (old,) = await house.answering.claim(1, 60)
    house.later(61)
    (new,) = await house.answering.claim(1, 60)
    sent = Sent(
        id=id, conversation=filed.conversation, author="ann", notice=False, copy=await passed("answer"),
        message_id="<o@acme>", outbox=row(house, id=id, box=box(id), conversation=filed.conversation, kind="reply"),
    )  # fmt: skip
    with pytest.raises(Fenced):
        await house.queue.record_sent(sent, old)
    assert await house.sending.claim(9, 60) == []
    first = await house.queue.record_sent(sent, new)
    assert await house.queue.record_sent(sent, new) == first
    assert len(await house.sending.claim(9, 60)) == 1


async def test_a_reply_put_twice_is_there_once(house: House) -> None:
    filed = await house.receive()
    id = await put_reply(house, filed.conversation)
    assert not await house.replies.put(id=id, conversation=filed.conversation, author="ann", box=box(id))


# --- requests


async def test_requests_are_asked_claimed_and_answered(house: House) -> None:
    asking, doing = Requests(house.desk, house.clock), Requests(house.inspector, house.clock)
    id = house.ids.new()
    new = {"id": id, "kind": "release", "object_id": "spool-1", "author": "sam", "box": box(id)}
    assert await asking.put(**new)
    assert not await asking.put(**new)
    assert [one.id for one in await asking.pending("spool-1")] == [id]
    (claim,) = await doing.claim(9, 60)
    assert (claim.id, claim.kind, claim.object_id, claim.attempts) == (id, "release", "spool-1", 1)
    assert await doing.claim(9, 60) == []
    await doing.retry(claim, 5)
    house.later(6)
    (again,) = await doing.claim(9, 60)
    assert again.attempts == 2
    with pytest.raises(Fenced):
        await doing.finish(claim, done=True)
    await doing.finish(again, done=False, reason="gone", answer=b"sealed")
    found = await asking.find(id)
    assert found is not None
    assert (found.state, found.reason, found.answer) == ("failed", "gone", b"sealed")
    assert await asking.pending("spool-1") == []
    assert await doing.key_ids_in_use() == frozenset()
    house.later(1000)
    assert await doing.claim(9, 60) == []


async def test_requests_about_one_object_are_done_one_by_one(house: House) -> None:
    asking, doing = Requests(house.desk, house.clock), Requests(house.inspector, house.clock)
    ids = [house.ids.new() for _ in range(3)]
    for number, id in enumerate(ids):
        await asking.put(id=id, kind="release", object_id="a" if number < 2 else "b", author="sam", box=box(id))
    claims = await doing.claim(9, 60)
    assert [claim.id for claim in claims] == [ids[0], ids[2]]
    await doing.finish(claims[0], done=True)
    (claim,) = await doing.claim(9, 60)
    assert claim.id == ids[1]


# --- notices


@pytest.mark.parametrize(("action", "kind"), [(Action.HOLD, "held"), (Action.REJECT, "refused")])
async def test_a_notice_is_put_down_with_its_reason_and_once(house: House, action: Action, kind: str) -> None:
    claim = await house.arrive()
    until = micros(house.clock.now()) + 1_000_000
    await house.spool.hold(claim, Decision(action), None, expires_at=until, for_inspector=b"i", notice=True)
    (notice,) = await house.notices.claim(9, 60)
    assert (notice.kind, notice.spool_id, notice.for_inspector) == (kind, claim.id, b"i")
    await house.notices.retry(notice, 1)
    house.later(2)
    (notice,) = await house.notices.claim(9, 60)
    await house.notices.finish(notice, "automatic")
    assert len(await house.spool.expire(notice=True)) == 1
    told = [(one.id, one.kind, one.for_inspector) for one in await house.notices.claim(9, 60)]
    assert told == ([(f"{claim.id}.expired", "expired", b"i")] if action is Action.HOLD else [])


async def test_an_address_gets_few_notices_a_day_and_a_retry_counts_once(house: House) -> None:
    for _ in range(limits.NOTICES_PER_ADDRESS_DAY + 2):
        claim = await house.arrive()
        await house.spool.hold(
            claim, Decision(Action.HOLD), None, expires_at=2 * 10**15, for_inspector=b"i", notice=True
        )  # fmt: skip
    notices = await house.notices.claim(9, 60)
    assert len(notices) == limits.NOTICES_PER_ADDRESS_DAY + 2
    told = [[await house.notices.counted(one, b"a" * 32) for _ in range(2)] for one in notices[:3]]
    assert told == [[True, True]] * limits.NOTICES_PER_ADDRESS_DAY
    assert [await house.notices.counted(notices[3], b"a" * 32) for _ in range(2)] == [False, False]
    assert await house.notices.counted(notices[3], b"b" * 32), "another address has its own share"
    house.later(2 * 86_400)
    assert await house.notices.counted(notices[4], b"a" * 32), "and the next day is another one"


async def test_a_desk_cannot_claim_what_is_the_inspectors_on_postgres(house: House) -> None:
    if house.desk.dialect == "sqlite":
        pytest.skip("SQLite has no grants")
    from gateway.errors import StoreError

    with pytest.raises(StoreError):
        await Replies(house.desk, house.clock).claim(1, 60)

"""The spool: once, in order, fenced, on both databases."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from store_rows import SPOOL_PUBLIC, box, new_row

from gateway import limits
from gateway.errors import Fenced
from gateway.ids import FixedClock, micros
from gateway.rules import Action, Code, Decision, Finding, Rule, Token
from gateway.store.database import Database
from gateway.store.spool import Spool, put
from keys.errors import BadData

LANE = b"l" * 32
RULE = Rule(Code("tls.absent"), Action.HOLD, "Please use TLS", "7.1", "It came in clear.")
HOLD = Decision(Action.HOLD, (Finding(RULE, {"n": 3, "yes": True, "word": Token("x.y")}),), "inspection")


def later(clock: FixedClock, seconds: float) -> None:
    clock.at += timedelta(seconds=seconds)


async def test_what_was_put_can_be_claimed_once(edge: Database, inspector: Database, clock: FixedClock) -> None:
    row = new_row(clock)
    assert (await put(edge, row)).id == row.id
    spool = Spool(inspector, clock)
    (claim,) = await spool.claim(10, 60)
    assert (claim.id, claim.box, claim.attempts, claim.fence) == (row.id, row.box, 1, 1)
    assert (claim.received_at, claim.lane, claim.waived) == (row.received_at, row.lane, frozenset())
    assert await spool.claim(10, 60) == []


async def test_a_repeat_gets_the_first_id_and_adds_nothing(
    edge: Database, inspector: Database, clock: FixedClock
) -> None:
    first, again = new_row(clock, key=b"k" * 32), new_row(clock, key=b"k" * 32)
    assert not (await put(edge, first)).repeated
    done = await put(edge, again)
    assert (done.id, done.repeated) == (first.id, True)
    assert await edge.read(lambda conn: None) is None
    assert await Spool(edge, clock).backlog() == 1
    (claim,) = await Spool(inspector, clock).claim(10, 60)
    assert claim.id == first.id


async def test_repeats_within_one_group_become_one(edge: Database, clock: FixedClock) -> None:
    rows = [new_row(clock, key=bytes([number // 4]) * 32) for number in range(40)]
    done = await asyncio.gather(*(put(edge, row) for row in rows))
    assert sum(not one.repeated for one in done) == 10
    for number in range(0, 40, 4):
        assert len({one.id for one in done[number : number + 4]}) == 1
    assert await Spool(edge, clock).backlog() == 10


async def test_two_edges_with_the_same_messages_store_each_once(edge: Database, opened, clock: FixedClock) -> None:
    other = opened(edge.role)
    keys = [bytes([number]) * 32 for number in range(50)]
    here = [put(edge, new_row(clock, key=key)) for key in keys]
    there = [put(other, new_row(clock, key=key)) for key in reversed(keys)]
    done = await asyncio.gather(*here, *there)
    assert sum(not one.repeated for one in done) == 50
    assert await Spool(edge, clock).backlog() == 50


async def test_what_is_no_box_is_refused_before_it_is_stored(edge: Database, clock: FixedClock) -> None:
    row = new_row(clock)
    object.__setattr__(row, "box", b"not a box")
    with pytest.raises(BadData):
        await put(edge, row)


async def test_a_lane_is_claimed_one_by_one_in_order(edge: Database, inspector: Database, clock: FixedClock) -> None:
    rows = [new_row(clock, lane=LANE) for _ in range(3)]
    for row in rows:
        await put(edge, row)
    stranger = new_row(clock)
    await put(edge, stranger)
    spool = Spool(inspector, clock)
    first, other = await spool.claim(10, 60)
    assert (first.id, other.id) == (rows[0].id, stranger.id)
    assert await spool.claim(10, 60) == []
    await spool.hold(first, HOLD, None, expires_at=micros(clock.now()) + 10**9)
    (second,) = await spool.claim(10, 60)
    assert second.id == rows[1].id, "a held row does not block those behind it"


async def test_rows_put_together_keep_their_order(edge: Database, inspector: Database, clock: FixedClock) -> None:
    rows = [new_row(clock, lane=LANE) for _ in range(20)]
    await asyncio.gather(*(put(edge, row) for row in rows))
    spool = Spool(inspector, clock)
    seen = []
    while claims := await spool.claim(10, 60):
        seen.append(claims[0].id)
        await spool.hold(claims[0], HOLD, None, expires_at=micros(clock.now()) + 10**9)
    assert seen == [row.id for row in rows]


async def test_a_lease_that_ran_out_is_claimed_again_and_the_old_one_is_fenced(
    edge: Database, inspector: Database, clock: FixedClock
) -> None:
    await put(edge, new_row(clock))
    spool = Spool(inspector, clock)
    (old,) = await spool.claim(1, 60)
    later(clock, 59)
    assert await spool.claim(1, 60) == []
    later(clock, 2)
    (new,) = await spool.claim(1, 60)
    assert (new.id, new.attempts, new.fence) == (old.id, 2, 2)
    with pytest.raises(Fenced):
        await spool.retry(old, 0)
    with pytest.raises(Fenced):
        await spool.hold(old, HOLD, None, expires_at=0)
    await spool.retry(new, 0)
    with pytest.raises(Fenced):
        await spool.retry(new, 0)


async def test_a_retry_waits_its_delay_and_holds_its_lane_back(
    edge: Database, inspector: Database, clock: FixedClock
) -> None:
    for _ in range(2):
        await put(edge, new_row(clock, lane=LANE))
    spool = Spool(inspector, clock)
    (first,) = await spool.claim(1, 60)
    await spool.retry(first, 30)
    assert await spool.claim(10, 60) == [], "order within the lane"
    later(clock, 31)
    (again,) = await spool.claim(10, 60)
    assert (again.id, again.attempts) == (first.id, 2)
    await spool.retry(again, 0, counted=False)
    (third,) = await spool.claim(10, 60)
    assert third.attempts == 2, "an interrupted attempt isn't the message's fault"


@pytest.mark.parametrize("hours", [-48, -1, 1, 48, 24 * 365 * 15])
async def test_a_clock_that_steps_stops_nothing(
    edge: Database, inspector: Database, clock: FixedClock, hours: int
) -> None:
    await put(edge, new_row(clock))
    spool = Spool(inspector, clock)
    (first,) = await spool.claim(1, 60)
    later(clock, hours * 3600)
    (second,) = await spool.claim(1, 60)
    assert second.fence == 2
    with pytest.raises(Fenced):
        await spool.retry(first, 0)


async def test_a_held_row_is_listed_released_and_waived(edge: Database, inspector: Database, clock: FixedClock) -> None:
    await put(edge, new_row(clock))
    spool = Spool(inspector, clock)
    (claim,) = await spool.claim(1, 60)
    until = micros(clock.now()) + 5_000_000
    other = box(claim.id, b"own key")
    await spool.hold(
        claim, HOLD, other, expires_at=until, mailbox="support", queue="support", for_desk=b"d", for_inspector=b"i"
    )
    (held,), cursor = await spool.held()
    assert cursor == ""
    assert (held.id, held.decision, held.expires_at, held.refused) == (claim.id, HOLD, until, False)
    assert (held.for_desk, held.for_inspector, held.mailbox, held.attempts) == (b"d", b"i", "support", 1)
    assert await spool.claim(1, 60) == []
    assert await spool.release(claim.id, frozenset({Code("tls.absent")}), "sam")
    assert not await spool.release(claim.id, frozenset(), "sam")
    assert not await spool.reject(claim.id, "sam")
    (again,) = await spool.claim(1, 60)
    assert (again.box, again.attempts, again.waived) == (other, 1, frozenset({Code("tls.absent")}))
    assert (await spool.held())[0] == []
    await spool.hold(again, HOLD, None, expires_at=until)
    assert await spool.release(again.id, frozenset({Code("a.b")}), "sam")
    (third,) = await spool.claim(1, 60)
    assert third.waived == {"tls.absent", "a.b"}, "waivers add up"


async def test_a_released_row_waits_until_its_lane_is_free(
    edge: Database, inspector: Database, clock: FixedClock
) -> None:
    for _ in range(2):
        await put(edge, new_row(clock, lane=LANE))
    spool = Spool(inspector, clock)
    (first,) = await spool.claim(1, 60)
    await spool.hold(first, HOLD, None, expires_at=micros(clock.now()) + 10**9)
    (second,) = await spool.claim(1, 60)
    await spool.release(first.id, frozenset(), "sam")
    assert await spool.claim(1, 60) == [], "one of its lane is in work"
    await spool.hold(second, HOLD, None, expires_at=micros(clock.now()) + 10**9)
    (again,) = await spool.claim(1, 60)
    assert again.id == first.id


async def test_rejecting_deletes_for_good_and_the_key_stays_known(
    edge: Database, inspector: Database, clock: FixedClock
) -> None:
    row = new_row(clock)
    await put(edge, row)
    spool = Spool(inspector, clock)
    (claim,) = await spool.claim(1, 60)
    await spool.hold(claim, HOLD, None, expires_at=micros(clock.now()) + 10**9)
    assert await spool.reject(claim.id, "sam")
    assert await spool.backlog() == 0
    assert (await put(edge, new_row(clock, key=row.dedupe_key))).repeated


async def test_what_was_held_too_long_expires(edge: Database, inspector: Database, clock: FixedClock) -> None:
    spool = Spool(inspector, clock)
    for wait in (10, 20):
        await put(edge, new_row(clock))
        (claim,) = await spool.claim(1, 60)
        await spool.hold(claim, HOLD, None, expires_at=micros(clock.now()) + wait * 1_000_000)
    assert await spool.expire() == []
    later(clock, 11)
    (gone,) = await spool.expire()
    assert gone.box
    assert [row.id for row in (await spool.held())[0]] != [gone.id]
    assert await spool.backlog() == 1


async def test_held_rows_come_in_pages(edge: Database, inspector: Database, clock: FixedClock) -> None:
    spool = Spool(inspector, clock)
    wanted = []
    for number in range(5):
        await put(edge, new_row(clock))
        (claim,) = await spool.claim(1, 60)
        await spool.hold(claim, HOLD, None, expires_at=micros(clock.now()) + 10**9)
        wanted.append(claim.id)
        later(clock, number % 2)
    seen, cursor = [], ""
    while True:
        page, cursor = await spool.held(cursor, 2)
        seen += [row.id for row in page]
        if not cursor:
            break
    assert sorted(seen) == sorted(wanted)
    assert len(seen) == 5
    with pytest.raises(ValueError):
        await spool.held("../../etc", 2)


async def test_keys_in_use_are_those_that_rows_bear(edge: Database, inspector: Database, clock: FixedClock) -> None:
    spool = Spool(inspector, clock)
    assert await spool.key_ids_in_use() == frozenset()
    await put(edge, new_row(clock))
    assert await spool.key_ids_in_use() == {SPOOL_PUBLIC.id}


async def test_too_many_waiting_writers_hear_that_the_store_is_down(
    edge: Database, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "INTAKE_WAITING", 20)
    results = await asyncio.gather(*(put(edge, new_row(clock)) for _ in range(60)), return_exceptions=True)
    stored = [one for one in results if not isinstance(one, BaseException)]
    assert len(stored) >= 20
    assert await Spool(edge, clock).backlog() == len(stored)


async def test_a_flood_in_a_few_lanes_hides_nobody_behind_it(
    edge: Database, inspector: Database, clock: FixedClock
) -> None:
    floods = [bytes([number]) * 32 for number in range(3)]
    sealed = box("one box will do")
    rows = [new_row(clock, lane=floods[number % 3], sealed=sealed) for number in range(900)]
    await asyncio.gather(*(put(edge, row) for row in rows))
    spool = Spool(inspector, clock)
    assert [claim.lane for claim in await spool.claim(5, 60)] == floods
    assert await spool.claim(5, 60) == []
    behind = [new_row(clock, lane=lane * 32) for lane in (b"\xff", b"a", b"b", b"c")]
    for row in behind:
        await put(edge, row)
    first = await spool.claim(2, 60)
    second = await spool.claim(9, 60)
    assert len(first) == 2
    assert {claim.id for claim in (*first, *second)} == {row.id for row in behind}
    assert await spool.claim(9, 60) == []
    assert (await put(edge, new := new_row(clock, lane=b"d" * 32))).id == new.id
    assert [claim.id for claim in await spool.claim(9, 60)] == [new.id]

"""Counting what comes, without a commit for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta

from store_rows import House, new_row

from gateway.ids import FixedClock, micros
from gateway.rules import Action, Decision
from gateway.store.database import Database, Role
from gateway.store.rates import Attempts, Bodies, Rates
from gateway.store.reading import View
from gateway.store.spool import NewSpoolRow, put
from gateway.store.stats import Tally, stats
from gateway.store.upkeep import upkeep
from keys.secret import Secret

KEY = Secret(b"r" * 32)


async def test_a_running_window_counts_what_two_edges_see(
    edge: Database, opened: Callable[[Role], Database], clock: FixedClock
) -> None:
    here, there = Rates(edge, key=KEY, clock=clock), Rates(opened(Role.EDGE), key=KEY, clock=clock)
    for number in range(1, 6):
        pace = await here.note(peer="192.0.2.1", sender=f"a{number}@example.org")
        assert (pace.by_peer, pace.by_sender, pace.window_seconds) == (number, 1, 3600)
    await here.merge()
    assert (await there.note(peer="192.0.2.1", sender="A1@example.org")).by_peer == 1, "not merged yet"
    await there.merge()
    pace = await there.note(peer="192.0.2.1", sender="A1@example.org")
    assert (pace.by_peer, pace.by_sender) == (7, 3)
    clock.at += timedelta(seconds=3700)
    await there.merge()
    assert (await there.note(peer="192.0.2.1", sender="z")).by_peer <= 2, "the window moves on"


async def test_counts_survive_a_store_that_is_away(edge: Database, clock: FixedClock) -> None:
    rates = Rates(edge, key=KEY, clock=clock)
    running = asyncio.create_task(rates.run())
    await rates.note(peer="192.0.2.1", sender="a")
    await edge.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert (await rates.note(peer="192.0.2.1", sender="a")).by_peer == 2


async def test_the_same_body_from_others_is_counted(edge: Database, clock: FixedClock) -> None:
    bodies = Bodies(edge, key=KEY)
    for sender in ("a@x", "b@x", "a@x"):
        row = new_row(clock)
        await put(
            edge,
            NewSpoolRow(
                id=row.id, channel="email", lane=row.lane, dedupe_key=row.dedupe_key, box=row.box,
                received_at=row.received_at, body_key=b"b" * 32, sender_key=bodies.sender_key(sender),
            ),
        )  # fmt: skip
    ask = [bodies.elsewhere(body_key=b"b" * 32, sender=sender) for sender in ("A@x", "b@x", "c@x")]
    assert await asyncio.gather(*ask, bodies.elsewhere(body_key=b"n" * 32, sender="a@x")) == [1, 1, 2, 0]
    assert await bodies.elsewhere(body_key=b"", sender="a@x") == 0


async def test_attempts_count_at_once_and_can_be_cleared(desk: Database, clock: FixedClock) -> None:
    attempts = Attempts(desk, clock=clock, window_seconds=900)
    assert [await attempts.count(b"k" * 32) for _ in range(3)] == [1, 2, 3]
    assert await attempts.count(b"o" * 32) == 1
    clock.at += timedelta(seconds=1000)
    assert await attempts.count(b"k" * 32) == 1
    await attempts.clear(b"k" * 32)
    assert await attempts.count(b"k" * 32) == 1


async def test_upkeep_clears_what_is_over_and_nothing_else(house: House) -> None:
    await house.receive()
    row = new_row(house.clock)
    await put(house.edge, row)
    await Attempts(house.desk, clock=house.clock, window_seconds=900).count(b"k" * 32)
    assert (await upkeep(house.inspector)).get("dedupe") is None
    house.later(15 * 86_400)
    gone = await upkeep(house.inspector)
    assert (gone["dedupe"], gone["feed"] >= 1, gone["rates"]) == (2, True, 1)
    assert await upkeep(house.desk) == {}
    assert await house.spool.backlog() == 1
    opened = await house.reading.page(View())
    assert len(opened[0]) == 1


async def test_numbers_for_the_metrics(house: House) -> None:
    filed = await house.receive()
    await put(house.edge, new_row(house.clock))
    house.later(10)
    inspector, desk, edge = [await stats(db) for db in (house.inspector, house.desk, house.edge)]
    assert inspector.spool == {"waiting": 1}
    assert 9.9 <= inspector.spool_age <= 10.1
    assert inspector.conversations == desk.conversations == {"open": 1}
    assert (inspector.unanswered, inspector.notices, inspector.dedupe) == (1, 1, 2)
    assert desk.unanswered_age >= 9.9
    assert edge.spool == {"waiting": 1}
    assert edge.spool_age == inspector.spool_age
    assert edge.conversations == {}
    await house.answer(filed)
    assert (await stats(house.edge)).outbox == {"ready": 1}
    assert (await stats(house.inspector)).unanswered == 0


async def test_the_edge_tells_how_old_what_waits_and_what_is_held_is(house: House) -> None:
    await put(house.edge, new_row(house.clock))
    (claim,) = await house.spool.claim(1, 60)
    await house.spool.hold(claim, Decision(Action.HOLD), None, expires_at=micros(house.clock.now()) + 60_000_000)
    await put(house.edge, new_row(house.clock))
    house.later(10)
    edge = await stats(house.edge)
    assert edge.spool == {"held": 1, "waiting": 1}
    assert 9.9 <= edge.spool_age <= 10.1
    assert 9.9 <= edge.held_age <= 10.1
    assert 49.9 <= edge.held_next_expiry <= 50.1


async def test_what_other_roles_did_is_counted_by_event(house: House) -> None:
    await house.receive()
    tally = Tally()
    await tally.refresh(house.edge)
    assert set(tally.counts.values()) == {0}
    await house.receive()
    await tally.refresh(house.edge)
    assert tally.counts["message.queued"] == 1
    await tally.refresh(house.edge)
    assert tally.counts["message.queued"] == 1

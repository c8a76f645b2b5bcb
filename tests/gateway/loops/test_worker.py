"""The worker: every claim ends queued, held or waiting, whatever the workshop says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from bench_hands import Agent, Pages, Said, Silent, Workshop, accepted, stopped
from store_rows import ATREST, DESK_ATREST, House, passage

from gateway import faults, limits
from gateway.crossing import Outcome
from gateway.errors import StoreDown, WorkerError
from gateway.faults import decided
from gateway.held import open_contact
from gateway.holding import Holding
from gateway.jobs import Report
from gateway.rules import Action, Code, Decision
from gateway.store.spool import Claim
from gateway.worker import Aftermath, Worker
from keys.errors import Unavailable


class Bench:
    """A worker at its place."""

    def __init__(
        self, house: House, *answers: Said | Exception, agent: Agent | None = None, refused_notices: bool = False
    ) -> None:
        self.house, self.pages = house, Pages(house.clock)
        self.workshop = Workshop(list(answers), agent or Agent())
        self.filed: list[Any] = []
        self.ended: list[str] = []
        holding = Holding(
            spool=house.spool, workshop=self.workshop, atrest=ATREST, desk_atrest=DESK_ATREST, clock=house.clock,  # type: ignore[arg-type]
            held_seconds=3600, notices=True, refused_notices=refused_notices, language=lambda name: "es",
        )  # fmt: skip
        self.worker = Worker(
            spool=house.spool, queue=house.queue, workshop=self.workshop, holding=holding,  # type: ignore[arg-type]
            aftermath=Aftermath(filed=lambda filed, went: self.filed.append(filed), ended=self.ended.append),
            ear=Silent(), clock=house.clock, log=self.pages.log, at_once=4,
        )  # fmt: skip

    async def work(self, attempts: int = 1) -> Claim:
        """A message arrives and is worked on so many times."""
        claim = await self.house.arrive()
        await self.worker.process(claim)
        for _ in range(attempts - 1):
            self.house.later(3600)
            (claim,) = await self.house.spool.claim(10, 60)
            await self.worker.process(claim)
        return claim

    async def held(self) -> list[Any]:
        return (await self.house.spool.held())[0]


async def test_an_accepted_message_is_queued_and_leaves_the_spool(house: House) -> None:
    bench = Bench(house, await accepted("hello"))
    claim = await bench.work()
    assert [filed.message for filed in bench.filed] == [claim.id]
    assert await house.spool.backlog() == 0
    assert bench.pages.events() == ["message.queued"]


@pytest.mark.parametrize("action", [Action.HOLD, Action.REJECT])
async def test_a_stopped_message_is_held_never_bounced(house: House, action: Action) -> None:
    bench = Bench(house, stopped(action, author="alice@example.org", encrypted=True))
    claim = await bench.work()
    (row,) = await bench.held()
    assert row.id == claim.id
    assert row.refused is (action is Action.REJECT)
    assert row.decision.findings[0].rule.code == "test.stop"
    assert row.expires_at - row.held_at == 3600 * 1_000_000
    contact = open_contact(ATREST, row.id, row.for_inspector)
    assert (contact.to, contact.language, contact.encrypted) == ("alice@example.org", "es", True)
    notices = await house.notices.claim(10, 60)
    assert len(notices) == (action is Action.HOLD)


async def test_who_was_refused_is_told_only_where_policy_says_so(house: House) -> None:
    bench = Bench(house, stopped(Action.REJECT, author="alice@example.org"), refused_notices=True)
    await bench.work()
    (notice,) = await house.notices.claim(10, 60)
    assert notice.kind == "refused"
    await house.notices.finish(notice)
    house.later(3601)
    assert len(await house.spool.expire(notice=True)) == 1
    assert await house.notices.claim(10, 60) == [], "refused once, and not told again that it expired"


async def test_a_held_message_gets_a_key_of_its_own(house: House) -> None:
    bench = Bench(house, stopped(Action.HOLD))
    await bench.work()
    assert await house.spool.key_ids_in_use() == {"ee" * 8}


async def test_when_no_key_of_its_own_can_be_had_it_is_held_all_the_same(house: House) -> None:
    bench = Bench(house, stopped(Action.HOLD), agent=Agent(error=Unavailable()))
    await bench.work()
    assert len(await bench.held()) == 1
    assert await house.spool.key_ids_in_use() != {"ee" * 8}


async def test_nobody_is_told_about_what_a_program_wrote(house: House) -> None:
    bench = Bench(house, stopped(Action.HOLD, automatic=True))
    await bench.work()
    assert await house.notices.claim(10, 60) == []


async def test_defer_is_a_bounded_number_of_retries_and_then_held(house: House) -> None:
    bench = Bench(house, stopped(Action.DEFER))
    await bench.work(attempts=limits.ATTEMPTS)
    (row,) = await bench.held()
    assert row.attempts == limits.ATTEMPTS
    assert bench.pages.events() == ["message.retried"] * (limits.ATTEMPTS - 1) + ["message.held"]


async def test_a_deferred_message_that_then_passes_is_queued(house: House) -> None:
    bench = Bench(house, stopped(Action.DEFER), await accepted())
    await bench.work(attempts=2)
    assert len(bench.filed) == 1


@pytest.mark.parametrize("limit", ["time", "memory", "cpu", "crash", "answer"])
async def test_a_message_that_stops_its_worker_again_and_again_is_held(house: House, limit: str) -> None:
    bench = Bench(house, WorkerError(limit))
    await bench.work(attempts=limits.ATTEMPTS)
    (row,) = await bench.held()
    (finding,) = row.decision.findings
    assert finding.rule == faults.LIMIT
    assert finding.evidence["limit"] == limit


async def test_a_message_whose_attempts_ended_with_our_own_death_is_held_and_not_tried_again(house: House) -> None:
    bench = Bench(house, await accepted())
    await house.arrive()
    for _ in range(limits.ATTEMPTS):
        house.later(3600)
        (claim,) = await house.spool.claim(10, 60)
    assert claim.attempts == limits.ATTEMPTS + 1
    await bench.worker.process(claim)
    assert bench.workshop.asked == []
    (row,) = await bench.held()
    assert row.decision.findings[0].rule == faults.LIMIT


async def test_a_fault_of_ours_is_held_at_once(house: House) -> None:
    bench = Bench(house, (Report(fault="RecursionError", where="gateway/mime.py:1"), None))
    await bench.work()
    (row,) = await bench.held()
    assert row.decision.findings[0].rule == faults.FAULT
    assert row.decision.findings[0].evidence["kind"] == "RecursionError"


async def test_an_error_nobody_thought_of_is_held_too(house: House) -> None:
    bench = Bench(house, ZeroDivisionError("4111 1111 1111 1111"))
    await bench.work()
    assert len(await bench.held()) == 1
    assert "4111" not in bench.pages.stream.getvalue()


async def test_a_forged_box_is_held_as_refused(house: House) -> None:
    bench = Bench(house, (Report(decision=decided(faults.FORGED)), None))
    await bench.work()
    (row,) = await bench.held()
    assert row.refused


async def test_an_outcome_that_accepts_without_a_message_is_held(house: House) -> None:
    nonsense = Outcome(decision=Decision(Action.ACCEPT), passage=passage(), cleared=None)
    bench = Bench(house, (Report(), nonsense))
    await bench.work()
    assert len(await bench.held()) == 1
    assert not bench.filed


@pytest.mark.parametrize("away", ["raised", "failure", "told"])
async def test_while_the_keys_are_away_it_waits_and_no_attempt_is_counted(house: House, away: str) -> None:
    missing: Said | Exception = {
        "raised": Unavailable(),
        "failure": stopped(Action.DEFER, failures=("unavailable",)),
        "told": (Report(why=faults.UNAVAILABLE.code), None),
    }[away]  # type: ignore[assignment]
    bench = Bench(house, missing, missing, missing, missing, missing, await accepted())
    claim = await house.arrive()
    for _ in range(6):
        assert claim.attempts == 1
        await bench.worker.process(claim)
        house.later(120)
        claims = await house.spool.claim(10, 60)
        claim = claims[0] if claims else claim
    assert len(bench.filed) == 1


async def test_keys_that_stay_away_are_told_to_a_person_in_the_end(house: House) -> None:
    bench = Bench(house, Unavailable())
    claim = await house.arrive()
    house.later(limits.KEYS_AWAY_SECONDS + 1)
    (claim,) = await house.spool.claim(10, 60)
    await bench.worker.process(claim)
    (row,) = await bench.held()
    assert row.decision.findings[0].rule == faults.UNAVAILABLE


async def test_a_waiver_reaches_the_workshop_and_its_key_is_forgotten_afterwards(house: House) -> None:
    bench = Bench(house, stopped(Action.HOLD), await accepted())
    claim = await bench.work()
    assert await house.spool.release(claim.id, frozenset({Code("test.stop")}), "sam")
    (again,) = await house.spool.claim(10, 60)
    await bench.worker.process(again)
    assert bench.workshop.asked[-1] == (claim.id, frozenset({Code("test.stop")}))
    assert bench.ended == [claim.id]


async def test_a_store_that_is_away_for_a_moment_costs_no_second_opening(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(house, await accepted())
    put, calls = house.queue.put, 0

    async def away(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise StoreDown
        return await put(*arguments)

    monkeypatch.setattr(house.queue, "put", away)
    await bench.work()
    assert calls == 3
    assert len(bench.workshop.asked) == 1
    assert len(bench.filed) == 1


async def test_who_lost_the_lease_changes_nothing(house: House) -> None:
    bench = Bench(house, await accepted())
    claim = await house.arrive()
    house.later(3600)
    (newer,) = await house.spool.claim(10, 60)
    await bench.worker.process(claim)
    assert bench.filed == []
    await bench.worker.process(newer)
    assert len(bench.filed) == 1


async def test_a_message_under_way_when_we_are_stopped_is_given_back_uncounted(house: House) -> None:
    bench = Bench(house, await accepted())
    started = asyncio.Event()

    async def slow(*_: Any) -> Said:
        started.set()
        await asyncio.sleep(60)
        raise AssertionError

    bench.workshop.way_in = slow  # type: ignore[method-assign]
    task = asyncio.create_task(bench.worker.process(await house.arrive()))
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    (again,) = await house.spool.claim(10, 60)
    assert again.attempts == 1


async def test_the_loop_takes_what_comes_and_ends_when_asked(house: House) -> None:
    bench = Bench(house, await accepted())

    class Waiting:
        def __init__(self) -> None:
            self.event = asyncio.Event()

        async def wait(self, seconds: float) -> bool:
            await self.event.wait()
            self.event.clear()
            return True

    ear = bench.worker.claiming._ear = Waiting()
    loop = asyncio.create_task(bench.worker.claiming.run())
    for _ in range(10):
        row = await _arrive_unclaimed(house)
        assert row
        ear.event.set()
    await _until(lambda: _true(len(bench.filed) == 10))
    bench.worker.claiming.stop()
    await asyncio.wait_for(loop, 5)


async def _arrive_unclaimed(house: House) -> str:
    from store_rows import new_row

    from gateway.store.spool import put

    return (await put(house.edge, new_row(house.clock))).id


async def _true(value: bool) -> bool:
    return value


async def _until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while not await look():
            await asyncio.sleep(0.01)

"""A reviewer's word is done once, and isn't lost because keys are away for a while."""

from __future__ import annotations

from datetime import UTC, datetime

from bench_hands import Pages, Said, Silent, Workshop
from store_rows import House, box

from gateway import faults, limits
from gateway.deciding import RequestWorker
from gateway.errors import WorkerError
from gateway.faults import decided
from gateway.ids import micros
from gateway.jobs import Report
from gateway.requests import HeldRequest, Reason, Verb
from gateway.store.outbox import Outbox
from gateway.store.requests import Requests
from gateway.store.spool import Spool
from keys.box import Purpose
from keys.errors import Unavailable


class Reviewing:
    """A held message, and sam's word on it."""

    def __init__(self, house: House, *answers: Said | Exception) -> None:
        self.house, self.pages = house, Pages(house.clock)
        self.requests, self.spool = Requests(house.inspector, house.clock), Spool(house.inspector, house.clock)
        self.workshop = Workshop(list(answers))
        self.worker = RequestWorker(
            requests=self.requests, spool=self.spool, outbox=Outbox(house.inspector, house.clock),
            workshop=self.workshop, ear=Silent(), clock=house.clock, log=self.pages.log,  # type: ignore[arg-type]
        )  # fmt: skip

    async def ask(self) -> tuple[str, str]:
        """The held message's id and the request's."""
        held, id = (await self.hold()), self.house.ids.new()
        sealed = box(id, purpose=Purpose.REQUEST, channel="desk")
        await Requests(self.house.desk, self.house.clock).put(
            id=id, kind="reject", object_id=held, author="sam", box=sealed
        )
        return held, id

    async def hold(self) -> str:
        claim = await self.house.arrive()
        await self.spool.hold(claim, decided(faults.FAULT), None, expires_at=micros(self.house.clock.now()) + 10**12)
        return claim.id

    async def work(self) -> None:
        (claim,) = await self.requests.claim(1, 60)
        await self.worker.process(claim)

    async def state(self, id: str) -> tuple[str, str]:
        found = await self.requests.find(id)
        assert found is not None
        return found.state, found.reason


def said(id: str, held: str) -> Said:
    request = HeldRequest(
        id=id, held=held, verb=Verb.REJECT, reason=Reason.UNWANTED, waived=(), reviewer="sam",
        written_at=datetime(2026, 11, 25, tzinfo=UTC),
    )  # fmt: skip
    return Report(request=request), None


async def test_a_decision_waits_for_keys_that_are_away_and_is_then_done(house: House) -> None:
    desk = Reviewing(house, Unavailable())
    held, id = await desk.ask()
    for _ in range(3 * limits.ATTEMPTS):
        await desk.work()
        house.later(61)
    assert (await desk.state(id))[0] == "waiting"
    desk.workshop.answers = [(Report(why=faults.UNAVAILABLE.code), None), said(id, held)]
    await desk.work()
    house.later(61)
    await desk.work()
    assert await desk.state(id) == ("done", "")
    assert not (await desk.spool.held())[0]


async def test_a_decision_does_not_wait_for_ever(house: House) -> None:
    desk = Reviewing(house, Unavailable())
    _, id = await desk.ask()
    house.later(limits.KEYS_AWAY_SECONDS + 1)
    await desk.work()
    assert await desk.state(id) == ("failed", faults.UNAVAILABLE.code)


async def test_a_decision_that_stops_its_worker_fails_after_so_many_attempts(house: House) -> None:
    desk = Reviewing(house, WorkerError("crash"))
    _, id = await desk.ask()
    for _ in range(limits.ATTEMPTS + 1):
        await desk.work()
        house.later(60)
    assert await desk.state(id) == ("failed", faults.LIMIT.code)


async def test_a_decision_done_before_its_doer_died_is_done(house: House) -> None:
    """What is done and the request's end are one transaction: the next claim finds nothing to do."""
    desk = Reviewing(house)
    held, id = await desk.ask()
    desk.workshop.answers = [said(id, held)]
    (claim,) = await desk.requests.claim(1, 60)
    assert await desk.spool.reject(held, "sam", ended=desk.requests.ending(claim, done=True))
    house.later(3600)
    assert await desk.requests.claim(1, 60) == []
    assert await desk.state(id) == ("done", "")

"""What every channel must do, whatever its network: run over each of them by `test_contract.py`.

A channel brings a `Bench`: a way to hand it a message from outside, named by the network, and to hear what the network
is told.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

import pytest

from channels.contract import (
    Address,
    Answer,
    Channel,
    Demand,
    Inbound,
    Outbound,
    SendResult,
    Verdict,
)
from keys.secret import Secret

CANARY = "canary-4111 1111 1111 1111"


class Bench(Protocol):
    """`deliver` is the network's side: it hands in a text under a name of the network's and returns what it is told,
    as a verdict and the id of the stored message. `tls`: what a message out needs at least."""

    channel: Channel

    async def ready(self) -> None: ...
    async def deliver(self, text: str, *, name: str) -> tuple[Verdict, str | None]: ...
    def outbound(self, key: str) -> Outbound | None: ...


@dataclass
class Intake:
    """Answers as told, waits if told, and remembers by dedupe key as the spool does."""

    verdict: Verdict = Verdict.ACCEPTED
    status: str = "0.0"
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    got: list[Inbound] = field(default_factory=list)
    ids: dict[bytes, str] = field(default_factory=dict)

    async def __call__(self, message: Inbound, /) -> Answer:
        self.got.append(message)
        await self.gate.wait()
        if self.verdict is not Verdict.ACCEPTED:
            return Answer(verdict=self.verdict, says="No", status=self.status)
        found = self.ids.setdefault(message.dedupe_key, f"ROW{len(self.ids)}")
        return Answer(verdict=Verdict.ACCEPTED, says="Queued", status="0.0", wire_id=found)


class ChannelContract:
    """Subclasses give a `bench` fixture."""

    @pytest.fixture
    def bench(self) -> Bench:
        raise NotImplementedError

    async def test_nothing_is_acknowledged_before_intake_returned(self, bench: Bench) -> None:
        async def body(intake: Intake) -> None:
            told = asyncio.create_task(bench.deliver("hello", name="1"))
            while not intake.got:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)
            assert not told.done()
            intake.gate.set()
            assert await told == (Verdict.ACCEPTED, "ROW0")

        await serving(bench, body, open_gate=False)

    @pytest.mark.parametrize(
        ("verdict", "status"), [(Verdict.ACCEPTED, "0.0"), (Verdict.DEFERRED, "3.0"), (Verdict.REFUSED, "7.1")]
    )
    async def test_each_answer_reaches_the_network(self, bench: Bench, verdict: Verdict, status: str) -> None:
        async def body(intake: Intake) -> None:
            intake.verdict, intake.status = verdict, status
            assert (await bench.deliver("hello", name="1"))[0] is verdict

        await serving(bench, body)

    async def test_one_senders_messages_come_in_order_and_in_one_lane(self, bench: Bench) -> None:
        async def body(intake: Intake) -> None:
            for number in range(5):
                await bench.deliver(f"text {number}", name=str(number))
            assert [f"text {n}".encode() in got.raw.reveal() for n, got in enumerate(intake.got)] == [True] * 5
            assert len({got.lane for got in intake.got}) == 1

        await serving(bench, body)

    async def test_a_repeat_is_one_message_and_hears_the_first_ones_id(self, bench: Bench) -> None:
        async def body(intake: Intake) -> None:
            first = await bench.deliver("yes", name="1")
            assert await bench.deliver("yes", name="1") == first
            assert await bench.deliver("yes", name="2") != first

        await serving(bench, body)

    async def test_facts_are_of_the_right_shape(self, bench: Bench) -> None:
        async def body(intake: Intake) -> None:
            await bench.deliver("hello", name="1")
            (got,) = intake.got
            assert got.channel == bench.channel.name
            assert len(got.dedupe_key) == len(got.lane) == 32
            assert len(got.body_key) in (0, 32)
            assert got.received_at.tzinfo is not None

        await serving(bench, body)

    async def test_what_is_sent_again_under_one_key_has_one_receipt(self, bench: Bench) -> None:
        message = bench.outbound("key-1")
        if message is None:
            pytest.skip("this channel's way out has tests of its own")
        first, second = await bench.channel.send(message), await bench.channel.send(message)
        assert first == second
        assert first.result is SendResult.SENT

    async def test_cancelling_answers_what_is_under_way_and_takes_nothing_new(self, bench: Bench) -> None:
        intake = Intake()
        task = asyncio.create_task(bench.channel.serve(intake))
        await bench.ready()
        told = asyncio.create_task(bench.deliver("hello", name="1"))
        while not intake.got:
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.sleep(0.05)
        assert not task.done()
        intake.gate.set()
        assert (await told)[0] is Verdict.ACCEPTED
        await asyncio.wait([task], timeout=5)
        assert task.cancelled()
        try:
            verdict: Verdict | None = (await bench.deliver("late", name="2"))[0]
        except OSError:
            verdict = None
        assert verdict in (None, Verdict.DEFERRED)
        assert len(intake.got) == 1

    async def test_nothing_of_a_message_is_logged(self, bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG)

        async def body(intake: Intake) -> None:
            await bench.deliver(CANARY, name="1")
            intake.verdict, intake.status = Verdict.REFUSED, "7.1"
            await bench.deliver(CANARY, name="2")
            assert CANARY not in repr(intake.got)

        await serving(bench, body)
        assert "canary" not in caplog.text
        assert "4111" not in caplog.text


async def serving(bench: Bench, body: Callable[[Intake], Awaitable[None]], *, open_gate: bool = True) -> None:
    intake = Intake()
    if open_gate:
        intake.gate.set()
    task = asyncio.create_task(bench.channel.serve(intake))
    try:
        await bench.ready()
        await body(intake)
    finally:
        intake.gate.set()
        task.cancel()
        await asyncio.wait([task], timeout=10)


def outbound(channel: Channel, key: str) -> Outbound:
    return Outbound(
        channel=channel.name, to=Address("alice@example.org"), mail_from=None, thread=None, idempotency_key=key,
        tls=Demand.NONE, payload=Secret(b"Subject: hi\r\n\r\nhi\r\n"),
    )  # fmt: skip

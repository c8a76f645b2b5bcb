"""From a socket to the spool: real sessions, ADMISSION, boxes and store, on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from mailroom import MESSAGE, Peer, Still, peer, running

from channels.contract import Pace
from gateway import checks
from gateway.crossing import admitted
from gateway.ids import SystemClock, Ulids
from gateway.intake import Intake, Room, Sealing
from gateway.layers import Layer
from gateway.store.database import Database, Role
from gateway.store.rates import Bodies
from gateway.store.spool import Spool, put
from keys.box import Binding, PublicKeys, Purpose, SigningKey, dump
from keys.secret import Secret
from keys.unbox import BoxPrivateKey, open_box

CLOCK = SystemClock()
SIGNING = SigningKey(Secret(b"s" * 32))
PRIVATE = BoxPrivateKey.generate()


class Edge:
    def __init__(self, url: str, folder: Path) -> None:
        (folder / "spool.20260101T000000Z.1.pub").write_text(dump("box-public", PRIVATE.public().raw))
        self.database = Database.open(url, Role.EDGE, clock=CLOCK)
        self.inspector = Database.open(url, Role.INSPECTOR, clock=CLOCK)
        self.faults: list[BaseException] = []
        self.put: Callable[..., object] = put
        layer: Layer = checks.admission(per_peer=1000, per_sender=5)
        bodies = Bodies(self.database, key=Secret(b"b" * 32))
        self.intake = Intake(
            layer,
            sealing=Sealing(public=PublicKeys(folder), signing=SIGNING),
            put=lambda row: self.put(self.database, row),  # type: ignore[arg-type,return-value]
            sender_key=bodies.sender_key,
            room=Room(lambda: None, Spool(self.database, CLOCK).backlog),
            ids=Ulids(CLOCK),
            on_fault=self.faults.append,
        )

    async def rows(self) -> dict[str, bytes]:
        """What the inspector finds: contents by id."""
        found = {}
        spool = Spool(self.inspector, CLOCK)
        while claims := await spool.claim(10, 60.0):
            for claim in claims:
                binding = Binding(purpose=Purpose.SPOOL, row=claim.id, channel=claim.channel)
                keys, senders = {PRIVATE.public().id: PRIVATE}, {SIGNING.public.id: SIGNING.public}
                box = open_box(claim.box, binding=binding, keys=keys, senders=senders)
                found[claim.id] = admitted(box).message.raw.reveal()
        return found

    async def close(self) -> None:
        await self.intake.settle()
        await self.database.close()
        await self.inspector.close()


@pytest.fixture
async def edge(store_url: str, tmp_path: Path) -> AsyncIterator[Edge]:
    found = Edge(store_url, tmp_path)
    yield found
    await found.close()


def text(number: int) -> bytes:
    return MESSAGE.replace(b"<1@", f"<{number}@".encode()).replace(b"alice@", f"customer{number}@".encode())


async def test_many_at_once_are_each_kept_once(edge: Edge) -> None:
    async with running(intake=edge.intake) as run:

        async def one(number: int) -> str:
            async with peer(run) as client:
                return (await client.deliver(text(number))).removeprefix("250 2.0.0 Queued as ")

        ids = await asyncio.gather(*(one(number % 20) for number in range(40)))
    assert len(set(ids)) == 20
    assert all(ids[number] == ids[number + 20] for number in range(20))
    assert await edge.rows() == {ids[number]: text(number) for number in range(20)}
    assert edge.faults == []


async def test_a_retry_after_a_lost_250_is_one_message_and_hears_the_same_id(edge: Edge) -> None:
    async with running(intake=edge.intake) as run:
        async with peer(run) as client:
            await client.envelope()
            await client.ask("DATA")
            client.send(MESSAGE + b".\r\n")
            await client.writer.drain()
            await asyncio.sleep(0.02)
            client.writer.transport.abort()
        await asyncio.sleep(0.2)
        async with peer(run) as client:
            reply = await client.deliver(b"Received: from x (x [192.0.2.1]) by y; later\r\n" + MESSAGE)
    (found,) = (await edge.rows()).items()
    assert reply == f"250 2.0.0 Queued as {found[0]}"
    assert found[1].endswith(MESSAGE)


async def test_a_store_that_is_away_defers_and_what_comes_back_is_taken(edge: Edge) -> None:
    from gateway.errors import StoreDown

    async def away(*_: object) -> None:
        raise StoreDown

    async with running(intake=edge.intake) as run, peer(run) as client:
        edge.put = away
        assert await client.deliver() == "451 4.3.0 Temporary failure, try again later"
        edge.put = put
        assert (await client.deliver())[:3] == "250"
    assert len(await edge.rows()) == 1


async def test_too_fast_a_sender_waits(edge: Edge) -> None:
    class Hasty(Still):
        async def note(self, *, peer: str, sender: str) -> Pace:
            return Pace(by_peer=6, by_sender=6)

    async with running(intake=edge.intake, paces=Hasty()) as run, peer(run) as client:
        assert (await client.deliver())[:9] == "450 4.7.1"
    assert await edge.rows() == {}


async def test_shutting_down_under_load_loses_nothing_acknowledged(edge: Edge) -> None:
    acknowledged: list[str] = []

    async with running(intake=edge.intake) as run:

        async def keep_sending(start: int) -> None:
            client = await Peer.connect(run.port)
            try:
                await client.hello()
                for number in range(start, start + 1000):
                    reply = await client.deliver(text(number))
                    if reply[:3] != "250":
                        return
                    acknowledged.append(reply.removeprefix("250 2.0.0 Queued as "))
            except (AssertionError, ConnectionError, OSError):
                return
            finally:
                await client.close()

        senders = [asyncio.create_task(keep_sending(start)) for start in range(0, 8000, 1000)]
        while len(acknowledged) < 50:
            await asyncio.sleep(0.01)
        run.task.cancel()
        await asyncio.wait([run.task, *senders], timeout=30)
    await edge.intake.settle()
    assert len(set(acknowledged)) == len(acknowledged)
    assert set(acknowledged) <= set(await edge.rows())

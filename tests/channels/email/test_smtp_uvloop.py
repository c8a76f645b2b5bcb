"""The same on uvloop, which the edge runs on: TLS, endings and the drain go other ways there."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
import uvloop
from mailroom import LIMITS, MESSAGE, Certificate, Peer, Recorder, peer, running
from test_smtp_hostile import STATES, attack

from channels.contract import Demand
from channels.email.settings import Kind, Listen
from keys.tls import ServerTls


def on_uvloop(coroutine: Coroutine[Any, Any, None]) -> None:
    uvloop.run(asyncio.wait_for(coroutine, 60))


def test_starttls_implicit_tls_and_injection(certificate: Certificate) -> None:
    server = ServerTls(certificate.certificate, certificate.key)
    listeners = Listen(starttls=Demand.REQUIRED, tls=server), Listen(kind=Kind.IMPLICIT_TLS, tls=server)

    async def scenario() -> None:
        async with running(*listeners) as run:
            async with peer(run) as client:
                await client.starttls(certificate.trusting())
                await client.hello()
                assert (await client.deliver())[:3] == "250"
                big = MESSAGE + (b"x" * 70 + b"\r\n") * 100_000
                assert (await client.deliver(big))[:3] == "250"
            async with peer(run.channel.ports[1], tls=certificate.trusting()) as client:
                assert (await client.deliver())[:3] == "250"
                client.send(b"MAIL FROM:<a@b.example>\r\nRCPT TO:<support@acme.example>\r\nDATA\r\nx\r\n")
                assert (await client.closed()).endswith(b"554 5.5.0 Unsynchronised commands, closing\r\n")
            async with peer(run) as client:
                client.send(b"STARTTLS\r\nMAIL FROM:<mallory@evil.example>\r\n")
                assert (await client.closed()).startswith(b"554 5.5.0 ")
            assert [got.transport.tls for got in run.intake.got] == ["TLSv1.3"] * 3
            assert run.faults == []

    on_uvloop(scenario())


def test_a_refusal_in_mid_stream_arrives() -> None:
    async def scenario() -> None:
        async with running(limits=replace(LIMITS, message_bytes=100_000)) as run:
            for content, reply in ((b"x\n.\n", b"550 5.6.11"), (b"x" * 70 + b"\r\n", b"552 5.3.4")):
                async with peer(run) as client:
                    await client.envelope()
                    await client.ask("DATA")
                    client.send(content * 2000 + b"\r\n.\r\n" + b"x" * 200_000)
                    assert (await client.closed()).startswith(reply)

    on_uvloop(scenario())


def test_draining_and_hanging_up() -> None:
    async def scenario() -> None:
        reached, go = asyncio.Event(), asyncio.Event()

        async def wait() -> None:
            reached.set()
            await go.wait()

        async with running(intake=Recorder(before=wait)) as run:
            idle, gone = await Peer.connect(run.port), await Peer.connect(run.port)
            await gone.hello()
            await gone.envelope()
            await gone.ask("DATA")
            gone.send(MESSAGE + b".\r\n")
            await reached.wait()
            gone.writer.transport.abort()
            run.task.cancel()
            assert await idle.closed() == b"421 4.3.2 Shutting down, try again later\r\n"
            go.set()
            await asyncio.wait([run.task], timeout=5)
            assert run.task.done()
            assert len(run.intake.got) == 1
            await idle.close()

    on_uvloop(scenario())


@pytest.mark.parametrize("state", ["greeted", "data"])
def test_garbage(state: str) -> None:
    async def scenario() -> None:
        rng = random.Random(f"uvloop {state}")
        async with running() as run:
            await asyncio.gather(*(attack(run.port, STATES[state], random.Random(rng.random())) for _ in range(60)))
            assert run.faults == []
            async with peer(run) as client:
                assert (await client.deliver())[:3] == "250"

    on_uvloop(scenario())

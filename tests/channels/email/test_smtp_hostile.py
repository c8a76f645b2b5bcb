"""Hostile clients: whatever they send, no traceback, no 5xx by a fault of ours, no hang, and good mail keeps flowing.

The fuzzer is seeded and walks each state of a session; VESTIBULE_HOSTILE sets how many connections the flood has.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
from collections.abc import Callable
from dataclasses import replace

import pytest
from mailroom import LIMITS, MESSAGE, SUPPORT, Certificate, Peer, Recorder, Running, peer, running

from channels.contract import Demand
from channels.email.settings import Kind, Listen
from keys.tls import ServerTls

REPLY = re.compile(rb"(?:[2345]\d\d-[ -~]*\r\n)*[2345]\d\d [ -~]*\r\n")
STATES: dict[str, list[str]] = {
    "connected": [],
    "greeted": ["EHLO x"],
    "mail": ["EHLO x", "MAIL FROM:<alice@example.org>"],
    "rcpt": ["EHLO x", "MAIL FROM:<alice@example.org>", f"RCPT TO:<{SUPPORT}>"],
    "data": ["EHLO x", "MAIL FROM:<alice@example.org>", f"RCPT TO:<{SUPPORT}>", "DATA"],
    "helo": ["HELO x"],
}
PIECES = [
    b"EHLO ", b"HELO ", b"MAIL FROM:", b"RCPT TO:", b"DATA", b"RSET", b"NOOP", b"VRFY ", b"EXPN ", b"HELP",
    b"AUTH PLAIN ", b"AUTH LOGIN", b"STARTTLS", b"BDAT 5", b"XCLIENT ADDR=192.0.2.1",
    b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2", b"GET / HTTP/1.1", b"<", b">", b"<>", b"<a@b.example>",
    b"<support@acme.example>", b"@", b'"', b"\\", b"(", b",", b":", b" ", b"\t", b"=", b" SIZE=", b" BODY=8BITMIME",
    b" SMTPUTF8", b"99999999999999999999", b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b"\r", b"\0", b".",
    b"\r\n.\r\n", b"\r\n..", b"\xff\xfe", b"\xc3\xa9", b"\xe2\x80\xae", b"x" * 500, b"x" * 3000, b"From: ",
    b"Received: ", b"[127.0.0.1]", b"[IPv6:::1]", b"%", b"!", b"\x16\x03\x01\x02\x00\x01\x00", b"AAAA" * 300, b"*",
]  # fmt: skip


def garbage(rng: random.Random) -> bytes:
    if rng.random() < 0.2:
        return rng.randbytes(rng.randrange(1, 2000))
    return b"".join(rng.choices(PIECES, k=rng.randrange(1, 12))) + rng.choice([b"\r\n", b""])


async def attack(port: int, commands: list[str], rng: random.Random) -> bytes:
    client = await Peer.connect(port)
    for command in commands:
        await client.ask(command)
    heard = bytearray()

    async def listen() -> None:
        try:
            while chunk := await client.reader.read(65536):
                heard.extend(chunk)
        except ConnectionError:
            pass

    listening = asyncio.create_task(listen())
    try:
        for _ in range(rng.randrange(1, 8)):
            client.send(garbage(rng))
            await client.writer.drain()
            await asyncio.sleep(0)
        if client.writer.can_write_eof():
            client.writer.write_eof()
    except (ConnectionError, RuntimeError):
        pass
    async with asyncio.timeout(10):
        await listening
    await client.close()
    return bytes(heard)


@pytest.mark.parametrize("state", STATES)
async def test_garbage_in_any_state_gets_a_reply_or_an_end(state: str) -> None:
    rng = random.Random(f"vestibule {state}")
    async with running() as run:
        for _ in range(10):
            seeds = [random.Random(rng.random()) for _ in range(15)]
            for heard in await asyncio.gather(*(attack(run.port, STATES[state], seed) for seed in seeds)):
                assert REPLY.sub(b"", heard) == b"", heard
                assert b"Traceback" not in heard
                assert b"Error" not in heard
        assert run.faults == []
        assert run.channel.counts["session.fault"] == 0
        async with peer(run) as client:
            assert (await client.deliver())[:3] == "250"
        for _ in range(100):
            if not run.channel.sessions:
                break
            await asyncio.sleep(0.01)
        assert run.channel.sessions == 0


async def test_garbage_inside_tls_gets_a_reply_or_an_end(certificate: Certificate) -> None:
    server = ServerTls(certificate.certificate, certificate.key)
    rng = random.Random("vestibule tls")
    async with running(Listen(starttls=Demand.REQUIRED, tls=server), Listen(kind=Kind.IMPLICIT_TLS, tls=server)) as run:

        async def inside(data: bytes) -> None:
            client = await Peer.connect(run.channel.ports[1], tls=certificate.trusting())
            client.send(data)
            assert b"Traceback" not in await client.closed()
            await client.close()

        await asyncio.gather(*(inside(garbage(rng) + b"\r\nQUIT\r\n") for _ in range(20)))
        assert run.faults == []


async def test_good_mail_flows_while_hostile_clients_hold_on() -> None:
    """Idle ones, slow ones, endless lines, floods of recipients, half-sent messages, resets."""
    hostile = int(os.environ.get("VESTIBULE_HOSTILE", "300"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 8192)), hard))
    limits = replace(LIMITS, connections=hostile + 50, connections_per_peer=hostile + 50, session_seconds=20.0)

    async def silent(client: Peer) -> None:
        await asyncio.sleep(60)

    async def slow(client: Peer) -> None:
        for char in b"EHLO x.example" * 100:
            client.send(bytes([char]))
            await asyncio.sleep(0.05)

    async def endless(client: Peer) -> None:
        while True:
            client.send(b"x" * 65_536)
            await client.writer.drain()

    async def recipients(client: Peer) -> None:
        await client.hello()
        await client.ask("MAIL FROM:<mallory@evil.example>")
        while await client.ask("RCPT TO:<nobody@acme.example>"):
            pass

    async def unfinished(client: Peer) -> None:
        await client.hello()
        await client.envelope()
        await client.ask("DATA")
        client.send(b"x\r\n" * 30_000)
        await asyncio.sleep(60)

    async def reset(client: Peer) -> None:
        await client.hello()
        await client.envelope()
        await client.ask("DATA")
        client.send(MESSAGE + b".\r\n")
        client.writer.transport.abort()

    ways: list[Callable[[Peer], object]] = [silent, slow, endless, recipients, unfinished, reset]

    async def bad(run: Running, number: int) -> None:
        client = await Peer.connect(run.port)
        try:
            await ways[number % len(ways)](client)  # type: ignore[misc]
        except (ConnectionError, TimeoutError, AssertionError):
            pass
        finally:
            client.writer.transport.abort()

    async with running(limits=limits, intake=Recorder()) as run:
        attackers = [asyncio.create_task(bad(run, number)) for number in range(hostile)]
        await asyncio.sleep(0.5)
        loop = asyncio.get_running_loop()
        waited = []
        for number in range(30):
            began = loop.time()
            async with peer(run) as client:
                message = MESSAGE.replace(b"<1@", f"<good-{number}@".encode())
                assert (await client.deliver(message))[:3] == "250"
            waited.append(loop.time() - began)
        for attacker in attackers:
            attacker.cancel()
        await asyncio.wait(attackers)
        good = {got.raw.reveal() for got in run.intake.got if b"good-" in got.raw.reveal()}
        assert len(good) == 30
        assert sorted(waited)[15] < 2.0
        assert run.faults == []

"""Limits of the wire: each gives a constant reply, and the gateway goes on."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from mailroom import LIMITS, MESSAGE, SUPPORT, Peer, Recorder, peer, running

from channels.email import house


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(house, "TICK_SECONDS", 0.05)


async def test_a_message_too_large_is_refused_at_its_end() -> None:
    limits = replace(LIMITS, message_bytes=10_000)
    async with running(limits=limits) as run, peer(run) as client:
        await client.envelope()
        await client.ask("DATA")
        client.send(b"x" * 70 + b"\r\n")
        client.send((b"x" * 70 + b"\r\n") * 200 + b".\r\n")
        assert await client.closed() == b"552 5.3.4 Message too large, closing\r\n"
    assert run.intake.got == []


async def test_a_message_without_end_is_cut_off() -> None:
    limits = replace(LIMITS, message_bytes=100_000)
    async with running(limits=limits) as run, peer(run) as client:
        await client.envelope()
        await client.ask("DATA")

        async def forever() -> None:
            while True:
                client.send((b"x" * 70 + b"\r\n") * 100)
                await client.writer.drain()

        with pytest.raises(ConnectionError):
            await forever()
        assert run.channel._house is not None
        assert run.channel._house.content_memory == 0


async def test_recipients_beyond_the_limit_come_again() -> None:
    async with running(limits=replace(LIMITS, recipients=2)) as run, peer(run) as client:
        await client.envelope()
        assert (await client.ask("RCPT TO:<support+1@acme.example>"))[:3] == "250"
        assert (await client.ask("RCPT TO:<support+2@acme.example>"))[:9] == "452 4.5.3"


async def test_too_many_errors_end_the_session() -> None:
    async with running() as run, peer(run) as client:
        await client.ask("MAIL FROM:<a@example.org>")
        for number in range(LIMITS.session_errors):
            assert (await client.ask(f"RCPT TO:<nobody{number}@acme.example>"))[:3] == "550"
        client.send("RCPT TO:<nobody@acme.example>\r\n")
        assert await client.closed() == b"421 4.7.0 Too many errors, closing\r\n"


async def test_idle_commands_end_the_session() -> None:
    async with running() as run, peer(run) as client:
        replies = [await client.ask("NOOP") for _ in range(LIMITS.junk_commands)]
        assert replies[-1] == "421 4.7.0 Too many idle commands, closing"


async def test_messages_of_one_session_are_counted() -> None:
    async with running(limits=replace(LIMITS, session_messages=2)) as run, peer(run) as client:
        await client.deliver()
        await client.deliver()
        assert (await client.ask("MAIL FROM:<a@example.org>"))[:9] == "421 4.7.0"


async def test_a_silent_client_is_sent_away() -> None:
    async with running(limits=replace(LIMITS, command_seconds=0.2)) as run, peer(run) as client:
        assert await client.closed() == b"421 4.4.2 Timeout, closing\r\n"


async def test_a_client_that_keeps_busy_has_no_more_than_its_time() -> None:
    limits = replace(LIMITS, session_seconds=0.4, junk_commands=10_000)
    async with running(limits=limits) as run, peer(run) as client:
        heard = ""
        while not heard.startswith("421"):
            heard = await client.ask("NOOP")
            await asyncio.sleep(0.02)
        assert heard == "421 4.4.2 Timeout, closing"


async def test_data_has_its_time() -> None:
    async with running(limits=replace(LIMITS, data_seconds=0.3)) as run, peer(run) as client:
        await client.envelope()
        await client.ask("DATA")
        heard = asyncio.create_task(client.reply())
        while not heard.done():
            client.send(b"x\r\n")
            await asyncio.sleep(0.05)
        assert heard.result() == "421 4.4.2 Timeout, closing"


async def test_a_trickle_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    from channels.email import connection

    monkeypatch.setattr(connection, "RATE_GRACE_SECONDS", 0.2)
    async with running() as run, peer(run) as client:
        await client.envelope()
        await client.ask("DATA")
        client.send(b"x\r\n")
        assert await client.reply() == "421 4.4.2 Timeout, closing"


async def test_a_client_that_does_not_read_is_dropped() -> None:
    limits = replace(LIMITS, command_seconds=0.3, junk_commands=10**9, session_errors=10**9)
    async with running(limits=limits) as run, peer(run) as client:
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        try:
            while run.channel.sessions:
                client.send(b"RSET\r\n" * 10_000)
                await asyncio.sleep(0.01)
        except ConnectionError:
            pass
        assert run.channel.sessions == 0


async def test_connections_are_counted_per_peer_and_in_all() -> None:
    async with running(limits=replace(LIMITS, connections=5, connections_per_peer=3)) as run:
        clients = [await Peer.connect(run.port) for _ in range(3)]
        refused = await Peer.connect(run.port, greet=False)
        assert await refused.reply() == "421 4.7.0 Too many connections, try again later"
        assert await refused.closed() == b""
        await clients[0].ask("QUIT")
        await asyncio.sleep(0.05)
        again = await Peer.connect(run.port)
        for client in (*clients, again, refused):
            await client.close()
    async with running(limits=replace(LIMITS, connections=1)) as run:
        first = await Peer.connect(run.port)
        second = await Peer.connect(run.port, greet=False)
        assert (await second.reply())[:3] == "421"
        await first.close()
        await second.close()


async def test_a_line_of_ipv6_addresses_is_one_peer() -> None:
    assert house._line("2001:db8::1") == house._line("2001:db8::ffff:1") != house._line("2001:db8:0:1::1")
    assert house._line("192.0.2.1") != house._line("192.0.2.2")


async def test_content_of_all_sessions_has_one_budget() -> None:
    limits = replace(LIMITS, content_memory_bytes=50_000)
    async with running(limits=limits) as run, peer(run) as first, peer(run) as second:
        for client in (first, second):
            await client.envelope()
            await client.ask("DATA")
        first.send((b"x" * 70 + b"\r\n") * 500)
        await asyncio.sleep(0.1)
        second.send((b"x" * 70 + b"\r\n") * 500 + b".\r\n")
        assert await second.closed() == b"452 4.3.1 No room just now, closing\r\n"
        first.send(b".\r\n")
        assert (await first.reply())[:3] == "250"
        assert run.channel._house is not None
        assert run.channel._house.content_memory == 0


async def test_shutting_down_sends_the_idle_away_and_lets_the_rest_finish() -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go.wait()

    async with running(intake=Recorder(before=wait)) as run:
        idle, between, sending, waiting = [await Peer.connect(run.port) for _ in range(4)]
        for client in (between, sending, waiting):
            await client.hello()
            await client.envelope()
        await sending.ask("DATA")
        await waiting.ask("DATA")
        waiting.send(MESSAGE + b".\r\n")
        await reached.wait()
        run.task.cancel()
        for client in (idle, between):
            assert await client.closed() == b"421 4.3.2 Shutting down, try again later\r\n"
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", run.port)
        go.set()
        assert (await waiting.reply())[:3] == "250"
        assert (await waiting.reply())[:9] == "421 4.3.2"
        sending.send(MESSAGE + b".\r\n")
        assert (await sending.reply())[:3] == "250"
        await asyncio.wait([run.task], timeout=5)
        assert run.task.done()
        assert len(run.intake.got) == 2
        for client in (idle, between, sending, waiting):
            await client.close()


async def test_shutting_down_ends_though_somebody_does_not() -> None:
    async with running(limits=replace(LIMITS, drain_seconds=0.3)) as run, peer(run) as client:
        await client.envelope()
        await client.ask("DATA")
        run.task.cancel()
        await asyncio.wait([run.task], timeout=5)
        assert run.task.done()
        assert await client.closed() == b""


async def test_a_second_cancel_ends_at_once() -> None:
    async with running() as run, peer(run) as client:
        await client.envelope(recipient=SUPPORT)
        await client.ask("DATA")
        run.task.cancel()
        await asyncio.sleep(0.05)
        assert not run.task.done()
        run.task.cancel()
        await asyncio.wait([run.task], timeout=2)
        assert run.task.done()
        assert await client.closed() == b""

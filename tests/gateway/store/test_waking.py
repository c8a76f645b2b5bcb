"""One role wakes another; a lost wake-up costs half a second, never a message."""

from __future__ import annotations

import asyncio
import socket
import time

import psycopg

from gateway.store.waking import PollWake, PostgresWake, SocketWake, wake_for


async def test_over_the_supervisor_s_socket() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    wake = SocketWake(theirs.detach(), "edge")
    one, two = wake.ear(), wake.ear()
    assert not await one.wait(0.01)
    ours.send(b"e")
    assert await one.wait(2)
    assert await two.wait(2), "each loop hears it"
    assert not await one.wait(0.01)
    wake.notify("inspector")
    assert ours.recv(16) == b"i"
    wake.notify("edge")
    assert await wake.wait(1), "what is for ourselves takes no way round"
    ours.close()
    for _ in range(300):
        wake.notify("desk")
    await wake.close()


async def test_a_full_socket_blocks_nobody() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    wake = SocketWake(theirs.detach(), "edge")
    began = time.monotonic()
    for _ in range(5000):
        wake.notify("inspector")
    assert time.monotonic() - began < 2
    await wake.close()
    ours.close()


async def test_a_wake_up_before_the_wait_is_not_lost() -> None:
    wake = PollWake("edge")
    wake.notify("edge")
    assert await wake.wait(1)
    wake.notify("inspector")
    assert not await wake.wait(0.01)
    await wake.close()


async def test_over_postgres_and_coalesced(postgres_url: str) -> None:
    edge, inspector = PostgresWake(postgres_url, "edge"), PostgresWake(postgres_url, "inspector")
    await asyncio.gather(edge.ready(), inspector.ready())
    ear = inspector.ear()
    while await ear.wait(0.05):
        pass
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute("LISTEN vestibule_inspector")
        for _ in range(1000):
            edge.notify("inspector")
        assert await ear.wait(3)
        heard = list(conn.notifies(timeout=0.2))
        assert 1 <= len(heard) < 20
    await edge.close()
    await inspector.close()


async def test_a_lost_connection_is_made_anew(postgres_url: str) -> None:
    edge, inspector = PostgresWake(postgres_url, "edge"), PostgresWake(postgres_url, "inspector")
    await asyncio.gather(edge.ready(), inspector.ready())
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (conn.info.dbname,),
        )
    await asyncio.sleep(0.1)
    await asyncio.gather(edge.ready(), inspector.ready())
    ear = inspector.ear()
    for _ in range(20):
        edge.notify("inspector")
        if await ear.wait(0.5):
            break
    else:
        raise AssertionError("never woken")
    await edge.close()
    await inspector.close()


async def test_the_way_fits_the_process(postgres_url: str, sqlite_url: str, monkeypatch) -> None:
    over_postgres = wake_for(postgres_url, "desk")
    assert isinstance(over_postgres, PostgresWake)
    await over_postgres.close()
    assert isinstance(wake_for(sqlite_url, "desk"), PollWake)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    monkeypatch.setenv("VESTIBULE_WAKE_FD", str(theirs.detach()))
    over_socket = wake_for(sqlite_url, "desk")
    assert isinstance(over_socket, SocketWake)
    await over_socket.close()
    ours.close()

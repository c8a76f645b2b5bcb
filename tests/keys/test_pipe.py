"""Frames: whole or nothing, bounded in length and in time, checked against their type."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import protocol
from keys.box import Binding, Purpose
from keys.codec import pack, unpack
from keys.errors import BY_NAME, BadData, KeysError, TooLarge, TooSlow, Unavailable
from keys.pipe import LENGTH, AsyncPipe, Pipe
from keys.protocol import OpenerRequest
from keys.secret import Secret
from keys.unbox import Unboxed

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    yield ours, theirs
    ours.close()
    theirs.close()


def test_a_frame_arrives_as_it_was_sent(pair: Pair) -> None:
    one, other = (Pipe(end, max_bytes=2_000_000) for end in pair)
    for frame in (b"", b"x", bytes(1_500_000)):
        sender = threading.Thread(target=one.send, args=(frame,), kwargs={"seconds": 5.0})
        sender.start()
        assert other.receive(seconds=5.0) == frame
        sender.join()
    one.close()
    assert other.receive(seconds=5.0) is None


def test_a_longer_frame_is_neither_sent_nor_read(pair: Pair) -> None:
    pipe = Pipe(pair[0], max_bytes=10)
    with pytest.raises(TooLarge):
        pipe.send(bytes(11), seconds=1.0)
    pair[1].sendall(LENGTH.pack(2**32 - 1))
    with pytest.raises(TooLarge):
        pipe.receive(seconds=1.0)
    with pytest.raises(Unavailable):
        pipe.receive(seconds=1.0)


def test_a_peer_that_drips_holds_nothing(pair: Pair) -> None:
    pipe = Pipe(pair[0], max_bytes=1_000)
    stop = threading.Event()

    def drip() -> None:
        pair[1].sendall(LENGTH.pack(1_000))
        while not stop.wait(0.02):
            pair[1].send(b"x")

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    with pytest.raises(TooSlow):
        pipe.receive(seconds=0.2)
    assert time.monotonic() - start < 1.0
    stop.set()
    thread.join()


def test_a_cut_frame_is_not_a_frame(pair: Pair) -> None:
    pipe = Pipe(pair[0], max_bytes=1_000)
    pair[1].sendall(LENGTH.pack(10) + b"half")
    pair[1].close()
    with pytest.raises(Unavailable):
        pipe.receive(seconds=1.0)


async def test_the_workers_end_waits_for_its_answer_and_no_longer(pair: Pair) -> None:
    pipe = AsyncPipe(pair[0], max_bytes=100)
    peer = Pipe(pair[1], max_bytes=100)
    answering = asyncio.create_task(pipe.exchange(b"question", seconds=5.0))
    assert await asyncio.to_thread(peer.receive, seconds=5.0) == b"question"
    peer.send(b"answer", seconds=1.0)
    assert await answering == b"answer"
    with pytest.raises(TooLarge):
        await pipe.exchange(bytes(101), seconds=1.0)
    with pytest.raises(TooSlow):
        await pipe.exchange(b"silence", seconds=0.05)
    with pytest.raises(Unavailable):
        await pipe.exchange(b"late", seconds=1.0)


async def test_a_gone_opener_is_unavailable(pair: Pair) -> None:
    pipe = AsyncPipe(pair[0], max_bytes=100)
    pair[1].close()
    with pytest.raises(Unavailable):
        await pipe.exchange(b"question", seconds=1.0)


async def test_an_answer_that_is_too_long_breaks_the_pipe(pair: Pair) -> None:
    pipe = AsyncPipe(pair[0], max_bytes=100)
    pair[1].sendall(LENGTH.pack(101))
    with pytest.raises(TooLarge):
        await pipe.exchange(b"question", seconds=1.0)
    with pytest.raises(Unavailable):
        await pipe.exchange(b"question", seconds=1.0)


# --- values

BINDING = Binding(purpose=Purpose.SPOOL, row="R", channel="email")


def test_secrets_travel_and_come_back_as_secrets() -> None:
    sent = Unboxed(payload=Secret(b"\x00\xff words"), binding=BINDING, signer="ab" * 8)  # type: ignore[arg-type]
    back = unpack(Unboxed, pack(sent))
    assert back == sent
    assert isinstance(back.payload, Secret)
    request = unpack(OpenerRequest, pack(protocol.Seal(Secret(b"x"), ("A" * 40,), "B" * 40, 1.0)))  # type: ignore[arg-type]
    assert isinstance(request, protocol.Seal)
    assert "words" not in repr(sent) + repr(request)


@given(st.binary(max_size=200))
def test_junk_is_bad_data_and_nothing_else(junk: bytes) -> None:
    for kind in (OpenerRequest, Unboxed, protocol.Call, tuple[str, ...]):
        try:
            unpack(kind, junk)  # type: ignore[arg-type]
        except BadData:
            continue


@given(st.binary(max_size=100))
def test_an_answer_is_a_value_or_the_name_of_an_error(junk: bytes) -> None:
    try:
        protocol.result(bytes, junk)
    except KeysError:
        pass


@pytest.mark.parametrize("error", BY_NAME.values())
def test_every_error_travels_by_its_name(error: type[KeysError]) -> None:
    with pytest.raises(error) as raised:
        protocol.result(int, protocol.failed(error()))
    assert type(raised.value) is error
    assert protocol.result(int, protocol.done(7)) == 7
    with pytest.raises(Unavailable):
        protocol.result(int, b"\x01NoSuchError")
    wrong: Any = protocol.done("text")
    with pytest.raises(BadData):
        protocol.result(int, wrong)

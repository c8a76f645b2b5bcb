"""Frames over a stream socket between an opener and the parser worker that it serves: framing and nothing else.

    frame = length (4 bytes, big-endian) | MessagePack (`keys.codec`)

Rules:
1. A frame's length is checked before a byte of it is taken; a longer one ends the pipe.
2. Every send and receive has a time limit for the whole frame: a peer that drips holds nothing.
3. After any error the pipe is broken for good: a frame that was cut can't be told from the next one.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Final

from keys.errors import TooLarge, TooSlow, Unavailable

LENGTH: Final = struct.Struct(">I")


class Pipe:
    """Blocking: the opener's end."""

    def __init__(self, sock: socket.socket, *, max_bytes: int) -> None:
        self._sock = sock
        self._max = max_bytes
        self._broken = False

    def send(self, frame: bytes, *, seconds: float) -> None:
        """Raises TooLarge (the pipe stays good), TooSlow, Unavailable (the peer is gone)."""
        if len(frame) > self._max:
            raise TooLarge
        self._check()
        try:
            self._sock.settimeout(seconds)
            self._sock.sendall(LENGTH.pack(len(frame)) + frame)
        except TimeoutError:
            self._broken = True
            raise TooSlow from None
        except OSError:
            self._broken = True
            raise Unavailable from None

    def receive(self, *, seconds: float) -> bytearray | None:
        """None at the peer's orderly end. Raises TooLarge, TooSlow, Unavailable."""
        self._check()
        until = time.monotonic() + seconds
        head = self._read(LENGTH.size, until, at_start=True)
        if head is None:
            return None
        (length,) = LENGTH.unpack(head)
        if length > self._max:
            self._broken = True
            raise TooLarge
        return self._read(length, until)

    def close(self) -> None:
        self._broken = True
        self._sock.close()

    def _check(self) -> None:
        if self._broken:
            raise Unavailable

    def _read(self, length: int, until: float, *, at_start: bool = False) -> bytearray | None:
        data = bytearray(length)
        view, filled = memoryview(data), 0
        try:
            while filled < length:
                left = until - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                self._sock.settimeout(left)
                got = self._sock.recv_into(view[filled:])
                if not got:
                    self._broken = True
                    if at_start and not filled:
                        return None
                    raise Unavailable
                filled += got
        except TimeoutError:
            self._broken = True
            raise TooSlow from None
        except OSError:
            self._broken = True
            raise Unavailable from None
        return data


class AsyncPipe:
    """The worker's end, on the running event loop. One exchange at a time: send, then receive."""

    def __init__(self, sock: socket.socket, *, max_bytes: int) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._max = max_bytes
        self._broken = False
        self._turn = asyncio.Lock()

    async def exchange(self, frame: bytes, *, seconds: float) -> bytearray:
        """The answer's frame. Raises TooLarge (before sending), TooSlow, Unavailable."""
        if len(frame) > self._max:
            raise TooLarge
        async with self._turn:
            if self._broken:
                raise Unavailable
            self._broken = True  # until the whole answer is here, whatever interrupts us
            try:
                async with asyncio.timeout(seconds):
                    answer = await self._exchange(frame)
            except TimeoutError:
                raise TooSlow from None
            except OSError:
                raise Unavailable from None
            self._broken = False
            return answer

    def close(self) -> None:
        self._broken = True
        self._sock.close()

    async def _exchange(self, frame: bytes) -> bytearray:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(self._sock, LENGTH.pack(len(frame)) + frame)
        (length,) = LENGTH.unpack(await self._read(loop, LENGTH.size))
        if length > self._max:
            raise TooLarge
        return await self._read(loop, length)

    async def _read(self, loop: asyncio.AbstractEventLoop, length: int) -> bytearray:
        data = bytearray(length)
        view, filled = memoryview(data), 0
        while filled < length:
            got = await loop.sock_recv_into(self._sock, view[filled:])
            if not got:
                raise Unavailable
            filled += got
        return data

"""Bytes from one peer, bounded: lines of commands, and chunks of content.

Rules:
1. A command line ends with CRLF and nothing else; a bare CR or LF, a NUL or another control character is `Garbled`.
2. What came but wasn't asked for yet is `pending`: by it a peer is caught that talks out of turn.
3. Whoever waits here can be woken by an error from outside (`interrupt`): out of time, or shutting down.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Final

HIGH_WATER: Final = 262_144
"""So much unread is kept before the peer is made to wait."""
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class Gone(Exception):
    """The peer closed the connection, or lost it."""


class Expired(Exception):
    """The peer took too long."""


class Dismissed(Exception):
    """We are shutting down."""


class Garbled(Exception):
    """A line that no honest program sends."""


class LineTooLong(Exception):
    """A line without an end within its limit."""


class Wire:
    __slots__ = ("_buffer", "_eof", "_pause", "_paused", "_resume", "_searched", "_waiter", "discarding", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.loop = loop
        self._buffer = bytearray()
        self._searched = 0
        self._waiter: asyncio.Future[None] | None = None
        self._eof = False
        self._pause, self._resume, self._paused = pause, resume, False
        self.discarding = False

    def feed(self, data: bytes) -> None:
        if self.discarding:
            return
        self._buffer += data
        if len(self._buffer) > HIGH_WATER and not self._paused:
            self._paused = True
            self._pause()
        self._wake()

    def feed_eof(self) -> None:
        self._eof = True
        self._wake()

    def interrupt(self, error: Exception) -> bool:
        """Wakes whoever waits, with an error. False if nobody does."""
        if self._waiter is None or self._waiter.done():
            return False
        self._waiter.set_exception(error)
        return True

    @property
    def pending(self) -> int:
        return len(self._buffer)

    @property
    def eof(self) -> bool:
        return self._eof

    @property
    def waiting(self) -> bool:
        return self._waiter is not None

    def has_line(self) -> bool:
        return self._buffer.find(b"\n", self._searched) >= 0

    async def more(self) -> None:
        """Waits for bytes. Raises Gone, or what `interrupt` was given."""
        if self._eof:
            raise Gone
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def line(self, limit: int) -> bytes:
        """The next line without its CRLF. Raises Gone, Garbled, LineTooLong, or what `interrupt` was given."""
        buffer = self._buffer
        while (end := buffer.find(b"\n", self._searched)) < 0:
            if len(buffer) > limit:
                raise LineTooLong
            self._searched = len(buffer)
            await self.more()
        self._searched = 0
        if end + 1 > limit:
            raise LineTooLong
        if end == 0 or buffer[end - 1] != 13:
            raise Garbled
        line = bytes(memoryview(buffer)[: end - 1])
        del buffer[: end + 1]
        self._unblock()
        if _CONTROL.search(line):
            raise Garbled
        return line

    async def take(self) -> bytearray:
        """All that is there, at least one byte."""
        while not self._buffer:
            await self.more()
        taken, self._buffer = self._buffer, bytearray()
        self._searched = 0
        self._unblock()
        return taken

    def give_back(self, data: bytes) -> None:
        """What was taken too much; it goes to the front."""
        self._buffer[:0] = data

    def clear(self) -> None:
        self._buffer.clear()
        self._searched = 0
        self._unblock()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _unblock(self) -> None:
        if self._paused and len(self._buffer) <= HIGH_WATER:
            self._paused = False
            self._resume()

"""Claiming: the one loop by which worker, replies, requests, notices and outbox take rows from the store.

Rules:
1. As many rows are claimed as there are free places, and not before half of them are: claims come in batches.
2. A wake-up may be lost; then the loop looks by itself (`limits.LOOK_SECONDS`).
3. After `stop` nothing more is claimed, and what is under way is finished within the drain's time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from gateway import limits
from gateway.errors import StoreError
from gateway.log import Log, LogEvent
from gateway.store.waking import Ear

C = TypeVar("C")


class Claiming(Generic[C]):
    """`claim(n)` gives at most n rows; `process` ends one and never raises. `at_once`: rows under way."""

    def __init__(
        self,
        *,
        claim: Callable[[int], Awaitable[list[C]]],
        process: Callable[[C], Awaitable[None]],
        ear: Ear,
        log: Log,
        at_once: int,
        drain_seconds: float = limits.DRAIN_SECONDS - 5,
    ) -> None:
        self._claim, self._process, self._ear, self._log = claim, process, ear, log
        self._at_once, self._drain_seconds = at_once, drain_seconds
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopping = asyncio.Event()
        self._down = False

    @property
    def stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        self._stopping.set()

    async def run(self) -> None:
        while not self.stopping:
            free = self._at_once - len(self._tasks)
            rows = await self._take(free) if free * 2 >= self._at_once else []
            for row in rows:
                task = asyncio.create_task(self._one(row))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if not rows:
                await self._wait()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self._drain_seconds)
            for task in late:
                task.cancel()  # their leases end, and somebody claims them again

    async def _take(self, free: int) -> list[C]:
        try:
            rows = await self._claim(free)
        except StoreError as error:
            if not self._down:
                self._log.fault(error, LogEvent.STORE_DOWN)
            self._down = True
            return []
        if self._down:
            self._log.write(LogEvent.STORE_BACK)
        self._down = False
        return rows

    async def _one(self, row: C) -> None:
        try:
            await self._process(row)
        except Exception as error:  # noqa: BLE001 - the row's lease ends, and it is claimed again
            self._log.fault(error)

    async def _wait(self) -> None:
        """For work, for a free place, or for the end; without a store a little less impatiently."""
        ear = asyncio.sleep(1.0, True) if self._down else self._ear.wait(limits.LOOK_SECONDS)
        waits = [asyncio.ensure_future(self._stopping.wait()), asyncio.ensure_future(ear)]
        try:
            await asyncio.wait({*waits, *self._tasks}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()


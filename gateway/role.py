"""A role's process: what edge, inspector and desk have in common from start to end.

Rules:
1. No core dump, no other process reads its memory, nothing but our own log lines on standard error.
2. The first SIGTERM asks it to finish (within `limits.DRAIN_SECONDS`); the second ends it at once, which is safe.
3. Exit status 78 says: the configuration or the store is unsafe, don't start me again like this.
4. When the disk fails a write or an fsync it ends at once: what the kernel dropped then can't be told any more.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import uvloop

from gateway import limits
from gateway.audit import Event, note, record
from gateway.confinement import no_core
from gateway.errors import ConfigError, StoreDown, StoreError, Unsafe
from gateway.ids import Clock, SystemClock
from gateway.log import Log, LogEvent
from gateway.store.database import Database, Role
from gateway.store.lapsing import lapse
from gateway.store.waking import Wake, wake_for

UNUSABLE = os.EX_CONFIG


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What a role is given: its open store, and the event that asks it to end."""

    database: Database
    wake: Wake
    clock: Clock
    log: Log
    stopping: asyncio.Event


def run(role: Role, url: str, main: Callable[[Running], Awaitable[None]]) -> int:
    """The process's exit status."""
    clock = SystemClock()
    log = Log(role.value, clock)
    no_core()
    log.capture()
    try:
        return uvloop.run(_run(role, url, main, clock, log))
    except (Unsafe, ConfigError) as error:
        log.fault(error, LogEvent.UNUSABLE)
        return UNUSABLE
    except Exception as error:  # noqa: BLE001 - the last place where it can be told, without its text
        log.fault(error)
        return 1


async def _run(role: Role, url: str, main: Callable[[Running], Awaitable[None]], clock: Clock, log: Log) -> int:
    loop = asyncio.get_running_loop()
    log.watch(loop)
    stopping = asyncio.Event()
    _listen_for_signals(loop, stopping, log)
    wake = wake_for(url, role.value)
    database = await _open(role, url, clock, wake, log, stopping)
    if database is None:
        return 0
    running = Running(database=database, wake=wake, clock=clock, log=log, stopping=stopping)
    broken = asyncio.create_task(_end_when_broken(database, log))
    log.write(LogEvent.STARTED)
    try:
        await _note(database, Event.ROLE_STARTED, role)
        with suppress(StoreError):  # then their leases end by themselves
            await lapse(database)
        await main(running)
        await _note(database, Event.ROLE_STOPPED, role)
    finally:
        broken.cancel()
        await database.close()
        await wake.close()
        log.write(LogEvent.STOPPED)
    return 0


async def _note(database: Database, event: Event, role: Role) -> None:
    """In the audit; a store that is away just then is no reason not to run."""
    with suppress(StoreError):
        await database.write(lambda connection: note(connection, record(event, role=role.value)))


async def _open(
    role: Role, url: str, clock: Clock, wake: Wake, log: Log, stopping: asyncio.Event
) -> Database | None:
    """Waits for a store that isn't there yet. Raises Unsafe."""
    pause = 0.2
    while not stopping.is_set():
        try:
            return Database.open(url, role, clock=clock, wake=wake)
        except StoreDown as error:
            log.fault(error, LogEvent.STORE_DOWN)
        try:
            async with asyncio.timeout(pause):
                await stopping.wait()
        except TimeoutError:
            pause = min(pause * 2, 5.0)
    return None


async def _end_when_broken(database: Database, log: Log) -> None:
    await database.broken()
    log.write(LogEvent.DISK_FAILED)
    os._exit(1)


def _listen_for_signals(loop: asyncio.AbstractEventLoop, stopping: asyncio.Event, log: Log) -> None:
    def heard() -> None:
        if stopping.is_set():
            os._exit(0)  # asked twice: at once. Whatever is under way is claimed again, or was never acknowledged
        log.write(LogEvent.STOPPING)
        stopping.set()
        loop.call_later(limits.DRAIN_SECONDS, os._exit, 0)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard)

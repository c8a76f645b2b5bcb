"""The inspector's process: `vestibule up --role inspector`. The parent of key process and parser workers.

Rules:
1. It listens on nothing and opens no connection but the store's; it never sees a plaintext and parses nothing.
2. The zygote is started before the key process is asked for anything: it inherits nothing worth having.
3. At the end: nothing more is claimed, what is under way is finished; then workers, key process, store.
"""

from __future__ import annotations

import asyncio

from gateway.app import inspector as app
from gateway.config import Config
from gateway.errors import ConfigError, WorkerError
from gateway.log import LogEvent
from gateway.role import Running
from gateway.role import run as run_role
from gateway.store.database import Role
from keys.errors import KeysError, Unavailable


def run(config: Config) -> int:
    """The process's exit status."""

    async def main(running: Running) -> None:
        await serve(config, running)

    return run_role(Role.INSPECTOR, config.store_url, main)


async def serve(config: Config, running: Running) -> None:
    """Until it is asked to end. Raises ConfigError, WorkerError."""
    try:
        parts = app.inspector(config, running)
    except KeysError:
        raise ConfigError("keys.folder", "lacks a key of the inspector", "make them with `vestibule init`") from None
    try:
        await _start(parts, running)
        housekeeping = asyncio.create_task(parts.housekeeping.run())
        loops = [asyncio.create_task(loop.run()) for loop in parts.loops]
        stopping = asyncio.create_task(running.stopping.wait())
        try:
            done, _ = await asyncio.wait({*loops, housekeeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()  # a loop that ended by itself is an error of ours: it ends the process
        finally:
            for loop in parts.loops:
                loop.stop()
            housekeeping.cancel()
            stopping.cancel()
            await asyncio.gather(*loops, housekeeping, return_exceptions=True)
    finally:
        await parts.sandbox.close()
        await asyncio.to_thread(parts.agent.close)
        parts.workshop.close()


async def _start(parts: app.InspectorParts, running: Running) -> None:
    """Raises WorkerError when no worker can be had. Keys that are away are waited for by each message."""
    try:
        confined = await parts.sandbox.start()
    except WorkerError as error:
        running.log.fault(error, LogEvent.SANDBOX_LOST)
        raise
    running.log.write(
        LogEvent.SANDBOX_READY, landlock=confined.landlock, own_network=confined.own_network, fixed=confined.fixed,
        hidden=confined.hidden, filtered=confined.filtered,
    )  # fmt: skip
    try:
        await parts.workshop.with_keys(parts.agent.start)
    except Unavailable as error:
        running.log.fault(error, LogEvent.KEYS_UNAVAILABLE)
    await parts.housekeeping.turn()

"""The edge's process: `vestibule up --role edge`. Channels, intake and the outbox's sender.

Rules:
1. It can't read back what it has accepted: it holds the inspector's public key, not the private one.
2. At the end: no new mail, what is under way is answered, commits whose senders are gone are waited for.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway import limits
from gateway.app import edge as app
from gateway.config import Config
from gateway.errors import ConfigError
from gateway.log import LogEvent
from gateway.role import Running
from gateway.role import run as run_role
from gateway.rules import Token
from gateway.store.database import Role
from keys.box import Purpose
from keys.errors import KeysError

if TYPE_CHECKING:
    from gateway.metrics import Measuring


def run(config: Config) -> int:
    """The process's exit status."""

    async def main(running: Running) -> None:
        await serve(config, running)

    return run_role(Role.EDGE, config.store_url, main)


async def serve(config: Config, running: Running) -> None:
    """Until it is asked to end. Raises ConfigError."""
    try:
        parts = app.edge(config, running)
    except KeysError:
        raise ConfigError("keys.folder", "lacks a key of the edge", "make them with `vestibule init`") from None
    measuring = await _measure(config, running, parts) if config.metrics.edge_port >= 0 else None
    await parts.room.look()
    serving = asyncio.create_task(parts.channel.serve(parts.intake))
    sending = asyncio.create_task(parts.sender.claiming.run())
    background = [
        asyncio.create_task(work)
        for work in (parts.room.watch(), parts.rates.run(), parts.turned_away.run(), _expire(parts, running))
    ]
    announcing = asyncio.create_task(_announce(parts, running))
    stopping = asyncio.create_task(running.stopping.wait())
    try:
        await asyncio.wait({serving, sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for ended in (serving, sending):
            if ended.done():
                await ended  # a port that can't be had, or an error of ours: it ends the process, and is told
    finally:
        parts.sender.claiming.stop()
        for task in (serving, announcing, stopping, *background):
            task.cancel()
        await asyncio.gather(serving, sending, announcing, *background, return_exceptions=True)
        await parts.intake.settle()
        await parts.turned_away.flush()
        if measuring is not None:
            await measuring.close()


def _sealable(parts: app.EdgeParts) -> bool:
    try:
        parts.public.current(Purpose.SPOOL)
    except KeysError:
        return False
    return True


async def _expire(parts: app.EdgeParts, running: Running) -> None:
    """Replies that waited too long to leave."""
    while True:
        try:
            await parts.outbox.expire()
        except Exception as error:  # noqa: BLE001 - tried again at its next turn
            running.log.fault(error, LogEvent.HOUSEKEEPING)
        await asyncio.sleep(limits.EXPIRY_SECONDS)


async def _announce(parts: app.EdgeParts, running: Running) -> None:
    await parts.channel.started.wait()
    for port in parts.channel.ports:
        running.log.write(LogEvent.LISTENING, channel=Token(parts.channel.name), port=port)


async def _measure(config: Config, running: Running, parts: app.EdgeParts) -> Measuring:
    """Imported only where somebody looks: an HTTP server is a quarter of the edge's memory."""
    from gateway.metrics import Figures, listen

    figures = Figures(
        running.database, parts.channel.counts, lambda: parts.channel.sessions,
        room=lambda: not parts.room.full, sealable=lambda: _sealable(parts),
    )  # fmt: skip
    measuring = await listen(figures, config.metrics.host, config.metrics.edge_port)
    running.log.write(LogEvent.LISTENING, channel=Token("metrics"), port=measuring.port)
    return measuring

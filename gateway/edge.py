"""The edge's process: `vestibule up --role edge`. Channels, intake and the outbox's sender.

Rules:
1. It can't read back what it has accepted: it holds the inspector's public key, not the private one.
2. At the end: no new mail, what is under way is answered, commits whose senders are gone are waited for.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from gateway import app, limits, metrics
from gateway.config import Config
from gateway.errors import ConfigError
from gateway.log import LogEvent
from gateway.role import Running
from gateway.role import run as run_role
from gateway.rules import Token
from gateway.store.database import Role
from keys.box import Purpose
from keys.errors import KeysError


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
    figures = metrics.Figures(
        running.database, parts.channel.counts, lambda: parts.channel.sessions,
        room=lambda: not parts.room.full, sealable=lambda: _sealable(parts),
    )  # fmt: skip
    listener = None
    if config.metrics.edge_port >= 0:
        listener = await metrics.listen(figures, config.metrics.host, config.metrics.edge_port)
    await parts.room.look()
    serving = asyncio.create_task(parts.channel.serve(parts.intake))
    sending = asyncio.create_task(parts.sender.claiming.run())
    background = [
        asyncio.create_task(work)
        for work in (parts.room.watch(), parts.rates.run(), figures.watch(), _expire(parts, running))
    ]
    announcing = asyncio.create_task(_announce(parts, running, listener))
    stopping = asyncio.create_task(running.stopping.wait())
    try:
        await asyncio.wait({serving, sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            await serving  # a port that can't be had, or an error of ours: it ends the process
    finally:
        parts.sender.claiming.stop()
        for task in (serving, announcing, stopping, *background):
            task.cancel()
        await asyncio.gather(serving, sending, announcing, *background, return_exceptions=True)
        await parts.intake.settle()
        if listener is not None:
            await listener.cleanup()


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


async def _announce(parts: app.EdgeParts, running: Running, listener: object) -> None:
    await parts.channel.started.wait()
    for port in parts.channel.ports:
        running.log.write(LogEvent.LISTENING, channel=Token(parts.channel.name), port=port)
    with suppress(AttributeError, IndexError):
        running.log.write(LogEvent.LISTENING, channel=Token("metrics"), port=listener.addresses[0][1])  # type: ignore[attr-defined]

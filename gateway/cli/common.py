"""What the commands share: where the configuration is, the console, the open store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from gateway.config import Config, load

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.store.database import Database

T = TypeVar("T")

ConfigFile = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="VESTIBULE_CONFIG", help="The configuration file."),
]
DEFAULT_CONFIG = Path("vestibule.toml")


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def configuration(file: Path) -> Config:
    return load(file)


def with_store(config: Config, job: Callable[[Database], Awaitable[T]]) -> T:
    """Runs `job` with the store open for administration, and closes it whatever happens."""
    from gateway.ids import SystemClock
    from gateway.store.database import Database, Role

    async def run() -> T:
        database = Database.open(config.store_url, Role.ADMIN, clock=SystemClock())
        try:
            return await job(database)
        finally:
            await database.close()

    return asyncio.run(run())

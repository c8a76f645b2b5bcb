"""`vestibule db`: the store's schema and grants."""

from __future__ import annotations

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console

app = typer.Typer(help="The store: schema and grants.", no_args_is_help=True)


@app.command()
def upgrade(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Make or bring up to date the tables and, on PostgreSQL, each role's grants."""
    from gateway.store import current
    from gateway.store import upgrade as upgrade_store

    settings = configuration(config)
    upgrade_store(settings.store_url)
    console().print(f"the store is at revision {current(settings.store_url)}")


@app.command("current")
def show(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Print the revision that the store is at."""
    from gateway.store import current

    console().print(current(configuration(config).store_url) or "empty")

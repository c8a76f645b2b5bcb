"""`vestibule up`: all roles under a supervisor, or one role by itself."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration
from gateway.errors import ConfigError


def register(app: typer.Typer) -> None:
    @app.command()
    def up(
        config: ConfigFile = DEFAULT_CONFIG,
        role: Annotated[str, typer.Option(help="edge, inspector or desk; without it, all three.")] = "",
    ) -> None:
        """Run the gateway."""
        settings = configuration(config)
        if role == "":
            from gateway.supervisor import run as supervise

            raise typer.Exit(supervise(config))
        if role == "desk":
            from gateway.desk.role import run as run_desk

            raise typer.Exit(run_desk(settings))
        if role == "edge":
            from gateway.edge import run as run_edge

            raise typer.Exit(run_edge(settings))
        if role == "inspector":
            from gateway.inspector import run as run_inspector

            raise typer.Exit(run_inspector(settings))
        raise ConfigError("--role", "isn't a role", "edge, inspector or desk")

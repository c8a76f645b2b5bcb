"""`vestibule up`: all roles under a supervisor, or one role by itself."""

from __future__ import annotations

import os
import sys
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
        configuration(config)
        if role == "":
            from gateway.supervisor import run as supervise

            raise typer.Exit(supervise(config))
        from gateway.starting import ROLES
        from keys import tls

        if role not in ROLES:
            raise ConfigError("--role", "isn't a role", "edge, inspector or desk")
        # as the supervisor starts it: OpenSSL reads its configuration when a process starts, and only then
        command = [sys.executable, "-m", "gateway.starting", "--config", str(config.absolute()), "--role", role]
        os.execve(sys.executable, command, {**os.environ, **tls.environment()})  # noqa: S606 - our own program, no shell

"""`vestibule backup` and `restore`: database and keys as one sealed file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console
from gateway.errors import ConfigError
from keys.secret import Secret

Passphrase = Annotated[bool, typer.Option("--passphrase-stdin", help="Read the passphrase from standard input.")]


def register(app: typer.Typer) -> None:
    @app.command()
    def backup(
        file: Annotated[Path, typer.Argument(help="The file to make.")],
        config: ConfigFile = DEFAULT_CONFIG,
        passphrase_stdin: Passphrase = False,
    ) -> None:
        """Write database, keys and configuration into one file, sealed under a passphrase. The gateway may run on."""
        from gateway.backing_up import back_up

        settings = configuration(config)
        made = back_up(settings, config, file, _passphrase(passphrase_stdin, new=True))
        console().print(f"{file}: {made} bytes. Whoever has it and the passphrase has everything.")

    @app.command()
    def restore(
        file: Annotated[Path, typer.Argument(help="What `vestibule backup` made.")],
        folder: Annotated[Path, typer.Argument(help="An empty folder to restore into.")],
        passphrase_stdin: Passphrase = False,
    ) -> None:
        """Unpack a backup into an empty folder. Then `vestibule check` and `vestibule up` there."""
        from gateway.backing_up import restore_into

        for path in restore_into(file, folder, _passphrase(passphrase_stdin, new=False)):
            console().print(f"made  {path}")


def _passphrase(from_stdin: bool, *, new: bool) -> Secret[str]:
    if from_stdin:
        text = sys.stdin.readline().rstrip("\n")
    else:
        text = str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=new))
    if new and len(text) < 15:
        raise ConfigError("the passphrase", "is too short", "15 characters or more: it alone protects the file")
    return Secret(text)

"""`vestibule init`: a commented configuration, keys for every role, and a certificate to begin with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import console
from gateway.errors import ConfigError


def register(app: typer.Typer) -> None:
    @app.command()
    def init(
        folder: Annotated[Path, typer.Argument(help="Where to put it.")] = Path(),
        address: Annotated[str, typer.Option(help="The first mailbox: the address customers write to.")] = "",
        company: Annotated[str, typer.Option(help="The company's name, as customers know it.")] = "Acme",
        host: Annotated[str, typer.Option(help="The host name of the mail listener.")] = "localhost",
        container: Annotated[bool, typer.Option(help="For docker/compose.yaml: PostgreSQL, two certificates.")] = False,
    ) -> None:
        """Make vestibule.toml, keys and a self-signed certificate. Never overwrites anything."""
        from gateway.setting_up import set_up

        if address and address.count("@") != 1:
            raise ConfigError("--address", "isn't NAME@DOMAIN")
        os.umask(0o077)
        made = set_up(
            folder, address=address or f"support@{host}", company=company, host=host, container=container
        )
        out = console()
        for path, about in made:
            out.print(f"made  {path}  {about}")
        out.print(
            "next  vestibule db upgrade; vestibule keys new ADDRESS; vestibule user add NAME --role admin; vestibule up"
        )

"""`vestibule explain`: what would happen to a message, and why. Stores nothing, sends nothing."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console
from gateway.config import Config
from gateway.errors import ConfigError


def register(app: typer.Typer) -> None:
    @app.command()
    def explain(
        files: Annotated[list[Path], typer.Argument(help="Raw messages (RFC 5322), or an mbox with one.")],
        config: ConfigFile = DEFAULT_CONFIG,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON object per file, on a line.")] = False,
        client_ip: Annotated[str, typer.Option(help="The address it comes from.")] = "",
        helo: Annotated[str, typer.Option(help="What the client calls itself.")] = "",
        mail_from: Annotated[str | None, typer.Option(help='The envelope sender; "" or "<>" for a bounce.')] = None,
        rcpt: Annotated[list[str] | None, typer.Option(help="The envelope recipient; may be repeated.")] = None,
        tls: Annotated[str, typer.Option(help="The TLS version it comes by, such as 1.3; without it, none.")] = "",
        dns: Annotated[
            Path | None, typer.Option(help="Zone data (YAML or JSON), served instead of the network.")
        ] = None,
        at: Annotated[str, typer.Option(help="The time it comes at (ISO 8601).")] = "",
        certificate: Annotated[
            list[Path] | None, typer.Option(help="A customer's OpenPGP certificate to believe; may be repeated.")
        ] = None,
        key: Annotated[
            list[Path] | None, typer.Option(help="A secret OpenPGP key of ours to open with; may be repeated.")
        ] = None,
    ) -> None:
        """Say what the gateway would do with each message, layer by layer, and what the agent would see."""
        from gateway.explain_run import Asked, explain_all

        asked = Asked(
            client_ip=client_ip,
            helo=helo,
            mail_from=mail_from,
            rcpt=tuple(rcpt or ()),
            tls=_tls(tls),
            dns=dns,
            at=_time(at),
            certificates=tuple(_read(path) for path in certificate or ()),
            keys=tuple(_read(path) for path in key or ()),
        )
        contents = [(str(path), _read(path)) for path in files]
        settings = _config(config)

        def show(told: dict[str, object]) -> None:
            if as_json:
                sys.stdout.write(json.dumps(told, ensure_ascii=False, separators=(",", ":")) + "\n")
                sys.stdout.flush()
            else:
                from gateway.cli.explain_print import render

                render(told, console())

        asyncio.run(explain_all(contents, asked, settings, show))


def _config(file: Path) -> Config | None:
    """None: no configuration was named, and none is here."""
    return None if file == DEFAULT_CONFIG and not file.exists() else configuration(file)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise ConfigError(str(path), "can't be read") from None


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError("--at", "isn't a time", "such as 2026-11-25T09:30:00+00:00") from None
    if found.tzinfo is None:
        raise ConfigError("--at", "has no time zone", "add Z or an offset")
    return found


def _tls(text: str) -> str | None:
    wanted = text.lower().removeprefix("tls").removeprefix("v").strip()
    if wanted in ("", "none"):
        return None
    if wanted not in ("1.2", "1.3"):
        raise ConfigError("--tls", "isn't a version that we take", "1.2, 1.3 or none")
    return f"TLSv{wanted}"

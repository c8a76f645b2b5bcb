"""`vestibule demo`."""

from __future__ import annotations

from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    @app.command()
    def demo(
        port: Annotated[int, typer.Option(help="The console's port; without it, a free one.")] = 0,
        keep: Annotated[bool, typer.Option(help="Go on when the letters are sent, until interrupted.")] = True,
    ) -> None:
        """Run a whole gateway on this machine, with sample customers, until interrupted."""
        from gateway.demo.running import run

        raise typer.Exit(run(port=port, keep=keep))

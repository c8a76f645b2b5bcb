"""`vestibule layers`: the effective order of checks, and what is done about each finding."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console
from gateway.rules import Action, Code


def register(app: typer.Typer) -> None:
    @app.command()
    def layers(
        config: ConfigFile = DEFAULT_CONFIG,
        as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
    ) -> None:
        """Print the layers, their checks and the action of every rule, as they are in force."""
        from gateway.checks import ADMISSION, INSPECTION, OUTBOUND, RELEASE

        actions = _actions(config)
        rows: list[dict[str, Any]] = []
        for layer in (ADMISSION, INSPECTION, RELEASE, OUTBOUND):
            effective = layer.under(actions)
            for check in layer.checks:
                rows.extend(
                    {
                        "layer": layer.name,
                        "check": type(check).__name__,
                        "code": str(rule.code),
                        "action": effective.action(rule).name.lower(),
                        "default": rule.action.name.lower(),
                        "status": rule.status,
                        "says": rule.says,
                        "plain": rule.plain,
                    }
                    for rule in check.rules
                )
        out = console()
        if as_json:
            out.print_json(data=rows)
            return
        from rich.table import Table

        table = Table(box=None, pad_edge=False)
        for column in ("layer", "check", "finding", "action", "why"):
            table.add_column(column, overflow="fold")
        for row in rows:
            changed = "" if row["action"] == row["default"] else f" (default {row['default']})"
            table.add_row(row["layer"], row["check"], row["code"], row["action"] + changed, row["plain"])
        out.print(table)


def _actions(config: Path) -> dict[Code, Action]:
    if config == DEFAULT_CONFIG and not config.exists():
        return {}
    return configuration(config).policy.by_code()

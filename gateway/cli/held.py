"""`vestibule held`: messages that wait for a reviewer. Shows facts and findings; what was written stays sealed."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console, with_store
from gateway.ids import SystemClock, from_micros
from gateway.rules import Code

app = typer.Typer(help="Messages that wait for a reviewer.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="As `vestibule held list` prints it.")]


@app.command("list")
def show(
    config: ConfigFile = DEFAULT_CONFIG,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """When each came, to which mailbox, why it is held and until when."""
    from gateway.store.database import Database
    from gateway.store.spool import HeldRow, Spool

    async def all_held(db: Database) -> list[HeldRow]:
        spool, rows, cursor = Spool(db, SystemClock()), [], ""
        while True:
            page, cursor = await spool.held(cursor)
            rows.extend(page)
            if not cursor:
                return rows

    rows = with_store(configuration(config), all_held)
    data = [
        {
            "id": row.id,
            "received": from_micros(row.received_at).isoformat(timespec="seconds"),
            "expires": from_micros(row.expires_at).isoformat(timespec="seconds"),
            "channel": row.channel,
            "mailbox": row.mailbox,
            "bytes": row.octets,
            "refused": row.refused,
            "findings": [str(finding.rule.code) for finding in row.decision.findings],
            "why": [finding.rule.plain for finding in row.decision.findings if finding.rule.plain],
        }
        for row in rows
    ]
    out = console()
    if as_json:
        out.print_json(data=data)
        return
    if not data:
        out.print("nothing is held")
    for row in data:
        out.print(f"{row['id']}  {row['received']}  {row['mailbox']}  {', '.join(row['findings'])}")  # type: ignore[arg-type]


@app.command()
def release(
    id: Id,
    waive: Annotated[
        list[str] | None, typer.Option(help="A finding that shall not stop it again; may be repeated.")
    ] = None,
    config: ConfigFile = DEFAULT_CONFIG,
    by: Annotated[str, typer.Option(help="Who decides, for the audit.")] = "cli",
) -> None:
    """Send a held message through the layers again, with the named findings waived; faults of ours need none."""
    from gateway.store.spool import Spool

    codes = frozenset(Code(code) for code in waive or ())
    done = with_store(configuration(config), lambda db: Spool(db, SystemClock()).release(id, codes, by))
    _say(done, "released")


@app.command()
def reject(
    id: Id,
    config: ConfigFile = DEFAULT_CONFIG,
    by: Annotated[str, typer.Option(help="Who decides, for the audit.")] = "cli",
) -> None:
    """Delete a held message for good."""
    from gateway.store.spool import Spool

    done = with_store(configuration(config), lambda db: Spool(db, SystemClock()).reject(id, by))
    _say(done, "rejected")


def _say(done: bool, what: str) -> None:
    console().print(what if done else "it isn't held (any more)")
    if not done:
        raise typer.Exit(1)

"""`vestibule audit`: is the log whole, and what stands in it."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console, with_store
from gateway.errors import ConfigError

app = typer.Typer(help="The audit log: verify it, read it.", no_args_is_help=True)


@app.command()
def verify(
    config: ConfigFile = DEFAULT_CONFIG,
    known: Annotated[
        list[str] | None,
        typer.Option(help="A head kept elsewhere, CHAIN:SEQ:HASH: the log must still contain it."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Walk every chain and name each flaw. Exit status 1 when there is one. Prints the heads: keep them elsewhere."""
    from gateway import audit

    heads = tuple(_head(text) for text in known or ())
    report = with_store(configuration(config), lambda db: db.read(lambda conn: audit.verify(conn, heads)))
    out = console()
    if as_json:
        out.print_json(
            data={
                "sound": report.sound,
                "leaves": report.leaves,
                "heads": [f"{head.chain}:{head.seq}:{head.hash}" for head in report.heads],
                "flaws": [{"chain": flaw.chain, "seq": flaw.seq, "flaw": flaw.flaw} for flaw in report.findings],
            }
        )
    else:
        out.print(f"{report.leaves} events, " + ("whole" if report.sound else f"{len(report.findings)} flaws"))
        for flaw in report.findings:
            out.print(f"{flaw.flaw}  {flaw.chain}:{flaw.seq}")
        for head in report.heads:
            out.print(f"head  {head.chain}:{head.seq}:{head.hash}")
    if not report.sound:
        raise typer.Exit(1)


@app.command()
def tail(
    config: ConfigFile = DEFAULT_CONFIG,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=1000, help="How many.")] = 20,
) -> None:
    """Print the newest events, oldest of them first, a JSON object a line."""
    import json

    from gateway import audit

    rows = with_store(configuration(config), lambda db: db.read(lambda conn: audit.read(conn, limit=lines)))
    for row in reversed(rows):
        print(json.dumps(_plain(dict(row)), separators=(",", ":")))


def _head(text: str) -> Any:
    from gateway.audit import Head

    chain, _, rest = text.partition(":")
    seq, _, digest = rest.partition(":")
    if not (chain and seq.isdigit() and digest):
        raise ConfigError("--known", "isn't CHAIN:SEQ:HASH", "as `vestibule audit verify` prints it")
    return Head(chain, int(seq), digest)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, (str, int, float, bool, list)) or value is None else str(value)

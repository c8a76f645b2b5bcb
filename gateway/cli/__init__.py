"""The `vestibule` command: one file per group of commands.

Rules: a wrong setting or input is one line that names it and the way out, and exit status 2; nothing is ever printed
that a customer wrote, except by `explain`, whose job it is; `--help` imports nothing heavy.
"""

from __future__ import annotations

import sys

import typer

from gateway.errors import VestibuleError

app = typer.Typer(
    name="vestibule",
    help="A secure messaging gateway between customers and contact-centre agents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _assemble() -> None:
    from gateway.cli import audit, check, db, explain, health, held, init, layers, up, user
    from gateway.cli.backup import register as backup
    from gateway.cli.demo import register as demo
    from gateway.cli.keys import app as keys

    for register in (
        init.register, up.register, check.register, health.register, demo, layers.register, explain.register, backup,
    ):  # fmt: skip
        register(app)
    for name, group in (("db", db.app), ("audit", audit.app), ("held", held.app), ("keys", keys), ("user", user.app)):
        app.add_typer(group, name=name)


def main() -> None:
    """Entry point. Exit status: 0 done, 1 the thing asked about is not so, 2 wrong usage or setting, 3 our fault."""
    from keys.errors import KeysError

    _assemble()
    try:
        app()
    except (VestibuleError, KeysError) as error:
        print(f"vestibule: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the text of an unforeseen exception may hold what a customer wrote
        print(f"vestibule: internal error ({type(error).__name__})", file=sys.stderr)
        sys.exit(3)

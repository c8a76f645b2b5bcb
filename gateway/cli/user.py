"""`vestibule user`: the people inside."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console, with_store
from gateway.config import Config
from gateway.errors import ConfigError
from keys.secret import Secret

if TYPE_CHECKING:
    from gateway.store.database import Database
    from gateway.store.people import People

app = typer.Typer(help="The people inside: agents, supervisors, admins.", no_args_is_help=True)

ROLES = ("agent", "supervisor", "admin")


@app.command()
def add(
    login: Annotated[str, typer.Argument(help="What they sign in with.")],
    config: ConfigFile = DEFAULT_CONFIG,
    role: Annotated[str, typer.Option(help="agent, supervisor or admin.")] = "agent",
    name: Annotated[str, typer.Option(help="As colleagues know them.")] = "",
    queue: Annotated[list[str] | None, typer.Option(help="A queue they see; may be repeated. None: all.")] = None,
    language: Annotated[str, typer.Option(help="en or es.")] = "en",
    password_stdin: Annotated[bool, typer.Option(help="Read the password from standard input.")] = False,
) -> None:
    """Add a person. The password is asked for; it never stands on the command line."""
    if role not in ROLES:
        raise ConfigError("--role", "isn't a role", ", ".join(ROLES))
    settings = configuration(config)
    password = _password(password_stdin)
    made = add_user(settings, login=login, name=name or login, role=role, password=password,
                    queues=tuple(queue or ()), language=language)  # fmt: skip
    if not made:
        raise ConfigError("LOGIN", "is taken")
    console().print(f"{login} can sign in as {role}")


@app.command("list")
def show(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Who there is."""
    settings = configuration(config)

    async def users(db: Database) -> list[tuple[str, str, str]]:
        return [
            (user.login, user.role, "disabled" if user.disabled else "") for user in await _people(settings, db).users()
        ]

    for login, role, state in with_store(settings, users):
        console().print(f"{login}  {role}  {state}".rstrip())


def add_user(
    config: Config, *, login: str, name: str, role: str, password: Secret[str], queues: tuple[str, ...], language: str
) -> bool:
    """False when the login is taken. Raises ConfigError for a password that won't do."""
    from gateway.desk import passwords

    problem = passwords.problem(password)
    if problem is not None:
        hint = f"{passwords.MIN_CHARACTERS} characters or more, not a well-known phrase"
        raise ConfigError("the password", problem.replace("-", " "), hint)
    stored = passwords.hashed(password)

    async def add_it(db: Database) -> bool:
        made = await _people(config, db).add_user(
            login=login, name=name, role=role, password=stored, queues=queues, language=language
        )
        return made is not None

    return with_store(config, add_it)


def _people(config: Config, db: Database) -> People:
    from gateway.ids import SystemClock, Ulids
    from gateway.store.people import People
    from keys.atrest import load_roots

    clock = SystemClock()
    return People(db, atrest=load_roots(config.keys_folder / "shared", "desk-atrest"), clock=clock, ids=Ulids(clock))


def _password(from_stdin: bool) -> Secret[str]:
    if from_stdin:
        return Secret(sys.stdin.readline().rstrip("\n"))
    return Secret(str(typer.prompt("Password", hide_input=True, confirmation_prompt=True)))

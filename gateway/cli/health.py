"""`vestibule health`: does what runs on this machine do its work? For a container's health check: quick, read-only, no
secrets, nothing but fixed words.

    every role   its store answers it, at the right revision, with durable settings
    edge, desk   each listener answers as a mail or web server does
    inspector    it has no listener; but it renews the spool's key, and what is acknowledged doesn't wait too long
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console
from gateway.config import Config, Listener, ListenerKind
from gateway.errors import ConfigError, Unsafe

ROLES: Final = ("edge", "inspector", "desk")
SECONDS: Final = 2.0
"""For each answer: the whole check must be over before whoever asks gives up."""
RENEWAL_SLACK_SECONDS: Final = 60.0


def register(app: typer.Typer) -> None:
    @app.command()
    def health(
        config: ConfigFile = DEFAULT_CONFIG,
        role: Annotated[str, typer.Option(help="edge, inspector or desk; without it, all three.")] = "",
    ) -> None:
        """Say whether the roles that run here are at work. Exit status 1 when one isn't."""
        if role not in ("", *ROLES):
            raise ConfigError("--role", "isn't a role", "edge, inspector or desk")
        found = problems(configuration(config), [role] if role else ROLES)
        for problem in found:
            console().print(problem)
        if found:
            raise typer.Exit(1)
        console().print("healthy")


def problems(config: Config, roles: Sequence[str]) -> list[str]:
    """Fixed tokens, each with its role; none when all is well."""
    own = {"edge": _edge, "inspector": _inspector, "desk": _desk}
    return [f"{role} {problem}" for role in roles for problem in (*_store(config, role), *own[role](config))]


def _store(config: Config, role: str) -> Iterator[str]:
    from sqlalchemy import func, select, text

    from gateway import limits
    from gateway.ids import SystemClock, micros
    from gateway.states import Spooled
    from gateway.store import engines
    from gateway.store.schema import REVISION, spool

    file = config.store_url.removeprefix("sqlite:///")
    if file != config.store_url and not Path(file).exists():  # else SQLite would make it
        yield "store.absent"
        return
    engine = engines.make(config.store_url, role=role, reader=True)
    unfinished = spool.c.state.in_([Spooled.WAITING.value, Spooled.WORKING.value])
    try:
        with engine.connect() as connection:
            if connection.execute(text("SELECT version_num FROM alembic_version")).scalar() != REVISION:
                yield "store.revision"
            elif role == "inspector":
                oldest = connection.execute(select(func.min(spool.c.received_at)).where(unfinished)).scalar()
                before = micros(SystemClock().now()) - int(limits.QUEUE_AGE_ALARM_SECONDS * 1_000_000)
                if oldest is not None and oldest < before:
                    yield "spool.waiting"
    except Exception as error:  # noqa: BLE001 - whatever it is, its text stays here
        yield "store.unsafe" if isinstance(engines.mapped(error), Unsafe) else "store.away"
    finally:
        engine.dispose()


def _edge(config: Config) -> Iterator[str]:
    for listener in config.edge.listeners:
        if not _answers(listener.host, listener.port, lambda line, each=listener: _greeted(line, each)):  # type: ignore[misc]
            yield f"listener.silent {listener.kind.value} {listener.port}"


def _greeted(line: socket.socket, listener: Listener) -> bool:
    """Also by "too busy": that is an answer of one who is at work."""
    if listener.kind is ListenerKind.IMPLICIT_TLS:
        line = _wrapped(line)
    code = line.recv(512)[:4]
    with suppress(OSError):
        line.sendall(b"QUIT\r\n")
    return code[:1] in (b"2", b"4") and code[1:3].isdigit()


def _desk(config: Config) -> Iterator[str]:
    desk = config.desk

    def asked(line: socket.socket) -> bool:
        if desk.certificate_file:
            line = _wrapped(line)
        line.sendall(b"GET / HTTP/1.1\r\nHost: health\r\nConnection: close\r\n\r\n")
        answer = line.recv(64).split(b" ")
        return answer[0] == b"HTTP/1.1" and len(answer) > 1 and answer[1] < b"500"

    if not _answers(desk.host, desk.port, asked):
        yield f"listener.silent desk {desk.port}"


def _answers(host: str, port: int, asked: Callable[[socket.socket], bool]) -> bool:
    near = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104 - seen from here
    try:
        with socket.create_connection((near, port), SECONDS) as line:
            return asked(line)
    except OSError:
        return False


def _wrapped(line: socket.socket) -> socket.socket:
    """Whose certificate it is says nothing of health, and may well be for another name than loopback's."""
    from keys.tls import client_context

    return client_context(verify=False).wrap_socket(line)


def _inspector(config: Config) -> Iterator[str]:
    from keys.box import Purpose
    from keys.errors import KeysError
    from keys.keyring import current

    try:
        _, made_at = current(config.keys_folder, Purpose.SPOOL)
    except KeysError:
        yield "keys.absent"
        return
    age = (datetime.now(UTC) - made_at).total_seconds()
    if age > 2 * config.inspector.spool_key_seconds + RENEWAL_SLACK_SECONDS:
        yield "keys.not-renewed"

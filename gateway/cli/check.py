"""`vestibule check`: is everything as a start needs it: field, problem, way out. Changes nothing."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import typer

from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console, with_store
from gateway.config import Config
from gateway.errors import ConfigError, StoreError


@dataclass(frozen=True, slots=True)
class Problem:
    """`grave`: it won't start, or its promise wouldn't hold."""

    field: str
    problem: str
    hint: str = ""
    grave: bool = True


def register(app: typer.Typer) -> None:
    @app.command()
    def check(config: ConfigFile = DEFAULT_CONFIG) -> None:
        """Say what stands in the way of a start. Exit status 1 when something does."""
        out = console()
        try:
            settings = configuration(config)
        except ConfigError as error:
            problems = [Problem(error.field, error.problem, error.hint)]
        else:
            problems = [*_mailboxes(settings), *_keys(settings), *_tls(settings), *_programs(), *_store(settings)]
        for found in problems:
            out.print(f"{'problem' if found.grave else 'note   '}  {found.field}: {found.problem}")
            if found.hint:
                out.print(f"         {found.hint}")
        if any(found.grave for found in problems):
            raise typer.Exit(1)
        out.print("ready")


def _mailboxes(config: Config) -> Iterator[Problem]:
    if not config.mailboxes:
        yield Problem("mailboxes", "there is none, so every recipient would be refused", "add a [[mailboxes]] table")


def _keys(config: Config) -> Iterator[Problem]:
    folder = config.keys_folder
    for role in ("public", "edge", "inspector", "desk", "shared"):
        part = folder / role
        if not part.is_dir():
            yield Problem("keys.folder", f"{role} is missing", "`vestibule init` makes keys")
            continue
        if role == "public":
            continue
        for path in (part, *part.rglob("*")):
            if (part / "gnupg") in path.parents:  # gpg's own, behind its folder's mode
                continue
            mode = path.lstat().st_mode
            if stat.S_ISSOCK(mode) or stat.S_ISLNK(mode):
                continue
            if mode & 0o077:
                yield Problem("keys.folder", f"{path.relative_to(folder)} is open to others", "chmod go= on it")


def _tls(config: Config) -> Iterator[Problem]:
    pairs = [(f"edge.listeners.{item.port}", item.certificate_file, item.key_file) for item in config.edge.listeners]
    pairs.append(("desk", config.desk.certificate_file, config.desk.key_file))
    for field, certificate, key in pairs:
        if certificate:
            yield from _certificate(field, config.path(certificate), config.path(key))


def _certificate(field: str, certificate: Path, key: Path) -> Iterator[Problem]:
    import ssl

    from cryptography import x509

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
        first = x509.load_pem_x509_certificates(certificate.read_bytes())[0]
    except (OSError, ValueError):
        yield Problem(f"{field}.certificate_file", "certificate and key can't be read or don't belong together")
        return
    left = first.not_valid_after_utc - datetime.now(UTC)
    if left < timedelta(0):
        yield Problem(f"{field}.certificate_file", "has expired", "replace it; it is reloaded without a restart")
    elif left < timedelta(days=14):
        yield Problem(f"{field}.certificate_file", f"expires in {left.days} days", grave=False)
    if first.issuer == first.subject:
        yield Problem(f"{field}.certificate_file", "is self-signed: senders can't verify it", grave=False)


def _programs() -> Iterator[Problem]:
    for program in ("gpg", "gpg-agent", "gpgconf"):
        if shutil.which(program) is None:
            yield Problem("system", f"{program} is missing", "on Debian: apt-get install gnupg")


def _store(config: Config) -> Iterator[Problem]:
    from gateway.store import current
    from gateway.store.schema import REVISION

    try:
        at = current(config.store_url)
    except StoreError as error:
        yield Problem("store.url", str(error) or "can't be reached")
        return
    if at != REVISION:
        yield Problem("store.url", "has no tables yet" if not at else "is of another version", "`vestibule db upgrade`")
        return

    async def nothing(db: object) -> None:
        return None

    try:
        with_store(config, nothing)
    except StoreError as error:
        yield Problem("store.url", f"isn't durable as it is set: {error}", "see gateway/store/README.md")

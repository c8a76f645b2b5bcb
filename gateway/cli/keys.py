"""`vestibule keys`: the company's own OpenPGP keys, customers' certificates, and the rotation of box keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from channels.contract import Address
from gateway.cli.common import DEFAULT_CONFIG, ConfigFile, configuration, console, with_store
from gateway.config import Config
from gateway.errors import ConfigError
from gateway.mailboxes import Mailboxes

if TYPE_CHECKING:
    from gateway.store.contacts import Bound, Contacts
    from gateway.store.database import Database
    from keys.agent_client import AgentClient

app = typer.Typer(help="Our OpenPGP keys, customers' certificates, box keys.", no_args_is_help=True)

EMAIL = "email"


@app.command()
def new(
    address: Annotated[str, typer.Argument(help="One of our mailboxes.")], config: ConfigFile = DEFAULT_CONFIG
) -> None:
    """Make an OpenPGP key (Ed25519) for a mailbox."""
    settings = configuration(config)
    box = Mailboxes(settings.mailboxes).find(address)
    if box is None:
        raise ConfigError("ADDRESS", "is none of our mailboxes", "add it to [[mailboxes]] first")
    with _agent(settings) as agent:
        console().print(agent.new_mailbox_key(box.sender_name or box.name, box.address))


@app.command("list")
def show(config: ConfigFile = DEFAULT_CONFIG) -> None:
    """Our own keys, and the customers' certificates with what the directory makes of them."""
    settings = configuration(config)
    out = console()
    with _agent(settings) as agent:
        for key in agent.mailbox_keys():
            until = key.expires_at.date().isoformat() if key.expires_at else "never"
            out.print(f"ours      {key.fingerprint}  {', '.join(key.addresses)}  expires {until}")
    for one in with_store(settings, lambda db: _all(_contacts(settings, db))):
        out.print(f"{one.trust:9} {one.fingerprint}  {one.address}  from {one.provenance}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="An OpenPGP certificate or, with --ours, a secret key.")],
    config: ConfigFile = DEFAULT_CONFIG,
    address: Annotated[str, typer.Option(help="Bind it to this address, not to those of its user ids.")] = "",
    candidate: Annotated[bool, typer.Option(help="Only propose it; somebody decides later.")] = False,
    ours: Annotated[bool, typer.Option(help="It is one of our own keys.")] = False,
) -> None:
    """Take a customer's certificate into the directory. It is believed from then on, unless --candidate."""
    settings = configuration(config)
    try:
        data = file.read_bytes()
    except OSError:
        raise ConfigError(str(file), "can't be read") from None
    out = console()
    if ours:
        with _agent(settings) as agent:
            for fingerprint in agent.import_own(data):
                out.print(f"ours      {fingerprint}")
        return
    for trust, name, bound in bind_certificate(settings, data, address=address, candidate=candidate):
        out.print(f"{trust:9} {name}  {bound}")


@app.command()
def export(
    address: Annotated[str, typer.Argument(help="One of our mailboxes.")],
    config: ConfigFile = DEFAULT_CONFIG,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; without it, standard output.")] = None,
) -> None:
    """Print the public part of a mailbox's key, armored, for customers. There is no command for the secret part."""
    from keys.armor import armored

    settings = configuration(config)
    with _agent(settings) as agent:
        wanted = address.lower()
        mine = [key for key in agent.mailbox_keys() if wanted in (name.lower() for name in key.addresses)]
        if not mine:
            raise ConfigError("ADDRESS", "has no key", f"`vestibule keys new {address}` makes one")
        text = armored(agent.export_mailbox(mine[0].fingerprint), "PUBLIC KEY BLOCK")
    if output is None:
        print(text, end="")
    else:
        output.write_text(text, "ascii")


@app.command()
def rotate(
    config: ConfigFile = DEFAULT_CONFIG,
    purpose: Annotated[str, typer.Option(help="spool, reply, request, outbox (all by default), or atrest.")] = "",
) -> None:
    """Publish new box keys; the older ones go on opening what they sealed. With --purpose atrest, make new root keys
    at rest instead: restart every role right afterwards, they read them at start."""
    from gateway.rotating import BOXES, PURPOSES, rotate_keys

    if purpose and purpose not in PURPOSES:
        raise ConfigError("--purpose", "isn't one", ", ".join(PURPOSES))
    settings = configuration(config)
    for name, key in rotate_keys(settings.keys_folder, (purpose,) if purpose else BOXES):
        console().print(f"{name:8} {key}")


def bind_certificate(config: Config, data: bytes, *, address: str, candidate: bool) -> list[tuple[str, str, str]]:
    """Trust, fingerprint and address of each binding made. An empty `address`: those of the user ids. Raises
    KeysError, StoreError."""
    from gateway.store.contacts import Provenance, Trust
    from keys import directory

    wanted = directory.Trust.CANDIDATE if candidate else directory.Trust.MANUAL
    with _agent(config) as agent:
        found = agent.import_certificate(data, [address] if address else [], wanted)
    trust = Trust.CANDIDATE if candidate else Trust.TRUSTED

    async def bind(db: Database) -> list[tuple[str, str, str]]:
        contacts, made = _contacts(config, db), []
        for one in found:
            for bound in [address] if address else one.certificate.addresses:
                fingerprint = one.certificate.fingerprint
                await contacts.bind(EMAIL, Address(bound), fingerprint, one.data, trust, Provenance.ADMIN)
                made.append((trust.value, str(fingerprint), bound))
        return made

    return with_store(config, bind)


@contextmanager
def _agent(config: Config) -> Iterator[AgentClient]:
    from keys.agent_client import AgentClient

    with AgentClient(config.keys_folder) as agent:
        yield agent


def _contacts(config: Config, db: Database) -> Contacts:
    from gateway.ids import SystemClock, Ulids
    from gateway.store.contacts import Contacts
    from keys.keyring import Inspector

    clock = SystemClock()
    held = Inspector.load(config.keys_folder)
    return Contacts(db, atrest=held.atrest, desk_atrest=held.desk_atrest, clock=clock, ids=Ulids(clock))


async def _all(contacts: Contacts) -> list[Bound]:
    found: list[Bound] = []
    cursor = ""
    while True:
        page, cursor = await contacts.all_certificates(cursor)
        found.extend(page)
        if not cursor:
            return found

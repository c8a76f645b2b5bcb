"""The desk's process: `vestibule up --role desk`.

Rules:
1. It holds the desk's signing key, the key of its sessions, the key at rest that it shares with the inspector, and
   public keys. Nothing that opens a message is imported here, mounted here, or granted to it.
2. TLS 1.3, or plain HTTP on the loopback interface (behind a proxy of one's own, or on a laptop).
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

from aiohttp import web

from gateway import limits
from gateway.config import Config
from gateway.desk.application import application
from gateway.desk.context import Desk, Site
from gateway.desk.events import Hub
from gateway.desk.listening import bind, runner
from gateway.desk.measuring import mount
from gateway.desk.passwords import Passwords
from gateway.desk.recording import Recorder
from gateway.errors import ConfigError
from gateway.ids import Ulids
from gateway.log import LogEvent
from gateway.role import Running
from gateway.role import run as run_role
from gateway.rules import Token
from gateway.store.conversations import Conversations
from gateway.store.database import Role
from gateway.store.people import People
from gateway.store.rates import Attempts
from gateway.store.reading import Reading
from gateway.store.replies import Replies
from gateway.store.requests import Requests
from keys.atrest import load_roots, load_secret
from keys.box import PublicKeys, load_signing_key
from keys.errors import KeysError
from keys.tls import Profile, ServerTls

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def run(config: Config) -> int:
    """The process's exit status."""

    async def main(running: Running) -> None:
        await serve(config, running)

    return run_role(Role.DESK, config.store_url, main)


def build(config: Config, running: Running, port: int) -> Desk:
    """Raises ConfigError."""
    keys, db, clock = config.keys_folder, running.database, running.clock
    try:
        atrest = load_roots(keys / "shared", "desk-atrest")
        public = PublicKeys(keys / "public")
        stamps = public.verify_key("stamp")
        signing = load_signing_key(keys / "desk" / "sign.key")
        session_key = load_secret(keys / "desk" / "session.key")
    except KeysError:
        raise ConfigError("keys.folder", "lacks a key of the desk", "make them with `vestibule init`") from None
    ids = Ulids(clock)
    reading = Reading(db, atrest=atrest, stamps=stamps, tenant=config.company.tenant, clock=clock)
    return Desk(
        site=site(config, port), db=db, reading=reading,
        people=People(db, atrest=atrest, clock=clock, ids=ids),
        conversations=Conversations(db, clock), replies=Replies(db, clock), requests=Requests(db, clock),
        attempts=Attempts(db, clock=clock, window_seconds=int(limits.SIGN_IN_WINDOW_SECONDS)),
        passwords=Passwords(), recorder=Recorder(db), public_keys=public, signing_key=signing, session_key=session_key,
        atrest=atrest, hub=Hub(reading, running.wake.ear()), clock=clock, ids=ids, log=running.log,
    )  # fmt: skip


def site(config: Config, port: int) -> Site:
    """Which hosts are served: the public one, and loopback while we listen there."""
    tls = bool(config.desk.certificate_file)
    hosts: set[str] = set()
    origins: set[str] = set()
    public = urlsplit(config.desk.public_url)
    secure = tls or public.scheme == "https"
    if public.netloc:
        hosts.add(public.netloc.lower())
        origins.add(f"{public.scheme}://{public.netloc.lower()}")
    if config.desk.host in ("127.0.0.1", "::1", "localhost") or not public.netloc:
        scheme = "https" if tls else "http"
        for name in {*LOOPBACK, config.desk.host}:
            hosts.add(f"{name}:{port}")
            origins.add(f"{scheme}://{name}:{port}")
    return Site(
        company=config.company.name, hosts=frozenset(hosts), origins=frozenset(origins), secure=secure,
        queues=tuple(sorted({box.queue for box in config.mailboxes})),
    )  # fmt: skip


def tls_context(config: Config) -> ssl.SSLContext | None:
    """Raises ConfigError."""
    if not config.desk.certificate_file:
        return None
    try:
        files = config.path(config.desk.certificate_file), config.path(config.desk.key_file)
        return ServerTls(*files, profile=Profile.MODERN).context
    except OSError:
        raise ConfigError("desk.certificate_file", "can't be loaded with desk.key_file") from None


async def serve(config: Config, running: Running) -> None:
    """Listens until asked to stop. Raises ConfigError."""
    socket = bind(config.desk.host, config.desk.port)
    desk = build(config, running, socket.getsockname()[1])
    app_runner = runner(application(desk))
    await app_runner.setup()
    await web.SockSite(app_runner, socket, ssl_context=tls_context(config)).start()
    hub = asyncio.create_task(desk.hub.run())
    metrics = await mount(config, desk)
    running.log.write(LogEvent.LISTENING, channel=Token("desk"), port=socket.getsockname()[1])
    try:
        await running.stopping.wait()
    finally:
        await desk.hub.close()
        hub.cancel()
        with suppress(asyncio.CancelledError):
            await hub
        await app_runner.cleanup()
        if metrics is not None:
            await metrics.cleanup()
        desk.passwords.close()

"""What the edge is made of."""

from __future__ import annotations

import random
import shutil
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from channels.email.authentication import Authenticator
from channels.email.dkim_sign import Signer, SigningError
from channels.email.exchangers import DnsExchangers
from channels.email.resolver import DnsResolver
from channels.email.smtp_in import EmailChannel
from channels.email.smtp_out import Relay, Route, SmtpOut
from channels.keyed import Keyed
from gateway import checks, limits
from gateway import intake as intake_module
from gateway.config import Config
from gateway.email_settings import smtp_config
from gateway.errors import ConfigError
from gateway.ids import Ulids
from gateway.mailboxes import Mailboxes
from gateway.outbox import Sender
from gateway.role import Running
from gateway.store import spool
from gateway.store.outbox import Outbox
from gateway.store.rates import Bodies, Rates
from gateway.store.spool import Spool
from gateway.turned_away import TurnedAway
from keys import keyring
from keys.box import Binding, PublicKeys
from keys.secret import Secret
from keys.tls import client_context
from keys.unbox import open_box


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeParts:
    channel: EmailChannel
    intake: intake_module.Intake
    room: intake_module.Room
    rates: Rates
    sender: Sender
    outbox: Outbox
    public: PublicKeys
    turned_away: TurnedAway


def edge(config: Config, running: Running) -> EdgeParts:
    """Raises ConfigError, and KeysError for a key that isn't there."""
    database, log, clock = running.database, running.log, running.clock
    ids, keys = Ulids(clock), keyring.Edge.load(config.keys_folder)
    mailboxes = Mailboxes(config.mailboxes)
    resolver = DnsResolver(servers=config.edge.dns.servers, port=config.edge.dns.port)
    rates = Rates(database, key=keys.dedupe, clock=clock)
    bodies = Bodies(database, key=keys.body)
    outbox = Outbox(database, clock)
    channel = EmailChannel(
        smtp_config(config),
        directory=mailboxes,
        authenticator=Authenticator(resolver, now=clock.now, receiver=config.edge.hostname),
        paces=rates,
        seen=bodies,
        keyed=Keyed(keys.lane),
        new_id=ids.new,
        now=clock.now,
        sender=SmtpOut(route(config, resolver, running)),
        on_fault=log.fault,
    )
    room = intake_module.Room(_free(config), Spool(database, clock).backlog)
    turned_away = TurnedAway(database)
    layer = checks.admission(
        per_peer=config.edge.limits.messages_per_peer_hour, per_sender=config.edge.limits.messages_per_sender_hour
    )
    return EdgeParts(
        channel=channel,
        intake=intake_module.Intake(
            layer.under(config.policy.by_code()),
            sealing=intake_module.Sealing(public=keys.public, signing=keys.sign),
            put=lambda row: spool.put(database, row),
            sender_key=bodies.sender_key,
            room=room,
            ids=ids,
            on_fault=log.fault,
            turned_away=turned_away.note,
        ),
        turned_away=turned_away,
        room=room,
        rates=rates,
        sender=Sender(
            outbox=outbox,
            channels={channel.name: channel},
            unbox=lambda box, binding: unboxed(box, binding, keys),
            ear=running.wake.ear(),
            jitter=random.SystemRandom().random,
            log=log,
        ),
        outbox=outbox,
        public=keys.public,
    )


def unboxed(box: bytes, binding: Binding, keys: keyring.Edge) -> Secret[bytes]:
    """What the inspector boxed for the edge. Raises a KeysError."""
    return open_box(box, binding=binding, keys=keys.outbox, senders=keys.senders()).payload


def route(config: Config, resolver: DnsResolver, running: Running) -> Route:
    """How mail leaves. Raises ConfigError."""
    smarthost = config.sending.smarthost
    relay = None
    if smarthost.host:
        relay = Relay(
            host=smarthost.host,
            port=smarthost.port,
            tls=smarthost.tls,
            login=smarthost.login,
            password=_password(config, smarthost.password_file) if smarthost.password_file else None,
        )
    return Route(
        hostname=config.edge.hostname,
        tls=_sending_context(config),
        relay=relay,
        exchangers=DnsExchangers(resolver),
        sign=_signer(config, running),
        seconds=limits.SEND_SECONDS,
        connect_seconds=limits.SEND_CONNECT_SECONDS,
    )


def _sending_context(config: Config) -> ssl.SSLContext:
    name = config.sending.smarthost.ca_file
    try:
        return client_context(ca_file=config.path(name) if name else None)
    except OSError:
        raise ConfigError("sending.smarthost.ca_file", "can't be read") from None


def _password(config: Config, name: str) -> Secret[str]:
    try:
        return Secret(config.path(name).read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError):
        raise ConfigError("sending.smarthost.password_file", "can't be read") from None


def _signer(config: Config, running: Running) -> Callable[[bytes], bytes] | None:
    dkim = config.sending.dkim
    if not dkim.domain:
        return None
    try:
        signer = Signer.load(dkim.domain, dkim.selector, Secret(config.path(dkim.key_file).read_bytes()))
    except (OSError, SigningError):
        hint = "RSA of 2048 bits, or Ed25519"
        raise ConfigError("sending.dkim.key_file", "isn't a key that can sign", hint) from None
    return lambda raw: signer.sign(raw, now=int(running.clock.now().timestamp()))


def _free(config: Config) -> Callable[[], int | None]:
    """Bytes left where the store's file is; None when the store is a server, which tells by itself."""
    prefix = "sqlite:///"
    if not config.store_url.startswith(prefix):
        return lambda: None
    folder = Path(config.store_url.removeprefix(prefix)).parent
    return lambda: shutil.disk_usage(folder).free

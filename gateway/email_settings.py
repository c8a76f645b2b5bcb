"""From the configuration to what the SMTP side is told: listeners, trusted hops, limits."""

from __future__ import annotations

import ipaddress

from channels.contract import HopName
from channels.email.address import domain_of, parse
from channels.email.hops import Hop
from channels.email.settings import Kind, Limits, Listen, SmtpConfig
from gateway import limits
from gateway.config import Config, EdgeLimits, Listener, Mailbox, TrustedHop
from gateway.errors import ConfigError
from keys.credentials import SharedSecret, Users
from keys.tls import ServerTls


def smtp_config(config: Config) -> SmtpConfig:
    """Loads certificates, users and secrets. Raises ConfigError."""
    return SmtpConfig(
        hostname=config.edge.hostname,
        domains=domains(config.mailboxes),
        listeners=tuple(_listen(config, listener) for listener in config.edge.listeners),
        limits=smtp_limits(config.edge.limits),
        hops=tuple(_hop(config, hop) for hop in config.edge.trusted_hops),
    )


def domains(mailboxes: tuple[Mailbox, ...]) -> frozenset[str]:
    """The company's own, lower-case A-labels. Raises ConfigError."""
    found: set[str] = set()
    for box in mailboxes:
        for name in (box.address, *box.aliases):
            address = parse(name)
            if address is None:
                raise ConfigError(f"mailboxes.{box.name}", "an address isn't one that mail can be sent to")
            found.add(domain_of(address))
    return frozenset(found)


def smtp_limits(chosen: EdgeLimits) -> Limits:
    return Limits(
        message_bytes=limits.MESSAGE_BYTES,
        command_line_bytes=limits.COMMAND_LINE_BYTES,
        line_bytes=limits.LINE_BYTES_HARD,
        content_memory_bytes=limits.CONTENT_MEMORY_BYTES,
        recipients=limits.RECIPIENTS,
        connections=chosen.connections,
        connections_per_peer=chosen.connections_per_peer,
        greeting_seconds=limits.GREETING_SECONDS,
        command_seconds=limits.COMMANDS_IDLE_SECONDS,
        data_seconds=limits.DATA_SECONDS,
        data_bytes_per_second=limits.DATA_BYTES_PER_SECOND,
        session_seconds=limits.SESSION_SECONDS,
        session_errors=limits.SESSION_ERRORS,
        session_messages=limits.SESSION_MESSAGES,
        junk_commands=limits.JUNK_COMMANDS,
        login_attempts=limits.LOGIN_ATTEMPTS,
        authentication_seconds=limits.DNS_MESSAGE_SECONDS,
        drain_seconds=limits.DRAIN_SECONDS,
    )


def _listen(config: Config, listener: Listener) -> Listen:
    where = f"edge.listeners.{listener.port}"
    tls = None
    if listener.certificate_file and listener.key_file:
        client_ca = config.path(listener.client_ca_file) if listener.client_ca_file else None
        try:
            tls = ServerTls(
                config.path(listener.certificate_file), config.path(listener.key_file), client_ca=client_ca
            )
        except OSError:
            raise ConfigError(
                where, "certificate_file, key_file or client_ca_file doesn't load", "PEM files that belong together"
            ) from None
    return Listen(
        kind=Kind(listener.kind.value),
        host=listener.host,
        port=listener.port,
        starttls=listener.starttls,
        tls=tls,
        users=Users(config.path(listener.users_file)) if listener.users_file else None,
    )


def _hop(config: Config, hop: TrustedHop) -> Hop:
    where = f"edge.trusted_hops.{hop.name}"
    try:
        secret = SharedSecret.load(config.path(hop.secret_file)) if hop.secret_file else None
    except (OSError, ValueError):
        raise ConfigError(
            f"{where}.secret_file", "doesn't hold a secret", "the current one, below it the previous"
        ) from None
    try:
        inside = tuple(ipaddress.ip_network(network) for network in hop.inside)
    except ValueError:
        raise ConfigError(f"{where}.inside", "isn't a list of addresses or networks") from None
    return Hop(
        name=HopName(hop.name), address=hop.address, certificate=hop.certificate_sha256, header=hop.header,
        secret=secret, inside=inside,
    )  # fmt: skip

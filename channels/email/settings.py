"""What the SMTP side is told: its listeners and its limits. Made by `gateway.email_settings` from the configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from channels.contract import Demand
from channels.email.hops import Hop
from keys.credentials import Users
from keys.tls import ServerTls


class Kind(StrEnum):
    """MX takes mail from anybody; SUBMISSION asks for a login (RFC 6409); IMPLICIT_TLS is MX that starts with TLS."""

    MX = "mx"
    IMPLICIT_TLS = "implicit-tls"
    SUBMISSION = "submission"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Sizes in bytes, times in seconds. The figures and their reasons stand in `gateway.limits`."""

    message_bytes: int
    command_line_bytes: int
    line_bytes: int
    content_memory_bytes: int
    recipients: int
    connections: int
    connections_per_peer: int
    greeting_seconds: float
    command_seconds: float
    data_seconds: float
    data_bytes_per_second: int
    session_seconds: float
    session_errors: int
    session_messages: int
    junk_commands: int
    login_attempts: int
    authentication_seconds: float
    drain_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """One listening socket. Port 0 picks a free one."""

    kind: Kind = Kind.MX
    host: str = "127.0.0.1"
    port: int = 0
    starttls: Demand = Demand.NONE
    tls: ServerTls | None = None
    users: Users | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpConfig:
    """`domains` are the company's own, lower-case A-labels: an unknown address there doesn't exist, one elsewhere is
    none of ours to relay."""

    hostname: str
    domains: frozenset[str]
    listeners: tuple[Listen, ...]
    limits: Limits
    hops: tuple[Hop, ...] = field(default=())

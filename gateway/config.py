"""The configuration: one TOML file, typed, each setting with its meaning beside it.

Rules:
1. Unknown settings are errors: a misspelt safeguard must not be silently off.
2. No secret stands in the file; settings that end in `_file` name files that hold one.
3. The commented example is made from these types (`gateway.config_example`), so it can't lie.
4. Relative paths are taken from the folder of the file.
"""

from __future__ import annotations

import ipaddress
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct, field

from channels.contract import Demand, MailboxName, Terms
from gateway import limits
from gateway.errors import ConfigError
from gateway.rules import Action, Code


class Recycling(StrEnum):
    """How long a parser worker lives. STRICT: one message; no process that outlives a message has seen it."""

    STRICT = "strict"
    FAST = "fast"


class ListenerKind(StrEnum):
    MX = "mx"
    IMPLICIT_TLS = "implicit-tls"
    SUBMISSION = "submission"


class _Section(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    pass


Port = Annotated[int, Meta(ge=0, le=65535)]


class Company(_Section, frozen=True):
    name: Annotated[str, Meta(description="how customers know the company")] = "Acme"
    tenant: Annotated[str, Meta(description="bound into every stamp; never change it", pattern="^[a-z0-9-]{1,40}$")] = (
        "main"
    )
    privacy_url: Annotated[str, Meta(description="where customers read what is kept and why; shown in notices")] = ""


class Store(_Section, frozen=True):
    url: Annotated[
        str, Meta(description="sqlite:///FILE, or postgresql://USER@HOST/NAME (without USER: that in PGUSER)")
    ] = "sqlite:///var/vestibule.db"
    password_file: Annotated[str, Meta(description="file with the database password of this role, if it needs one")] = (
        ""
    )


class Keys(_Section, frozen=True):
    folder: Annotated[str, Meta(description="keys, one folder per role; mount only what a role may have")] = "keys"


class Mailbox(_Section, frozen=True):
    name: Annotated[str, Meta(description="short name, unique", pattern="^[a-z0-9-]{1,40}$")]
    address: Annotated[str, Meta(description="the address customers write to; replies come from it")]
    aliases: Annotated[tuple[str, ...], Meta(description="other addresses of the same mailbox")] = ()
    plus_tags: Annotated[bool, Meta(description="also take NAME+anything@DOMAIN")] = True
    queue: Annotated[str, Meta(description="the agents' queue")] = "support"
    language: Annotated[str, Meta(description="language of notices when the customer's isn't known")] = "en"
    sender_name: Annotated[str, Meta(description="display name on replies")] = ""
    signature: Annotated[str, Meta(description="text under each reply")] = ""
    encryption: Annotated[Demand, Meta(description="required: clear messages are held; preferred; none")] = (
        Demand.PREFERRED
    )
    transport: Annotated[Demand, Meta(description="required: no TLS, no entry; preferred; none")] = Demand.PREFERRED
    clear_reply: Annotated[bool, Meta(description="may a reply leave in clear when there is no certificate")] = True
    max_bytes: Annotated[int, Meta(description="largest message", ge=1024, le=limits.MESSAGE_BYTES)] = (
        limits.MESSAGE_BYTES
    )

    def terms(self) -> Terms:
        return Terms(
            mailbox=MailboxName(self.name),
            queue=self.queue,
            language=self.language,
            encryption=self.encryption,
            transport=self.transport,
            clear_reply=self.clear_reply,
            max_bytes=self.max_bytes,
        )


class Listener(_Section, frozen=True):
    kind: Annotated[ListenerKind, Meta(description="mx, implicit-tls or submission (submission asks for a login)")] = (
        ListenerKind.MX
    )
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port; 0 picks a free one")] = 2525
    starttls: Annotated[Demand, Meta(description="required, preferred (offered) or none; mx and submission only")] = (
        Demand.PREFERRED
    )
    certificate_file: Annotated[str, Meta(description="PEM chain; reloaded when it changes")] = ""
    key_file: Annotated[str, Meta(description="PEM key of the certificate")] = ""
    client_ca_file: Annotated[str, Meta(description="CA of client certificates, for trusted hops")] = ""
    users_file: Annotated[str, Meta(description="submission logins: NAME:ARGON2-HASH a line")] = ""


class TrustedHop(_Section, frozen=True):
    """One of the company's own relays. Exactly one kind of proof; a shared cloud's address range is none."""

    name: Annotated[str, Meta(description="short name, for the audit", pattern="^[a-z0-9-]{1,40}$")]
    address: Annotated[str, Meta(description="its exact IP address")] = ""
    certificate_sha256: Annotated[str, Meta(description="SHA-256 of its client certificate, hexadecimal")] = ""
    header: Annotated[str, Meta(description="header in which it sends a secret")] = ""
    secret_file: Annotated[str, Meta(description="file with that secret: the current one, below it the previous")] = ""
    inside: Annotated[
        tuple[str, ...], Meta(description="its inner servers' addresses or networks, passed over in its trace")
    ] = ()


class Dns(_Section, frozen=True):
    servers: Annotated[tuple[str, ...], Meta(description="resolvers; empty: the system's")] = ()
    port: Annotated[Port, Meta(description="their port")] = 53


class Smarthost(_Section, frozen=True):
    host: Annotated[str, Meta(description="relay for replies; empty: straight to the recipients' MX")] = ""
    port: Annotated[Port, Meta(description="its port")] = 587
    tls: Annotated[str, Meta(description="starttls, implicit, or none (loopback only)")] = "starttls"
    ca_file: Annotated[str, Meta(description="CA to trust beside the system's")] = ""
    login: Annotated[str, Meta(description="user name")] = ""
    password_file: Annotated[str, Meta(description="file with its password")] = ""


class Dkim(_Section, frozen=True):
    domain: Annotated[str, Meta(description="d= of our signature; empty: don't sign")] = ""
    selector: Annotated[str, Meta(description="s= of our signature")] = "vestibule"
    key_file: Annotated[str, Meta(description="PEM key, RSA of 2048 bits or Ed25519")] = ""


class Sending(_Section, frozen=True):
    smarthost: Smarthost = field(default_factory=Smarthost)
    dkim: Dkim = field(default_factory=Dkim)
    transport: Annotated[Demand, Meta(description="TLS towards the next server")] = Demand.REQUIRED


class EdgeLimits(_Section, frozen=True):
    connections: Annotated[int, Meta(description="open at once", ge=1)] = limits.CONNECTIONS
    connections_per_peer: Annotated[int, Meta(description="of one address", ge=1)] = limits.CONNECTIONS_PER_PEER
    messages_per_peer_hour: Annotated[int, Meta(description="of one address", ge=1)] = 1_000
    messages_per_sender_hour: Annotated[int, Meta(description="of one envelope sender", ge=1)] = 200


class Edge(_Section, frozen=True):
    hostname: Annotated[str, Meta(description="our name in the greeting and in trace headers")] = "localhost"
    listeners: Annotated[tuple[Listener, ...], Meta(description="where mail comes in")] = (Listener(),)
    trusted_hops: Annotated[tuple[TrustedHop, ...], Meta(description="our own relays in front of us")] = ()
    dns: Dns = field(default_factory=Dns)
    limits: EdgeLimits = field(default_factory=EdgeLimits)


class Inspector(_Section, frozen=True):
    workers: Annotated[int, Meta(description="messages worked on at once", ge=1, le=64)] = 2
    recycling: Annotated[Recycling, Meta(description="strict: a process per message; fast: a few messages each")] = (
        Recycling.STRICT
    )
    held_hours: Annotated[float, Meta(description="how long a held message waits for a reviewer", gt=0)] = (
        limits.HELD_SECONDS / 3600
    )
    spool_key_seconds: Annotated[float, Meta(description="how often the spool's key is replaced", ge=1)] = 600.0


class Desk(_Section, frozen=True):
    host: Annotated[str, Meta(description="address to listen on")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="TCP port; 0 picks a free one")] = 8443
    public_url: Annotated[str, Meta(description="the console's address as agents see it")] = ""
    certificate_file: Annotated[str, Meta(description="PEM chain; empty: plain HTTP, on loopback only")] = ""
    key_file: Annotated[str, Meta(description="PEM key")] = ""


class Metrics(_Section, frozen=True):
    host: Annotated[str, Meta(description="address for /metrics and /healthz")] = "127.0.0.1"
    edge_port: Annotated[int, Meta(description="edge's port, such as 9464; -1: off", ge=-1, le=65535)] = -1
    desk_port: Annotated[int, Meta(description="desk's port, such as 9465; -1: off", ge=-1, le=65535)] = -1


class Notices(_Section, frozen=True):
    first_contact: Annotated[bool, Meta(description="tell new customers what happens with their message")] = True
    held: Annotated[bool, Meta(description="tell customers that a message waits for a person")] = True
    refused: Annotated[bool, Meta(description="tell customers that a message was refused after it was taken")] = False


class PolicySection(_Section, frozen=True):
    version: Annotated[int, Meta(description="raise it with each change of the actions", ge=1)] = 1
    actions: Annotated[
        dict[str, str], Meta(description='what is done about a finding: "tls.absent" = "accept|hold|defer|reject"')
    ] = field(default_factory=dict)

    def by_code(self) -> dict[Code, Action]:
        return {Code(code): Action[action.upper()] for code, action in self.actions.items()}


class Config(_Section, frozen=True):
    company: Company = field(default_factory=Company)
    store: Store = field(default_factory=Store)
    keys: Keys = field(default_factory=Keys)
    mailboxes: tuple[Mailbox, ...] = ()
    edge: Edge = field(default_factory=Edge)
    sending: Sending = field(default_factory=Sending)
    inspector: Inspector = field(default_factory=Inspector)
    desk: Desk = field(default_factory=Desk)
    metrics: Metrics = field(default_factory=Metrics)
    notices: Notices = field(default_factory=Notices)
    policy: PolicySection = field(default_factory=PolicySection)
    base: str = ""

    def path(self, name: str) -> Path:
        """A file or folder of the configuration; relative ones stand beside the configuration file."""
        return Path(self.base) / name

    @property
    def keys_folder(self) -> Path:
        return self.path(self.keys.folder)

    @property
    def store_url(self) -> str:
        """SQLAlchemy's form, with the SQLite file's path made absolute, or with the password from its file: not to be
        shown. Without a user, PostgreSQL's client takes PGUSER's. Raises ConfigError."""
        url = self.store.url
        if url.startswith("sqlite:///"):
            return "sqlite:///" + str(self.path(url.removeprefix("sqlite:///")).absolute())
        driver, rest = "postgresql+psycopg://", url.removeprefix("postgresql://")
        if rest == url or not self.store.password_file:
            return url.replace("postgresql://", driver, 1)
        try:
            password = self.path(self.store.password_file).read_text("utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError):
            raise ConfigError("store.password_file", "can't be read") from None
        server, slash, name = rest.partition("/")
        user, _, host = server.rpartition("@")
        return f"{driver}{user.partition(':')[0]}:{quote(password, safe='')}@{host}{slash}{name}"


def load(file: Path) -> Config:
    """Reads and checks. Raises ConfigError with the field, the problem and the way out."""
    try:
        data = tomllib.loads(file.read_text("utf-8"))
    except OSError:
        raise ConfigError(str(file), "can't be read", "make one with `vestibule init`") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), "isn't TOML", str(error)) from None
    return build(data, base=file.parent.absolute())


def build(data: dict[str, Any], *, base: Path) -> Config:
    """From a parsed TOML document. Raises ConfigError."""
    try:
        config = msgspec.convert({**data, "base": str(base)}, Config, strict=True)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at ")
        raise ConfigError(where.strip("`$.") or "the file", problem) from None
    _consistent(config)
    return config


def _consistent(config: Config) -> None:
    names: set[str] = set()
    addresses: set[str] = set()
    for box in config.mailboxes:
        if box.name in names:
            raise ConfigError("mailboxes.name", f"{box.name} stands twice", "names are unique")
        names.add(box.name)
        for address in (box.address, *box.aliases):
            if address.count("@") != 1 or address.startswith("@") or address.endswith("@"):
                raise ConfigError(f"mailboxes.{box.name}", "an address isn't NAME@DOMAIN")
            if address.lower() in addresses:
                raise ConfigError(f"mailboxes.{box.name}", "an address belongs to two mailboxes")
            addresses.add(address.lower())
    for hop in config.edge.trusted_hops:
        proofs = [bool(hop.address), bool(hop.certificate_sha256), bool(hop.header and hop.secret_file)]
        if sum(proofs) != 1:
            raise ConfigError(
                f"edge.trusted_hops.{hop.name}", "needs exactly one proof",
                "address, certificate_sha256, or header with secret_file",
            )  # fmt: skip
        if hop.address:
            try:
                ipaddress.ip_address(hop.address)
            except ValueError:
                raise ConfigError(
                    f"edge.trusted_hops.{hop.name}.address", "isn't one exact IP address",
                    "a range is no proof: others send from a shared cloud too",
                ) from None  # fmt: skip
    for listener in config.edge.listeners:
        where = f"edge.listeners.{listener.port}"
        needs_tls = listener.kind is ListenerKind.IMPLICIT_TLS or listener.starttls is not Demand.NONE
        if needs_tls and not (listener.certificate_file and listener.key_file):
            raise ConfigError(where, "needs certificate_file and key_file", 'or starttls = "none"')
        if listener.kind is ListenerKind.SUBMISSION and not listener.users_file:
            raise ConfigError(where, "submission needs users_file")
        if listener.kind is ListenerKind.SUBMISSION and listener.starttls is not Demand.REQUIRED:
            raise ConfigError(where, "submission needs starttls = 'required'", "passwords must not travel in clear")
    if config.sending.smarthost.tls not in ("starttls", "implicit", "none"):
        raise ConfigError("sending.smarthost.tls", "is neither starttls, implicit nor none")
    for code, action in config.policy.actions.items():
        if action.upper() not in Action.__members__:
            raise ConfigError(f"policy.actions.{code}", "isn't an action", "accept, hold, defer or reject")
    if not config.desk.certificate_file and config.desk.host not in ("127.0.0.1", "::1", "localhost"):
        raise ConfigError("desk.certificate_file", "is missing", "without TLS the desk listens on loopback only")

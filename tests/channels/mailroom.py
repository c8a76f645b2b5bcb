"""What the channel tests share: a running email channel, a raw client, throwaway certificates."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from channels.contract import (
    Address,
    Answer,
    Authentication,
    Inbound,
    MailboxName,
    Pace,
    Terms,
    Verdict,
)
from channels.email.facts import NoAuthenticator
from channels.email.hops import Hop
from channels.email.settings import Limits, Listen, SmtpConfig
from channels.email.smtp_in import EmailChannel
from channels.keyed import Keyed
from gateway.config import EdgeLimits
from gateway.email_settings import smtp_limits
from keys.secret import Secret

SUPPORT = Address("support@acme.example")
BILLING = Address("billing@acme.example")
ACCEPTED = Answer(verdict=Verdict.ACCEPTED, says="Queued", status="0.0", wire_id="01ROW")
MESSAGE = (
    b"From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: hello\r\n"
    b"Message-ID: <1@example.org>\r\n\r\nWhere is my order?\r\n"
)
LIMITS = replace(smtp_limits(EdgeLimits()), greeting_seconds=0.0)


class Boxes:
    """support@ and billing@acme.example, with plus-tags."""

    def terms(self, recipient: Address, /) -> Terms | None:
        local, _, domain = recipient.lower().partition("@")
        name = local.partition("+")[0]
        if domain != "acme.example" or name not in ("support", "billing", "postmaster"):
            return None
        name = "support" if name == "postmaster" else name
        return Terms(mailbox=MailboxName(name), queue=name, language="en")


class Still:
    """No pace, nothing seen."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []

    async def note(self, *, peer: str, sender: str) -> Pace:
        self.noted.append((peer, sender))
        return Pace(by_peer=len(self.noted))

    async def elsewhere(self, *, body_key: bytes, sender: str) -> int:
        return 0


@dataclass
class Recorder:
    """An intake that keeps what it gets."""

    answer: Answer = ACCEPTED
    got: list[Inbound] = field(default_factory=list)
    before: Callable[[], Awaitable[None]] | None = None

    async def __call__(self, message: Inbound, /) -> Answer:
        if self.before is not None:
            await self.before()
        self.got.append(message)
        return self.answer


@dataclass
class Running:
    channel: EmailChannel
    intake: Recorder
    task: asyncio.Task[None]
    faults: list[BaseException]
    paces: Still

    @property
    def port(self) -> int:
        return self.channel.ports[0]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.wait([self.task])


@asynccontextmanager
async def running(
    *listeners: Listen,
    limits: Limits = LIMITS,
    hops: Sequence[Hop] = (),
    intake: Any = None,
    authenticator: Any = None,
    paces: Any = None,
) -> AsyncIterator[Running]:
    faults: list[BaseException] = []
    ids = count(1)
    still = paces or Still()
    channel = EmailChannel(
        SmtpConfig(
            hostname="mx.acme.example", domains=frozenset(["acme.example"]), listeners=listeners or (Listen(),),
            limits=limits, hops=tuple(hops),
        ),
        directory=Boxes(), authenticator=authenticator or NoAuthenticator(), paces=still, seen=still,
        keyed=Keyed(Secret(b"k" * 32)), new_id=lambda: f"wire-{next(ids)}", on_fault=faults.append,
    )  # fmt: skip
    recorder = intake if intake is not None else Recorder()
    task = asyncio.create_task(channel.serve(recorder))
    started = asyncio.create_task(channel.started.wait())
    await asyncio.wait([task, started], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    run = Running(channel, recorder, task, faults, still)
    try:
        yield run
    finally:
        await run.stop()


class Peer:
    """A client that sends exactly the bytes it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None, greet: bool = True) -> Peer:
        extra: dict[str, Any] = {"ssl": tls, "server_hostname": "mx.acme.example"} if tls else {}
        peer = cls(*await asyncio.open_connection("127.0.0.1", port, **extra))
        if greet:
            assert (await peer.reply())[:4] == "220 "
        return peer

    async def reply(self, seconds: float = 10.0) -> str:
        """The next reply, its lines joined by a line break; "" when the connection is closed."""
        lines = []
        async with asyncio.timeout(seconds):
            while True:
                try:
                    line = (await self.reader.readline()).decode()
                except ConnectionError:
                    line = ""
                lines.append(line.rstrip("\r\n"))
                if line[3:4] != "-":
                    return "\n".join(lines)

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    async def ask(self, command: bytes | str) -> str:
        self.send(command + (b"\r\n" if isinstance(command, bytes) else "\r\n"))  # type: ignore[operator]
        return await self.reply()

    async def hello(self) -> str:
        return await self.ask("EHLO client.example.org")

    async def envelope(self, sender: str = "alice@example.org", recipient: str = SUPPORT) -> None:
        assert (await self.ask(f"MAIL FROM:<{sender}>"))[:3] == "250"
        assert (await self.ask(f"RCPT TO:<{recipient}>"))[:3] == "250"

    async def deliver(self, message: bytes = MESSAGE, **envelope: str) -> str:
        """One message; the reply to its final dot."""
        await self.envelope(**envelope)
        assert (await self.ask("DATA"))[:3] == "354"
        self.send(message + b".\r\n")
        return await self.reply()

    async def starttls(self, context: ssl.SSLContext) -> None:
        assert (await self.ask("STARTTLS"))[:3] == "220"
        await self.writer.start_tls(context, server_hostname="mx.acme.example")

    async def closed(self, seconds: float = 5.0) -> bytes:
        """What still comes before the other side closes."""
        async with asyncio.timeout(seconds):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError):
            pass


@asynccontextmanager
async def peer(run: Running | int, *, hello: bool = True, **options: Any) -> AsyncIterator[Peer]:
    client = await Peer.connect(run if isinstance(run, int) else run.port, **options)
    try:
        if hello:
            await client.hello()
        yield client
    finally:
        await client.close()


@dataclass(frozen=True)
class Certificate:
    """A throwaway self-signed certificate, which is its own authority."""

    certificate: Path
    key: Path
    sha256: str

    @classmethod
    def make(cls, folder: Path, name: str) -> Certificate:
        private = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.now(UTC)
        names = [x509.DNSName(name), x509.IPAddress(ip_address("127.0.0.1"))]
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(subject)
            .public_key(private.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=30))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(private, hashes.SHA256())
        )
        stem = os.urandom(4).hex()
        files = folder / f"{stem}.pem", folder / f"{stem}.key"
        files[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            private.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return cls(*files, made.fingerprint(hashes.SHA256()).hex())

    def trusting(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.check_hostname = True
        return context


class Slow:
    """An authenticator that never comes back."""

    async def authenticate(self, **_: object) -> Authentication:
        await asyncio.sleep(3600)
        return Authentication()


class Broken:
    async def authenticate(self, **_: object) -> Authentication:
        raise RuntimeError("4111 1111 1111 1111")

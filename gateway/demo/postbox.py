"""The customers' mail server: takes what the gateway sends, over STARTTLS, and hands it on."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True, slots=True)
class Arrived:
    """`raw` with CRLF line ends; `tls` is the protocol's version."""

    to: str
    tls: str
    raw: bytes = field(repr=False)


class _Handler:
    def __init__(self, take: Callable[[Arrived], None]) -> None:
        self._take = take

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.original_content or b""
        tls = session.ssl["ssl_object"].version() if session.ssl else "none"
        for recipient in envelope.rcpt_tos:
            self._take(Arrived(recipient, tls, content))
        return "250 2.0.0 Thank you"


async def serve(certificate: Path, key: Path, take: Callable[[Arrived], None]) -> tuple[asyncio.Server, int]:
    """The server, and its port on 127.0.0.1."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(_Handler(take), tls_context=context, require_starttls=True, hostname="mail.example.org", ident=""),
        "127.0.0.1",
        0,
    )
    return server, server.sockets[0].getsockname()[1]

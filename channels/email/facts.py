"""From a delivery to an `Inbound`: facts only.

Rules:
1. Whatever can't be established in time is "temperror"; it is never guessed and never waited for beyond its budget.
2. The dedupe key covers envelope and content, but not what differs between two deliveries of one message: trace
   headers that relays put on top (RFC 5321, section 4.4; RFC 8601) and look-up results. DKIM and ARC signatures do
   count: a copy without them is another message. Else somebody who knows a message could send a bare copy first, and
   the genuine, signed one would be taken for its repeat.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from channels.contract import Address, Authentication, Envelope, HopName, Result, Terms, ThreadKey
from channels.email.headers import Block

_TRACE: Final = frozenset(
    ("received", "return-path", "delivered-to", "authentication-results", "received-spf", "x-received",
     "x-original-to", "x-envelope-from", "x-envelope-to", "x-originating-ip", "x-virus-scanned")
)  # fmt: skip
_TRACE_PREFIXES: Final = ("x-spam-", "x-ms-exchange-", "x-google-", "x-forefront-")
_MESSAGE_ID: Final = re.compile(rb"<([^<>\s]{1,250})>")

UNKNOWN: Final = Authentication(spf=Result.TEMPERROR, arc=Result.TEMPERROR, dmarc=Result.TEMPERROR)
"""When nothing could be established."""


class Authenticator(Protocol):
    """Who sent it, by SPF, DKIM, ARC and DMARC. `peer` is the address that handed it in, None if that isn't known;
    `deadline` is a time of the running loop's clock."""

    async def authenticate(
        self, *, raw: bytes, peer: str | None, helo: str, mail_from: str | None, deadline: float
    ) -> Authentication: ...


class NoAuthenticator:
    """Establishes nothing; for listeners where a login stands for the sender, and for tests."""

    async def authenticate(
        self, *, raw: bytes, peer: str | None, helo: str, mail_from: str | None, deadline: float
    ) -> Authentication:
        return Authentication()


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Who handed the message over, as it is judged. Behind trusted hops `peer` and `helo` are those of the last
    untrusted one, and `tls` is None if any stretch of the way was in clear."""

    tls: str | None
    cipher: str | None = None
    peer: str | None = None
    helo: str = ""
    login: str | None = None
    hops: tuple[HopName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a session took: complete, unstuffed, CRLF line ends only. `certificate` is the SHA-256 of the client's
    certificate in lower-case hexadecimal, "" for none."""

    source: Source
    certificate: str
    envelope: Envelope
    terms: Terms
    raw: bytes = field(repr=False)


async def authentication(
    authenticator: Authenticator, *, raw: bytes, source: Source, mail_from: Address | None, seconds: float
) -> Authentication:
    """Within `seconds`; never raises but for cancelling."""
    if source.login is not None:
        return Authentication()
    deadline = asyncio.get_running_loop().time() + seconds
    try:
        async with asyncio.timeout_at(deadline):
            return await authenticator.authenticate(
                raw=raw, peer=source.peer, helo=source.helo, mail_from=mail_from, deadline=deadline
            )
    except Exception:  # noqa: BLE001 - a fact that can't be had is "temperror"; the layers judge that
        return UNKNOWN


def thread(head: Block) -> ThreadKey | None:
    """Names the exchange that a message says it belongs to, by the oldest Message-ID it refers to (RFC 5322, section
    3.6.4). Opaque: a hash, for the Message-ID is the sender's text."""
    for name in ("references", "in-reply-to"):
        found = head.first(name)
        match = None if found is None else _MESSAGE_ID.search(found.value)
        if match is not None:
            return ThreadKey(hashlib.sha256(match[1]).hexdigest()[:32])
    return None


def standing(source: Source, authentication: Authentication) -> str:
    """What its author is known by: a login, or DMARC's pass. Else the network that it came from, which is a /24, or a
    /48 of IPv6: so much is one operator's, who can send in anybody's name."""
    if source.login is not None:
        return f"login {source.login}"
    if authentication.dmarc is Result.PASS:
        return "author"
    try:
        peer = ipaddress.ip_address(source.peer or "")
    except ValueError:
        return "nowhere"
    return f"network {ipaddress.ip_network((peer, 24 if peer.version == 4 else 48), strict=False)}"


def identity(envelope: Envelope, terms: Terms, head: Block, raw: bytes) -> Iterator[bytes | memoryview]:
    """What makes a message this one: see rule 2. All of the body, for its key is the same for different ones."""
    yield (envelope.mail_from or "").encode()
    yield terms.mailbox.encode()
    yield b"\n".join(sorted(recipient.lower().encode() for recipient in envelope.rcpt_to))
    kept = (
        raw[field.start : field.end]
        for field in head.fields
        if field.name not in _TRACE and not field.name.startswith(_TRACE_PREFIXES)
    )
    yield b"".join(kept)
    yield memoryview(raw)[head.body :]

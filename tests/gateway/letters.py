"""Letters for the tests of opening and checks: how they come in, and who opens them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from channels.contract import (
    Address,
    Authentication,
    ChannelName,
    Envelope,
    Inbound,
    MailboxName,
    Pace,
    Proof,
    Result,
    Terms,
    Transport,
    WireId,
)  # fmt: skip
from gateway.envelope import Opener
from gateway.opened import Opened
from gateway.opening import open_inbound
from keys.errors import MissingKey
from keys.gnupg import GnuPG
from keys.openpgp import Fingerprint, Sealed, SignatureStatus, Unsealed, Verification
from keys.secret import Secret
from keys.testing import House

HEAD = (
    "From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: Order 17\r\n"
    "Date: Wed, 25 Nov 2026 09:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
)


def inbound(raw: bytes, **changes: Any) -> Inbound:
    """A letter from alice to support, over TLS, authenticated, unless changed."""
    letter = Inbound(
        channel=ChannelName("email"),
        wire_id=WireId("1"),
        sender=Address("alice@example.org"),
        thread=None,
        received_at=datetime(2026, 11, 25, 9, tzinfo=UTC),
        transport=Transport(tls="TLSv1.3", peer="192.0.2.1", proof=Proof.NONE),
        envelope=Envelope(mail_from=Address("alice@example.org"), rcpt_to=(Address("support@acme.example"),)),
        authentication=Authentication(
            spf=Result.PASS, dmarc=Result.PASS, dmarc_domain="example.org", author_domain="example.org"
        ),
        terms=Terms(mailbox=MailboxName("support"), queue="support", language="en"),
        pace=Pace(),
        dedupe_key=bytes(32),
        lane=bytes(32),
        raw=Secret(raw),
    )
    return replace(letter, **changes)


def letter(body: str, content: str = "text/plain; charset=utf-8", *, head: str = HEAD, extra: str = "") -> bytes:
    """Alice's message with this body; "\\n" become CRLF."""
    text = f"{head}{extra}Content-Type: {content}\n\n{body}"
    return text.replace("\r\n", "\n").replace("\n", "\r\n").encode()


async def opened(raw: bytes, opener: Opener | None = None, **changes: Any) -> Opened:
    return await open_inbound(inbound(raw, **changes), opener or NoKeys())


class NoKeys:
    """An opener without any key: nothing opens, no signer is known."""

    async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed:
        raise MissingKey

    async def verify(
        self, signed: Secret[bytes], signature: bytes | None, /, *, max_bytes: int, seconds: float
    ) -> Unsealed:
        unknown = Verification(
            status=SignatureStatus.UNKNOWN_KEY, signing_key=None, primary_key=None, signed_at=None
        )  # fmt: skip
        return Unsealed(plaintext=signed if signature is not None else Secret(b""), verifications=(unknown,))

    async def bound(self, address: str, /) -> tuple[Fingerprint, ...]:
        return ()

    async def signers(self, fingerprint: Fingerprint, /) -> tuple[str, ...]:
        return ()


@dataclass
class HouseOpener:
    """Real gpg behind the opener's contract; `directory` is what the directory binds."""

    house: House
    directory: Mapping[str, tuple[Fingerprint, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._engine = GnuPG(self.house.gpg)
        self.directory = self.directory or {
            self.house.people[name].address: (self.house.people[name].fingerprint,) for name in ("alice", "bob")
        }

    async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed:
        return await self._engine.open(sealed, max_bytes=max_bytes, seconds=seconds)

    async def verify(
        self, signed: Secret[bytes], signature: bytes | None, /, *, max_bytes: int, seconds: float
    ) -> Unsealed:
        return await self._engine.verify(signed, signature, max_bytes=max_bytes, seconds=seconds)

    async def bound(self, address: str, /) -> tuple[Fingerprint, ...]:
        return self.directory.get(address, ())

    async def signers(self, fingerprint: Fingerprint, /) -> tuple[str, ...]:
        return tuple(sorted(address for address, bound in self.directory.items() if fingerprint in bound))


def corpus(name: str) -> Path:
    """A folder of third-party test data, beside the repository; the test is skipped where it is absent."""
    base = os.environ.get("VESTIBULE_TESTDATA", "")
    folder = (Path(base) if base else Path(__file__).parents[3] / "shared" / "testdata" / "email") / name
    if not folder.is_dir():
        pytest.skip(f"test data {name} is not here")
    return folder


def messages(name: str) -> list[Path]:
    """The messages of a folder of test data."""
    return sorted(
        path
        for path in corpus(name).rglob("*")
        if path.suffix in (".eml", ".msg", ".mbox", ".txt") and path.name not in ("SOURCE.txt", "LICENSE.txt")
        and "_decoded" not in path.name
    )  # fmt: skip

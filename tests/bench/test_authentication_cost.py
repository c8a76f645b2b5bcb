"""What sender authentication costs in CPU, with look-ups answered from memory, beside the bare library."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from channels.contract import Result
from channels.email.authentication import Authenticator
from channels.email.dkim_sign import Signer
from channels.email.zone import ZoneResolver

pytestmark = pytest.mark.bench

AT = datetime(2024, 1, 1, tzinfo=UTC)
SIGNER = Signer("example.org", "s", generate_private_key(65_537, 2_048))
ZONE = ZoneResolver(
    {
        "example.org": "v=spf1 include:a.example.org include:b.example.org ip4:192.0.2.1 -all",
        "a.example.org": "v=spf1 ip4:198.51.100.0/24 ~all",
        "b.example.org": "v=spf1 ip4:203.0.113.0/24 ~all",
        "s._domainkey.example.org": SIGNER.record(),
        "_dmarc.example.org": "v=DMARC1; p=reject",
    }
)
HEAD = (
    b"From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: Hello\r\n"
    b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\n"
)


def _message(size: int) -> bytes:
    raw = HEAD + b"The quick brown  fox jumps over the lazy dog. \r\n" * (size // 48)
    return SIGNER.sign(raw, now=int(AT.timestamp())) + raw


async def _seconds(job: Callable[[], Awaitable[object]], rounds: int) -> float:
    started = time.process_time()
    for _ in range(rounds):
        await job()
    return (time.process_time() - started) / rounds


@pytest.mark.parametrize(("size", "rounds"), [(4_000, 300), (100_000, 100), (1_000_000, 20)])
async def test_all_checks_over_a_signed_message(size: int, rounds: int) -> None:
    raw = _message(size)
    authenticator = Authenticator(ZONE, now=lambda: AT)

    async def ours() -> None:
        found = await authenticator.authenticate(
            raw=raw, peer="192.0.2.1", helo="mx.example.org", mail_from="alice@example.org"
        )
        assert found.dmarc is Result.PASS

    async def bare() -> None:
        assert dkimpy.verify(raw, dnsfunc=lambda *_, **__: SIGNER.record().encode())

    all_checks, only_dkim = await _seconds(ours, rounds), await _seconds(bare, max(rounds // 5, 5))
    print(f"\n{size:>9} bytes: all checks {all_checks * 1e6:8.0f} us; dkimpy's DKIM alone {only_dkim * 1e6:8.0f} us")
    assert all_checks < only_dkim * 2

"""Explaining: the gateway's own way, with nothing stored; every message gets an answer."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from channels.contract import (
    Address,
    Authentication,
    ChannelName,
    Demand,
    Envelope,
    Inbound,
    MailboxName,
    Pace,
    Terms,
    Transport,
    WireId,
)
from gateway import checks
from gateway.explaining import Examination, Examiner, examine
from gateway.policy import Policy
from gateway.rules import Action, Code
from keys.secret import Secret
from keys.testing import encrypted, identities


def inbound(raw: bytes, **terms: object) -> Inbound:
    alice, support = Address("alice@example.org"), Address("support@acme.example")
    return Inbound(
        channel=ChannelName("email"), wire_id=WireId("1"), sender=alice, thread=None,
        received_at=datetime(2026, 11, 25, tzinfo=UTC), transport=Transport(tls="TLSv1.3", peer="192.0.2.1"),
        envelope=Envelope(mail_from=alice, rcpt_to=(support,)), authentication=Authentication(),
        terms=replace(Terms(mailbox=MailboxName("support"), queue="support", language="en"), **terms),  # type: ignore[arg-type]
        pace=Pace(), dedupe_key=bytes(32), lane=bytes(32), raw=Secret(raw),
    )  # fmt: skip


HEAD = b"From: alice@example.org\r\nTo: support@acme.example\r\nSubject: Hi\r\n"
CLEAR = HEAD + b"\r\nMy card is 4111 1111 1111 1111\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def examiner() -> AsyncIterator[Examiner]:
    async with Examiner(checks.ADMISSION, Policy(), secret_keys=[identities()["support"].secret]) as started:
        yield started


def codes(examination: Examination, layer: str = "") -> list[str]:
    return [one.code for one in examination.findings if not layer or one.layer == layer]


@pytest.mark.asyncio(loop_scope="module")
async def test_it_says_what_an_agent_would_see(examiner: Examiner) -> None:
    found = await examiner.examine(inbound(CLEAR))
    assert found.decision.action is Action.ACCEPT
    assert found.sanitized is not None
    assert found.sanitized.text == "My card is [card ···· 1111]"
    assert found.sanitized.redactions == {"card": 1}
    assert codes(found, "inspection") == ["encryption.clear", "auth.unproven"]
    assert found.explanation is not None
    assert [part.media_type for part in found.explanation.parts] == ["text/plain"]


@pytest.mark.asyncio(loop_scope="module")
async def test_it_opens_what_is_encrypted_to_us(examiner: Examiner) -> None:
    sealed = encrypted(b"Content-Type: text/plain\r\n\r\nsecret\r\n", to=[identities()["support"].certificate])
    raw = (
        HEAD + b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=b\r\n\r\n'
        b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n--b\r\n"
        b"Content-Type: application/octet-stream\r\n\r\n" + sealed + b"\r\n--b--\r\n"
    )
    found = await examiner.examine(inbound(raw))
    assert found.explanation is not None
    assert found.explanation.encrypted == "full"
    assert found.sanitized is not None
    assert found.sanitized.text == "secret"


@pytest.mark.asyncio(loop_scope="module")
async def test_what_admission_refuses_is_looked_into_all_the_same(examiner: Examiner) -> None:
    found = await examiner.examine(replace(inbound(CLEAR, transport=Demand.REQUIRED), transport=Transport(tls=None)))
    assert found.decision.action is Action.REJECT
    assert found.admission.action is Action.REJECT
    assert codes(found, "admission") == ["tls.absent"]
    assert "encryption.clear" in codes(found, "inspection")


@pytest.mark.asyncio(loop_scope="module")
async def test_hostile_files_get_a_decision_and_never_an_exception(examiner: Examiner) -> None:
    hostile = [
        b"", b"\0" * 1000, os.urandom(5_000), b"From: " + b"a," * 100_000 + b"\r\n\r\nx", b"\r\n" * 10_000,
        HEAD + b"Content-Type: multipart/mixed; boundary=a\r\n\r\n" + b"--a\r\n\r\nx\r\n" * 5_000,
        HEAD + b"\r\n-----BEGIN PGP MESSAGE-----\r\n\r\n" + b"A" * 100_000 + b"\r\n-----END PGP MESSAGE-----\r\n",
    ]  # fmt: skip
    for raw in hostile:
        started = time.monotonic()
        found = await examiner.examine(inbound(raw))
        assert found.decision.action in Action
        assert time.monotonic() - started < 10


async def test_the_policys_actions_are_in_force() -> None:
    policy = Policy(actions={Code("auth.unproven"): Action.HOLD})
    found = await examine(inbound(CLEAR), checks.ADMISSION, policy, keys_folder=None)
    assert found.decision.action is Action.HOLD
    assert found.sanitized is None
    assert next(one.action for one in found.findings if one.code == "auth.unproven") is Action.HOLD


async def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    await examine(inbound(CLEAR), checks.ADMISSION, Policy(), keys_folder=None)
    assert list(tmp_path.iterdir()) == []

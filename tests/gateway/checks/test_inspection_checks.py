"""INSPECTION: what each fact of an opened message leads to."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from letters import inbound, letter, opened

from channels.contract import Address, Authentication, Demand, DkimResult, Result
from gateway.checks import ADMISSION, INSPECTION
from gateway.checks.active import BY_ACTIVE
from gateway.checks.structure import BY_ODDITY
from gateway.opened import (
    Active,
    Covers,
    Failure,
    Oddity,
    Opened,
    Part,
    Protection,
    Signature,
    SignerStatus,
)
from gateway.rules import Action
from keys.openpgp import SignatureStatus


async def an_ordinary(**changes: Any) -> Opened:
    return replace(await opened(letter("x")), **changes)


async def judged(message: Opened) -> tuple[Action, set[str]]:
    decision = await INSPECTION.judge(message)
    return decision.action, {finding.rule.code for finding in decision.findings} - {"encryption.clear"}


def under(message: Opened, encryption: Demand) -> Opened:
    terms = replace(message.inbound.terms, encryption=encryption)
    return replace(message, inbound=replace(message.inbound, terms=terms))


async def test_an_ordinary_message_passes() -> None:
    assert await judged(await an_ordinary()) == (Action.ACCEPT, set())


@pytest.mark.parametrize(
    ("demand", "protection", "action", "code"),
    [
        (Demand.REQUIRED, Protection.NONE, Action.HOLD, "encryption.absent"),
        (Demand.REQUIRED, Protection.PARTIAL, Action.HOLD, "encryption.absent"),
        (Demand.REQUIRED, Protection.FULL, Action.ACCEPT, None),
        (Demand.PREFERRED, Protection.NONE, Action.ACCEPT, "encryption.clear"),
        (Demand.PREFERRED, Protection.PARTIAL, Action.ACCEPT, "encryption.partial"),
        (Demand.NONE, Protection.NONE, Action.ACCEPT, None),
    ],
)
async def test_encryption_is_demanded_by_the_mailbox(
    demand: Demand, protection: Protection, action: Action, code: str | None
) -> None:
    decision = await INSPECTION.judge(under(await an_ordinary(protection=protection), demand))
    codes = {finding.rule.code for finding in decision.findings}
    assert decision.action is action
    assert (code in codes) if code else not codes


async def test_clear_text_around_encrypted_text_is_held() -> None:
    shown = tuple(Part(path=str(n), media_type="text/plain", shown=True, encrypted=bool(n)) for n in (0, 1))
    message = await an_ordinary(protection=Protection.PARTIAL, parts=shown)
    assert await judged(message) == (Action.HOLD, {"encryption.mixed"})


@pytest.mark.parametrize(
    ("failure", "action", "code"),
    [
        (Failure.NO_KEY, Action.HOLD, "pgp.no-key"),
        (Failure.TAMPERED, Action.HOLD, "pgp.tampered"),
        (Failure.BAD_DATA, Action.HOLD, "pgp.failed"),
        (Failure.TOO_SLOW, Action.HOLD, "pgp.failed"),
        (Failure.TOO_LARGE, Action.HOLD, "pgp.too-large"),
        (Failure.TOO_DEEP, Action.HOLD, "pgp.too-deep"),
        (Failure.UNAVAILABLE, Action.DEFER, "pgp.unavailable"),
        (Failure.UNSUPPORTED, Action.HOLD, "crypto.unsupported"),
    ],
)
async def test_what_could_not_be_opened_does_not_pass(failure: Failure, action: Action, code: str) -> None:
    message = await an_ordinary(failures=(failure,), protection=Protection.FULL)
    assert await judged(message) == (action, {code})


@pytest.mark.parametrize(
    ("status", "action", "code"),
    [
        (SignerStatus.VERIFIED, Action.ACCEPT, None),
        (SignerStatus.BAD, Action.HOLD, "signature.bad"),
        (SignerStatus.MISMATCH, Action.HOLD, "signature.mismatch"),
        (SignerStatus.UNKNOWN_KEY, Action.ACCEPT, "signature.unknown"),
        (SignerStatus.PARTIAL, Action.ACCEPT, "signature.partial"),
        (SignerStatus.EXPIRED, Action.ACCEPT, "signature.expired"),
        (SignerStatus.EXPIRED_KEY, Action.ACCEPT, "signature.expired"),
        (SignerStatus.REVOKED_KEY, Action.HOLD, "signature.revoked"),
        (SignerStatus.WEAK, Action.ACCEPT, "signature.weak"),
        (SignerStatus.ERROR, Action.ACCEPT, "signature.error"),
    ],
)
async def test_signatures(status: SignerStatus, action: Action, code: str | None) -> None:
    signature = Signature(
        status=status, engine=SignatureStatus.GOOD, fingerprint=None, signer=None, covers=Covers.ALL
    )  # fmt: skip
    assert await judged(await an_ordinary(signatures=(signature,))) == (action, {code} if code else set())


HELD = {
    Oddity.SEVERAL_FROM, Oddity.NO_FROM, Oddity.UNREADABLE_FROM, Oddity.DUPLICATE_HEADER,
    Oddity.DUPLICATE_CONTENT_HEADER, Oddity.CONFLICTING_TRANSFER_ENCODING, Oddity.NO_BOUNDARY, Oddity.BOUNDARY_UNUSED,
    Oddity.BOUNDARY_CLASH, Oddity.ENCODED_MULTIPART, Oddity.NUL, Oddity.HEADER_BODY_GAP,
    Oddity.OUTER_INNER_FROM_DIFFER,
}  # fmt: skip


@pytest.mark.parametrize("oddity", list(Oddity))
async def test_structure(oddity: Oddity) -> None:
    action, codes = await judged(await an_ordinary(oddities=(oddity,)))
    assert codes == {f"structure.{oddity.value}"}
    assert action is (Action.HOLD if oddity in HELD else Action.ACCEPT)


async def test_what_passes_a_limit_is_held_and_the_limit_named() -> None:
    message = await opened(letter("--b\n\nx\n" * 10_000 + "--b--", "multipart/mixed; boundary=b"))
    decision = await INSPECTION.judge(message)
    assert decision.action is Action.HOLD
    assert {"limit": "parts"} in [dict(finding.evidence) for finding in decision.findings]


@pytest.mark.parametrize("active", list(Active))
async def test_active_content_is_a_remark(active: Active) -> None:
    assert await judged(await an_ordinary(active=(active,))) == (Action.ACCEPT, {f"active.{active.value}"})


@pytest.mark.parametrize(
    ("facts", "action", "codes"),
    [
        (Authentication(dmarc=Result.PASS), Action.ACCEPT, set()),
        (Authentication(dmarc=Result.FAIL, dmarc_policy="reject"), Action.HOLD, {"auth.dmarc-reject"}),
        (Authentication(dmarc=Result.FAIL, dmarc_policy="quarantine"), Action.HOLD, {"auth.dmarc-quarantine"}),
        (Authentication(dmarc=Result.FAIL, dmarc_policy="none"), Action.ACCEPT, {"auth.dmarc-fail"}),
        (Authentication(dmarc=Result.TEMPERROR), Action.HOLD, {"auth.temperror"}),
        (Authentication(dmarc=Result.NONE), Action.ACCEPT, {"auth.unproven"}),
        (Authentication(dmarc=Result.PERMERROR), Action.ACCEPT, {"auth.unproven"}),
        (Authentication(dmarc=Result.PASS, spf=Result.FAIL), Action.ACCEPT, {"auth.spf-fail"}),
        (Authentication(dmarc=Result.PASS, dkim=(DkimResult(result=Result.FAIL),)), Action.ACCEPT, {"auth.dkim-fail"}),
        (
            Authentication(dmarc=Result.PASS, dkim=(DkimResult(result=Result.FAIL), DkimResult(result=Result.PASS))),
            Action.ACCEPT,
            set(),
        ),
        (Authentication(dmarc=Result.PASS, author_domain="example.com"), Action.HOLD, {"auth.other-author"}),
        (Authentication(dmarc=Result.PASS, author_domain="example.org"), Action.ACCEPT, set()),
    ],
)
async def test_sender_authentication(facts: Authentication, action: Action, codes: set[str]) -> None:
    message = await an_ordinary(author=Address("alice@example.org"))
    message = replace(message, inbound=replace(message.inbound, authentication=facts))
    assert await judged(message) == (action, codes)


@pytest.mark.parametrize(
    ("protection", "seen", "action"),
    [
        (Protection.FULL, 1, Action.HOLD),
        (Protection.PARTIAL, 2, Action.HOLD),
        (Protection.FULL, 0, Action.ACCEPT),
        (Protection.NONE, 3, Action.ACCEPT),
    ],
)
async def test_ciphertext_that_came_from_another_before_is_held(
    protection: Protection, seen: int, action: Action
) -> None:
    message = await an_ordinary(protection=protection, inbound=inbound(letter("x"), seen_elsewhere=seen))
    got, codes = await judged(message)
    assert got is action
    assert ("replay.ciphertext" in codes) is (action is Action.HOLD)


def test_every_oddity_and_every_active_content_has_its_rule() -> None:
    assert set(BY_ODDITY) == set(Oddity)
    assert set(BY_ACTIVE) == set(Active)


def test_every_rule_has_its_words() -> None:
    rules = [rule for layer in (ADMISSION, INSPECTION) for rule in layer.rules]
    for rule in rules:
        assert re.fullmatch(r"[a-z]+\.[a-z0-9-]+", rule.code), rule.code
        assert rule.says.isascii(), rule.code
        assert rule.plain.endswith("."), rule.code
        assert re.fullmatch(r"\d\.\d{1,3}", rule.status), rule.code
    codes = [rule.code for rule in rules if rule.code != "check.failed"]
    assert len(codes) == len(set(codes))


async def test_findings_carry_nothing_of_the_message() -> None:
    message = await opened(letter("x", head="From: canary-4929@x\nFrom: canary-4929@y\n"))
    decision = await INSPECTION.judge(message)
    assert decision.action is Action.HOLD
    assert "canary" not in repr(decision)

"""The two layers at the doors: nothing readable goes in, nothing improper goes out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from messages import AT, reply, sanitized

from gateway.checks import OUTBOUND, RELEASE
from gateway.checks.tripwire import texts
from gateway.rules import Action
from gateway.sanitized import SafeAttachment, SafeText, TrustSignature
from keys.openpgp import Fingerprint

CARD = SafeText("4111 1111 1111 1111")


async def codes_in(message: Any) -> list[str]:
    decision = await RELEASE.judge(message)
    return [str(finding.rule.code) for finding in decision.findings]


async def codes_out(message: Any) -> list[str]:
    decision = await OUTBOUND.judge(message)
    return [str(finding.rule.code) for finding in decision.findings]


async def test_a_clean_message_is_released() -> None:
    assert await codes_in(sanitized()) == []


@pytest.mark.parametrize("field", ["author", "author_name", "subject", "text", "message_id", "language"])
async def test_a_value_left_in_any_field_is_a_leak(field: str) -> None:
    assert await codes_in(sanitized(**{field: CARD})) == ["release.leak"]


@pytest.mark.parametrize(
    "changes",
    [
        {"references": (CARD,)},
        {"attachments": (SafeAttachment(name=CARD, media_type="text/plain", octets=1, text=None, reason="x"),)},
        {"attachments": (SafeAttachment(name=SafeText("a"), media_type="text/plain", octets=1, text=CARD),)},
        {"redactions": {CARD: 1}},
        {"subject": SafeText("card 4111 1111"), "text": SafeText("1111 1111")},
    ],
)
async def test_a_value_left_in_any_place_is_a_leak(changes: dict[str, Any]) -> None:
    assert await codes_in(sanitized(**changes)) == ["release.leak"]


@pytest.mark.parametrize(
    "changes",
    [
        {"text": SafeText("a\x00b")},
        {"text": SafeText("a\rb")},
        {"text": SafeText("a\u202eb")},
        {"text": SafeText("<script>")},
        {"subject": SafeText("a\nb")},
        {"author_name": SafeText("a\tb")},
    ],
)
async def test_markup_and_control_characters_are_unsafe(changes: dict[str, Any]) -> None:
    assert await codes_in(sanitized(**changes)) == ["release.unsafe"]


async def test_fingerprints_are_no_numbers_to_hide() -> None:
    signature = TrustSignature(
        status="verified", fingerprint="4111111111111111ABCDEF0123456789ABCDEF01", signer=SafeText(""), covers="all"
    )
    trust = sanitized().trust
    assert await codes_in(sanitized(trust=replace(trust, signatures=(signature,)))) == []


def test_the_tripwire_walks_every_text() -> None:
    assert {name for name, _ in texts(sanitized())} >= {"author", "text", "subject", "tls", "dmarc", "language"}
    assert AT not in dict(texts(sanitized())).values()


async def test_an_ordinary_reply_may_leave() -> None:
    assert await codes_out(reply()) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"text": "your card 4111 1111 1111 1111"},
        {"subject": "Re: 5555555555554444"},
        {"text": "DNI 12345678Z"},
        {"subject": "card 4111 1111", "text": "1111 1111"},
    ],
)
async def test_an_agent_cannot_send_what_they_could_not_read(changes: dict[str, Any]) -> None:
    assert await codes_out(reply(**changes)) == ["outbound.leak"]


@pytest.mark.parametrize(
    "changes",
    [{"correspondent_encrypted": True}, {"clear_reply": False}, {"promised_sealed": True}],
)
async def test_nothing_is_silently_sent_in_clear(changes: dict[str, Any]) -> None:
    decision = await OUTBOUND.judge(reply(**changes))
    assert [str(finding.rule.code) for finding in decision.findings] == ["outbound.downgrade"]
    assert decision.action is Action.REJECT
    assert await codes_out(reply(certificates=(Fingerprint("A" * 40),), **changes)) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"subject": "Hi\r\nBcc: mallory@example.net"},
        {"subject": "Hi\x00"},
        {"text": "a\x00b"},
        {"message_id": "<a@b>\r\nX: y"},
        {"in_reply_to": "<a@b> <c@d>"},
        {"references": ("<a@b>", "x\n")},
    ],
)
async def test_a_header_cannot_be_ended_early(changes: dict[str, Any]) -> None:
    assert "outbound.malformed" in await codes_out(reply(**changes))


@pytest.mark.parametrize(
    "to",
    ["", "alice", "alice@", "@example.org", "a@b@c", "alice@example.org, bob@example.net", "alice@exa mple.org",
     "<a@b>", "alice@example.org\r\nBcc: x@y", "x" * 65 + "@example.org"],
)  # fmt: skip
async def test_there_is_one_recipient(to: str) -> None:
    assert "outbound.recipient" in await codes_out(reply(to=to))


@pytest.mark.parametrize(
    "to", ["alice+tag@example.org", "o'brien@example.org", '"a b"@example.org', "ñandú@ejemplo.es"]
)
async def test_unusual_recipients_are_recipients(to: str) -> None:
    assert await codes_out(reply(to=to)) == []


async def test_a_reply_says_something_and_not_too_much() -> None:
    assert await codes_out(reply(text=" \n\t")) == ["outbound.empty"]
    assert await codes_out(reply(text="x " * 40_000)) == ["outbound.too-long"]


def test_agents_are_told_in_plain_words() -> None:
    for rule in (*RELEASE.rules, *OUTBOUND.rules):
        assert rule.plain.endswith(".")
        assert rule.says
        assert not rule.says.endswith(".")

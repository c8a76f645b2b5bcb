"""Chips and the trust strip: nothing is said better than it is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.desk.masks import Piece, pieces
from gateway.desk.texts import languages
from gateway.desk.trust import strip
from gateway.redact.masks import mask
from gateway.redact.spans import Kind, Span
from gateway.sanitized import SafeText, Sanitized, Trust, TrustFinding, TrustSignature

EN = languages()["en"]
TRUST = Trust(
    tls="TLSv1.3", encrypted="full", subject_encrypted=True,
    signatures=(
        TrustSignature(status="verified", fingerprint="A" * 40, signer=SafeText("alice@example.org"), covers="all"),
    ),
    spf="pass", dkim="pass", dmarc="pass", authenticated_domain=SafeText("example.org"),
)  # fmt: skip
NOT_VERIFIED = ["partial", "mismatch", "unknown-key", "bad", "expired", "revoked-key", "weak", "error", "new"]
CONTENT = Sanitized(
    author=SafeText("alice@example.org"), author_name=SafeText("The Bank"), subject=SafeText("s"), text=SafeText("t"),
    attachments=(), redactions={"card": 1}, trust=TRUST, message_id=SafeText(""), references=(), language="en",
    automatic=False, sent_at=None,
)  # fmt: skip


def labels(content: Sanitized) -> list[tuple[str, str]]:
    return [(item.label, item.tone) for item in strip(content, EN)]


def test_a_mask_becomes_a_chip_between_its_words() -> None:
    assert list(pieces("my [card ···· 1111] was", {"card": 1})) == [
        Piece("my "), Piece("1111", "card"), Piece(" was"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", list(Kind))
def test_every_mask_of_the_redactor_becomes_a_chip(kind: Kind) -> None:
    text = mask(Span(kind, 0, 4, "1111"))
    found = list(pieces(text, {kind.value: 1}))
    assert len(found) == 1
    assert found[0].kind


def test_what_a_customer_typed_like_a_mask_stays_text() -> None:
    text = "[card ···· 1111] and [card ···· 2222]"
    assert [piece.kind for piece in pieces(text, {})] == [""]
    assert [piece.kind for piece in pieces(text, {"card": 1})] == ["card", ""]


def test_the_strip_reads_in_words() -> None:
    assert labels(CONTENT) == [
        ("TLS 1.3", ""), ("Encrypted", "proven"), ("Signed by alice@example.org", "proven"),
        ("example.org authenticated", "proven"), ("1 hidden", ""),
    ]  # fmt: skip


def test_a_signature_is_named_by_its_keys_address_and_never_by_a_display_name() -> None:
    assert not any("The Bank" in item.label + item.tip for item in strip(CONTENT, EN))


@pytest.mark.parametrize("status", NOT_VERIFIED)
def test_no_other_signature_than_a_verified_one_is_green(status: str) -> None:
    signature = TrustSignature(status=status, fingerprint="", signer=SafeText("alice@example.org"), covers="all")
    content = replace(CONTENT, trust=replace(TRUST, signatures=(signature,)))
    item = next(item for item in strip(content, EN) if item.kind == "signed")
    assert item.tone != "proven"
    assert "Signed by alice" not in item.label


def test_a_verified_signature_over_a_part_is_said_to_be_over_a_part() -> None:
    signature = replace(TRUST.signatures[0], covers="part")
    content = replace(CONTENT, trust=replace(TRUST, signatures=(signature,)))
    assert ("Signed in part", "look") in labels(content)


def test_what_is_missing_is_said_too() -> None:
    bare = Trust(
        tls="", encrypted="none", subject_encrypted=False, signatures=(), spf="none", dkim="", dmarc="fail",
        authenticated_domain=SafeText(""),
        findings=(TrustFinding(code="a.b", action="accept", layer="x", plain="Odd."),),
    )  # fmt: skip
    content = replace(CONTENT, trust=bare, redactions={})
    assert labels(content) == [
        ("No TLS", "look"), ("Not encrypted", ""), ("Not signed", ""), ("Domain not authenticated", "stopped"),
        ("1 thing to look at", "look"),
    ]  # fmt: skip
    assert all(item.tip for item in strip(content, EN))


def test_what_an_item_says_already_is_not_counted_again_unless_somebody_waived_it() -> None:
    told = TrustFinding(code="encryption.clear", action="accept", layer="inspection", plain="In clear.")
    waived = TrustFinding(code="signature.bad", action="hold", layer="inspection", plain="It doesn't fit.")
    content = replace(CONTENT, trust=replace(TRUST, findings=(told,)))
    assert "findings" not in {item.kind for item in strip(content, EN)}
    content = replace(CONTENT, trust=replace(TRUST, findings=(told, waived)))
    assert ("1 thing to look at", "look") in labels(content)


def test_every_item_names_its_check() -> None:
    for texts in languages().values():
        for item in strip(CONTENT, texts):
            assert ("Check:" if texts.code == "en" else "Comprobación:") in item.tip

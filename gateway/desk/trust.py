"""The trust strip: how a message came and what was done, in words first, icon second, colour last.

Rules:
1. Each item says one fact and explains itself in one sentence that names the check.
2. Green is for what was proven, amber for what is worth a look, red for what is wrong; most items have no colour.
3. Nothing is said better than it is: "signed by" only for a signature that covers all that is shown, by a key bound
   to the sender (`verified`); and it names the address that the key is bound to, never a display name, which anybody
   chooses for themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.desk.texts import Texts
from gateway.sanitized import Sanitized, Trust, TrustFinding, TrustSignature


@dataclass(frozen=True, slots=True)
class Item:
    """`tone` is "", "proven", "look" or "stopped"; `icon` a name in the sprite."""

    kind: str
    label: str
    tip: str
    icon: str
    tone: str = ""


TOLD: Final = frozenset({"tls", "encryption", "signature", "auth"})
SIGNATURES: Final = {
    "verified": ("signed", "proven", "pen"),
    "partial": ("signed_partial", "look", "pen"),
    "mismatch": ("signed_mismatch", "stopped", "pen-off"),
    "unknown-key": ("signed_unknown", "", "pen-off"),
    "bad": ("signed_bad", "stopped", "pen-off"),
    "expired": ("signed_old", "look", "pen-off"),
    "expired-key": ("signed_old", "look", "pen-off"),
    "revoked-key": ("signed_old", "stopped", "pen-off"),
    "weak": ("signed_old", "look", "pen-off"),
    "error": ("signed_unreadable", "look", "pen-off"),
}


def strip(content: Sanitized, texts: Texts) -> tuple[Item, ...]:
    return tuple(_items(content.trust, content.redactions, content.author, texts))


def strip_of(trust: Trust, author: str, texts: Texts) -> tuple[Item, ...]:
    """For a held message, of which only this is known."""
    return tuple(_items(trust, {}, author, texts))


def _items(trust: Trust, redactions: Mapping[str, int], author: str, texts: Texts) -> Iterator[Item]:
    yield _tls(trust, texts)
    yield _encrypted(trust, texts)
    if trust.signatures:
        for signature in trust.signatures:
            yield _signature(signature, author, texts)
    else:
        yield Item("signed", texts.t("trust.label.signed_none"), texts.t("trust.tip.signed_none"), "pen-off")
    yield _domain(trust, texts)
    hidden = sum(redactions.values())
    if hidden:
        kinds = texts.counted(redactions)
        yield Item(
            "redactions", texts.t("trust.label.redactions", n=hidden), texts.t("trust.tip.redactions", kinds=kinds),
            "mask",
        )  # fmt: skip
    findings = [finding for finding in trust.findings if not _told(finding)]
    if findings:
        plain = " ".join(texts.finding(finding.code, finding.plain) for finding in findings)
        yield Item(
            "findings", texts.t("trust.label.findings", n=len(findings)),
            texts.t("trust.tip.findings", plain=plain), "flag", "look",
        )  # fmt: skip


def _told(finding: TrustFinding) -> bool:
    """Whether the strip's other items say it already: that a message came in clear is one fact, not two."""
    return finding.code.partition(".")[0] in TOLD and finding.action == "accept"


def _tls(trust: Trust, texts: Texts) -> Item:
    if not trust.tls:
        return Item("tls", texts.t("trust.label.tls_none"), texts.t("trust.tip.tls_none"), "hop-off", "look")
    version = trust.tls.replace("TLSv", "TLS ")
    return Item(
        "tls", texts.t("trust.label.tls", version=version), texts.t("trust.tip.tls", version=version), "hop"
    )  # fmt: skip


def _encrypted(trust: Trust, texts: Texts) -> Item:
    name, tone, icon = {
        "full": ("encrypted", "proven", "lock"), "partial": ("encrypted_partial", "look", "lock-open"),
    }.get(trust.encrypted, ("encrypted_none", "", "lock-open"))  # fmt: skip
    tip = texts.t(f"trust.tip.{name}")
    if name != "encrypted_none" and not trust.subject_encrypted:
        tip += " " + texts.t("trust.tip.subject_clear")
    return Item("encrypted", texts.t(f"trust.label.{name}"), tip, icon, tone)


def _signature(signature: TrustSignature, author: str, texts: Texts) -> Item:
    name, tone, icon = SIGNATURES.get(signature.status, SIGNATURES["error"])
    if name == "signed" and signature.covers != "all":
        name, tone, icon = SIGNATURES["partial"]
    who = signature.signer or author
    return Item("signed", texts.t(f"trust.label.{name}", name=who), texts.t(f"trust.tip.{name}", name=who), icon, tone)


def _domain(trust: Trust, texts: Texts) -> Item:
    results = {"spf": trust.spf or "none", "dkim": trust.dkim or "none", "dmarc": trust.dmarc or "none"}
    if trust.authenticated_domain:
        domain = trust.authenticated_domain
        return Item(
            "domain", texts.t("trust.label.domain", domain=domain), texts.t("trust.tip.domain", **results), "domain",
            "proven",
        )  # fmt: skip
    tone = "stopped" if trust.dmarc == "fail" else ""
    return Item(
        "domain", texts.t("trust.label.domain_none"), texts.t("trust.tip.domain_none", **results), "domain-off", tone
    )

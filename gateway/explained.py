"""Explained: all that is known of one message, for `vestibule explain`: facts, findings, parts, and what an agent sees.

Everything here is either a fact of ours or sanitized; file names and raw texts of the message don't stand in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.opened import Opened, Protection
from gateway.rules import Action, Code, Finding, Token


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedFinding:
    layer: str
    code: str
    action: Action
    plain: str
    evidence: Mapping[str, int | bool | Token] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedSignature:
    """`status` is the verdict (`gateway.opened.SignerStatus`), `covers` how much of what is shown."""

    status: str
    fingerprint: str
    signer: str
    covers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPart:
    """`octets` of decoded content; `shown`: its text is what the agent sees."""

    path: str
    media_type: str
    charset: str
    encoding: str
    disposition: str
    named: bool
    octets: int
    encrypted: bool
    signed: bool
    shown: bool
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a parser worker tells of one message, after the sender's session. `encrypted` is full, partial or none."""

    findings: tuple[ExplainedFinding, ...]
    encrypted: str = Protection.NONE.value
    subject_encrypted: bool = False
    signatures: tuple[ExplainedSignature, ...] = ()
    failures: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()
    active: tuple[str, ...] = ()
    parts: tuple[ExplainedPart, ...] = ()
    automatic: bool = False
    language: str = ""


def explained_finding(layer: str, finding: Finding, actions: Mapping[Code, Action]) -> ExplainedFinding:
    """With the action that is in force under the policy's `actions`."""
    rule = finding.rule
    return ExplainedFinding(
        layer=layer, code=rule.code, action=actions.get(rule.code, rule.action), plain=rule.plain,
        evidence=finding.evidence,
    )  # fmt: skip


def explained(
    opened: Opened | None, layers: Mapping[str, tuple[Finding, ...]], actions: Mapping[Code, Action]
) -> Explanation:
    """`layers`: what each layer found, by its name."""
    findings = tuple(explained_finding(layer, one, actions) for layer, found in layers.items() for one in found)
    if opened is None:
        return Explanation(findings=findings)
    return Explanation(
        findings=findings,
        encrypted=opened.protection.value,
        subject_encrypted=opened.subject_encrypted,
        signatures=tuple(
            ExplainedSignature(
                status=signature.status.value, fingerprint=signature.fingerprint or "", signer=signature.signer or "",
                covers=signature.covers.value,
            )
            for signature in opened.signatures
        ),
        failures=tuple(failure.value for failure in opened.failures),
        oddities=tuple(oddity.value for oddity in opened.oddities),
        active=tuple(active.value for active in opened.active),
        parts=tuple(
            ExplainedPart(
                path=part.path, media_type=part.media_type, charset=part.charset, encoding=part.encoding,
                disposition=part.disposition, named=part.file_name is not None, octets=part.octets,
                encrypted=part.encrypted, signed=part.signed, shown=part.shown, sha256=part.sha256,
            )
            for part in opened.parts
        ),
        automatic=opened.automatic,
        language=opened.language,
    )  # fmt: skip

"""Explained: all that is known of one message, for `vestibule explain`: facts, findings, parts, and what an agent sees.

Everything here is either a fact of ours or sanitized; file names and raw texts of the message don't stand in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.rules import Action, Token


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
    encrypted: str
    subject_encrypted: bool
    signatures: tuple[ExplainedSignature, ...]
    failures: tuple[str, ...]
    oddities: tuple[str, ...]
    active: tuple[str, ...]
    parts: tuple[ExplainedPart, ...]
    automatic: bool
    language: str

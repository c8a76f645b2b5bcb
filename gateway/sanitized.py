"""Sanitized: a message that an agent may read, once RELEASE has passed it.

Contract: no recognizer fires on any of its text, and it holds no markup and no control characters but line breaks and
tabs. Made by `gateway.sanitizing`, and rebuilt by `gateway.crossing` from a frame or row whose signature verifies.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NewType

SafeText = NewType("SafeText", str)
"""Text without anything that a recognizer finds. Only `gateway.sanitizing` and `gateway.crossing` make it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SafeAttachment:
    """`text` is the sanitized content of a text attachment; None when it is withheld (see `reason`, a fixed token)."""

    name: SafeText
    media_type: str
    octets: int
    text: SafeText | None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustSignature:
    status: str
    fingerprint: str
    signer: SafeText
    covers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFinding:
    """`plain` is the rule's sentence for people."""

    code: str
    action: str
    layer: str
    plain: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """The trust strip: how a message came and what was done. Facts only."""

    tls: str
    encrypted: str
    subject_encrypted: bool
    signatures: tuple[TrustSignature, ...]
    spf: str
    dkim: str
    dmarc: str
    authenticated_domain: SafeText
    findings: tuple[TrustFinding, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Sanitized:
    """`author` is the parsed From address, "" when there is none. `redactions` counts masked values by kind.
    `message_id` and `references` are kept for threading; a recognizer that fires on one drops it."""

    author: SafeText
    author_name: SafeText
    subject: SafeText
    text: SafeText
    attachments: tuple[SafeAttachment, ...]
    redactions: Mapping[str, int]
    trust: Trust
    message_id: SafeText
    references: tuple[SafeText, ...]
    language: str
    automatic: bool
    sent_at: datetime | None

"""Crossings: how a `Passed` gets from one process to another without anybody being able to make one up.

    edge ── Passed[Inbound] in a signed box ──► parser worker ── Passed[Sanitized] in a keyed frame ──► parent

Rules:
1. Beside `gateway.layers`, this is the only place that makes a `Passed`; it does so only from an `Unboxed` (a box
   whose signature verified over the very row it stood in) or from a frame whose HMAC verified under the key that the
   parent gave to that one worker for that one message.
2. Findings that did not stop a message travel with it: the trust strip shows them.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import Final

from channels.contract import Address, Inbound
from gateway.codec import BadFrame, pack, unpack
from gateway.layers import _MINT, Passed
from gateway.rules import Decision, Finding
from gateway.sanitized import Sanitized
from keys.secret import Secret
from keys.unbox import Unboxed

TAG_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class _Admitted:
    inbound: Inbound
    findings: tuple[Finding, ...]


def pack_admitted(passed: Passed[Inbound]) -> Secret[bytes]:
    """What the edge boxes."""
    return pack(_Admitted(passed.message, passed.findings))


def admitted(unboxed: Unboxed) -> Passed[Inbound]:
    """Raises BadFrame."""
    frame = unpack(_Admitted, unboxed.payload.reveal())
    return Passed(frame.inbound, _MINT, frame.findings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Passage:
    """What the parent must know of a message to file it; no content. `author` None: nobody can be answered.
    `bound` are fingerprints of verified signers. `offered` are certificates that came along: candidates. `tag` is the
    plus-tag of the recipient's address, "" for none: it may be a signed reply address. `automatic`: a program wrote it
    (RFC 3834), so no notice answers it. `language` is the customer's, "" when it isn't known."""

    author: Address | None
    mailbox: str
    queue: str
    encrypted: bool
    bound: tuple[str, ...] = ()
    offered: tuple[bytes, ...] = ()
    failures: tuple[str, ...] = ()
    tag: str = ""
    automatic: bool = False
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one message came to. Either `decision.action` is ACCEPT and `cleared` is there, or it isn't."""

    decision: Decision
    passage: Passage | None
    cleared: Passed[Sanitized] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    decision: Decision
    passage: Passage | None
    sanitized: Sanitized | None
    findings: tuple[Finding, ...]


def pack_outcome(outcome: Outcome, key: bytes) -> bytes:
    """In the parser worker. `key`: 32 bytes, for this message alone."""
    cleared = outcome.cleared
    frame = _Frame(
        decision=outcome.decision,
        passage=outcome.passage,
        sanitized=cleared.message if cleared else None,
        findings=cleared.findings if cleared else (),
    )
    body = pack(frame).reveal()
    return hmac.digest(key, body, "sha256") + body


def unpack_outcome(data: bytes, key: bytes) -> Outcome:
    """In the parent. Raises BadFrame."""
    tag, body = data[:TAG_BYTES], data[TAG_BYTES:]
    if not hmac.compare_digest(tag, hmac.digest(key, body, "sha256")):
        raise BadFrame
    frame = unpack(_Frame, body)
    cleared = Passed(frame.sanitized, _MINT, frame.findings) if frame.sanitized else None
    return Outcome(decision=frame.decision, passage=frame.passage, cleared=cleared)

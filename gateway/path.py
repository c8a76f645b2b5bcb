"""The heart: the way in and the way out of one message, inside a parser worker. Each step takes only what the one
before it gave; nothing else type-checks.

Rules:
1. Checks decide and change nothing; steps change and decide nothing.
2. Whatever stops a message stops it as a decision with findings. An exception is the caller's `gateway.fault`.
3. A waiver is for one message: its findings stay to be seen, they only don't stop it. Faults can't be waived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from channels.contract import Inbound
from gateway import checks, crossing
from gateway.crossing import Outcome, Passage
from gateway.faults import NEVER_WAIVED
from gateway.layers import Layer, Passed, Stopped
from gateway.opened import Opened, Protection, SignerStatus
from gateway.opening import Opener, open_message
from gateway.reply import Reply
from gateway.rules import Action, Code, Decision
from gateway.sanitized import Sanitized
from gateway.sanitizing import sanitize
from keys.unbox import Unboxed


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The four layers under one policy."""

    admission: Layer[Inbound]
    inspection: Layer[Opened]
    release: Layer[Sanitized]
    outbound: Layer[Reply]

    @classmethod
    def under(cls, actions: Mapping[Code, Action]) -> Layers:
        return cls(
            admission=checks.ADMISSION.under(actions),
            inspection=checks.INSPECTION.under(actions),
            release=checks.RELEASE.under(actions),
            outbound=checks.OUTBOUND.under(actions),
        )

    def waiving(self, codes: frozenset[Code]) -> Layers:
        codes -= NEVER_WAIVED
        return Layers(
            admission=self.admission.waiving(codes),
            inspection=self.inspection.waiving(codes),
            release=self.release.waiving(codes),
            outbound=self.outbound,
        )


@dataclass(slots=True)
class WayIn:
    """What became of one message, step by step; `explain` looks at the steps."""

    opened: Opened | None = None
    outcome: Outcome | None = None


async def way_in(unboxed: Unboxed, opener: Opener, layers: Layers) -> tuple[Outcome, Opened | None]:
    """From the edge's box to what an agent may read. Raises BadFrame when the box isn't the edge's."""
    opened: Opened | None = None
    try:
        admitted = admit(unboxed, layers)                       # Passed[Inbound]
        opened = await open_message(admitted, opener)           # Opened
        inspected = await layers.inspection.require(opened)     # Passed[Opened]
        sanitized = sanitize(inspected)                         # Sanitized
        cleared = await layers.release.require(sanitized)       # Passed[Sanitized]
    except Stopped as stopped:
        return Outcome(decision=stopped.decision, passage=passage_of(opened), cleared=None), opened
    findings = (*admitted.findings, *inspected.findings, *cleared.findings)
    decision = Decision(Action.ACCEPT, findings, layers.release.name)
    return Outcome(decision=decision, passage=passage_of(opened), cleared=cleared), opened


def admit(unboxed: Unboxed, layers: Layers) -> Passed[Inbound]:
    """The message as the edge admitted it. What the edge found travels along, and what the policy holds for it is held
    here: the sender got their answer, the message is ours. Raises Stopped, BadFrame."""
    admitted = crossing.admitted(unboxed)
    worst = max((layers.admission.action(finding.rule) for finding in admitted.findings), default=Action.ACCEPT)
    if worst is not Action.ACCEPT:
        raise Stopped(Decision(worst, admitted.findings, layers.admission.name))
    return admitted


def passage_of(opened: Opened | None) -> Passage | None:
    if opened is None:
        return None
    verified = [signature for signature in opened.signatures if signature.status is SignerStatus.VERIFIED]
    return Passage(
        author=opened.author,
        mailbox=opened.inbound.terms.mailbox,
        queue=opened.inbound.terms.queue,
        encrypted=opened.protection is not Protection.NONE,
        bound=tuple(signature.fingerprint for signature in verified if signature.fingerprint),
        offered=opened.offered,
        failures=tuple(failure.value for failure in opened.failures),
    )

"""The heart: the way in of one message, inside a parser worker. Each step takes only what the one before it gave;
nothing else type-checks. (The way out: `gateway.path_out`.)

Rules:
1. Checks decide and change nothing; steps change and decide nothing.
2. Whatever stops a message stops it as a decision with findings. An exception is the caller's `gateway.fault`.
3. A waiver is for one message: its findings stay to be seen, they only don't stop it. Faults can't be waived.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from channels.contract import Inbound
from gateway import checks, crossing
from gateway.crossing import Outcome, Passage
from gateway.faults import NEVER_WAIVED
from gateway.layers import Layer, Passed, Stopped
from gateway.notices import Notice, Occasion, due
from gateway.opened import Opened, Protection, SignerStatus
from gateway.opening import Opener, open_message
from gateway.reply import Reply
from gateway.rules import Action, Code, Decision, Finding
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
class Steps:
    """How far a message came: `explain` and the reviewer's view look at it afterwards."""

    opened: Opened | None = None
    findings: dict[str, tuple[Finding, ...]] = field(default_factory=dict)


async def way_in(unboxed: Unboxed, opener: Opener, layers: Layers, steps: Steps) -> Outcome:
    """From the edge's box to what an agent may read. Raises BadFrame when the box isn't the edge's."""
    try:
        admitted = admit(unboxed, layers, steps)
        opened = steps.opened = await open_message(admitted, opener)
        inspected = await layers.inspection.require(opened)
        sanitized = sanitize(inspected, admitted.findings)
        cleared = await layers.release.require(sanitized)
    except Stopped as stopped:
        steps.findings[stopped.decision.layer] = stopped.decision.findings
        return Outcome(decision=stopped.decision, passage=passage_of(steps.opened), cleared=None)
    steps.findings |= {layers.inspection.name: inspected.findings, layers.release.name: cleared.findings}
    findings = (*admitted.findings, *inspected.findings, *cleared.findings)
    decision = Decision(Action.ACCEPT, findings, layers.release.name)
    return Outcome(decision=decision, passage=passage_of(opened), cleared=cleared)


def admit(unboxed: Unboxed, layers: Layers, steps: Steps) -> Passed[Inbound]:
    """The message as the edge admitted it. What the edge found travels along, and what the policy holds for it is held
    here: the sender got their answer, the message is ours. Raises Stopped, BadFrame."""
    admitted = crossing.admitted(unboxed)
    steps.findings[layers.admission.name] = admitted.findings
    action = layers.admission.action
    found = tuple(sorted(admitted.findings, key=lambda finding: -action(finding.rule)))
    if found and action(found[0].rule) is not Action.ACCEPT:
        raise Stopped(Decision(action(found[0].rule), found, layers.admission.name))
    return admitted


def passage_of(opened: Opened | None) -> Passage | None:
    """What the parent is told; None when nothing could be opened."""
    if opened is None:
        return None
    inbound = opened.inbound
    verified = [signature for signature in opened.signatures if signature.status is SignerStatus.VERIFIED]
    return Passage(
        author=opened.author,
        mailbox=inbound.terms.mailbox,
        queue=inbound.terms.queue,
        encrypted=opened.protection is not Protection.NONE,
        bound=tuple(signature.fingerprint for signature in verified if signature.fingerprint),
        offered=opened.offered,
        failures=tuple(failure.value for failure in opened.failures),
        tag=_tag(inbound),
        automatic=not _may_be_told(opened),
        language=opened.language,
    )


def _tag(inbound: Inbound) -> str:
    """The plus-tag (RFC 5233) of the first recipient that has one."""
    locals_ = (recipient.rpartition("@")[0] for recipient in inbound.envelope.rcpt_to)
    return next((local.partition("+")[2] for local in locals_ if "+" in local), "")


def _may_be_told(opened: Opened) -> bool:
    """Whether a notice may answer this message at all; protection is decided when it is written."""
    inbound = opened.inbound
    return due(
        Occasion(
            notice=Notice.HELD, wanted=True, to=opened.author, own_addresses=frozenset(inbound.envelope.rcpt_to),
            envelope_sender=inbound.envelope.mail_from, automatic=opened.automatic,
            authentication=inbound.authentication.dmarc, encrypted=False, certificates=0, clear_reply=True,
        )
    ).send  # fmt: skip

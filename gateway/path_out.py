"""The way out of one reply or notice, inside a parser worker: judged, protected, composed, boxed for the edge.

Rules:
1. A reply is sealed to every certificate that it names, or it carries a permit that the policy issued; there is no
   third way, and no way from the first to the second.
2. What the agents are shown of it is sanitized and released like everything they are shown.
3. The edge gets the finished message and the envelope, nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from channels.contract import MailboxName, Outbound
from gateway import faults, limits
from gateway.codec import BadFrame, pack, unpack
from gateway.composing import compose, inner, return_path
from gateway.crossing import Outcome, pack_outcome
from gateway.jobs import Dispatch, Job, MailboxFace, Report
from gateway.layers import Passed, Stopped
from gateway.path import Layers
from gateway.policy import permit
from gateway.reply import ClearPermit, Protect, Reply
from gateway.requests import Promised, ReplyRequest
from gateway.rules import Action, Decision
from gateway.sanitizing import sanitize_reply
from keys.box import Purpose
from keys.errors import KeysError, TooSlow, Unavailable
from keys.openpgp import Fingerprint, Sealed
from keys.secret import Secret
from keys.unbox import Unboxed


class Sealer(Protocol):
    """What the way out may ask of the key process. Raises a `keys.errors.KeysError` and nothing else."""

    async def seal(
        self, plaintext: Secret[bytes], /, *, to: Sequence[Fingerprint], sign_as: Fingerprint, seconds: float
    ) -> Sealed: ...
    async def mailbox_key(self, address: str, /) -> Fingerprint: ...
    async def box(self, payload: Secret[bytes], purpose: Purpose, row: str, channel: str, /) -> bytes: ...


async def way_out(
    unboxed: Unboxed, job: Job, sealer: Sealer, layers: Layers, faces: Mapping[MailboxName, MailboxFace]
) -> Report:
    """Raises BadFrame when the box isn't a reply or isn't this one."""
    dispatch = job.dispatch
    if dispatch is None or dispatch.reply.mailbox not in faces:
        raise BadFrame
    face = faces[dispatch.reply.mailbox]
    try:
        reply = completed(dispatch, unboxed)
        passed = await layers.outbound.require(reply)
        protection = await protect(passed, dispatch, face, sealer, job)
        payload = compose(passed, protection, face, reply_to=dispatch.reply_to, at=job.at)
        cleared = await layers.release.require(sanitize_reply(passed, face.address))
        outbound = _outbound(dispatch, face, payload)
        box = await sealer.box(outbound, Purpose.OUTBOX, dispatch.outbox_row, dispatch.channel)
    except Stopped as stopped:
        return Report(decision=stopped.decision)
    except (Unavailable, TooSlow):
        return Report(why=faults.UNAVAILABLE.code)
    except KeysError as error:
        return Report(why=f"keys.{_token(type(error).__name__)}")
    decision = Decision(Action.ACCEPT, (*passed.findings, *cleared.findings), layers.outbound.name)
    outcome = Outcome(decision=decision, passage=None, cleared=cleared)
    how = Protect.CLEAR if isinstance(protection, ClearPermit) else Protect.SEALED
    return Report(outcome=pack_outcome(outcome, job.key.reveal()), box=box, protect=how.value, why=_why(protection))


def completed(dispatch: Dispatch, unboxed: Unboxed) -> Reply:
    """The reply with the agent's words in it. Raises BadFrame."""
    request = unpack(ReplyRequest, unboxed.payload.reveal())
    reply = dispatch.reply
    if (request.id, request.conversation, request.author) != (reply.id, reply.conversation, reply.author):
        raise BadFrame
    if reply.template:
        return reply
    return replace(reply, text=request.text, promised_sealed=request.promised is Promised.SEALED)


async def protect(
    passed: Passed[Reply], dispatch: Dispatch, face: MailboxFace, sealer: Sealer, job: Job
) -> Sealed | ClearPermit:
    """Sealed to all certificates and signed by the mailbox's own key, or a permit. Raises a KeysError, Stopped."""
    reply = passed.message
    if reply.certificates:
        return await sealer.seal(
            inner(passed, face, reply_to=dispatch.reply_to, at=job.at),
            to=reply.certificates,
            sign_as=await sealer.mailbox_key(face.address),
            seconds=limits.GPG_SECONDS,
        )
    permitted = permit(reply)
    if permitted is None:
        raise Stopped(faults.decided(faults.NOT_PERMITTED))
    return permitted


def _outbound(dispatch: Dispatch, face: MailboxFace, payload: Secret[bytes]) -> Secret[bytes]:
    reply = dispatch.reply
    return pack(
        Outbound(
            channel=dispatch.channel,
            to=reply.to,
            mail_from=return_path(reply, face),
            thread=None,
            idempotency_key=dispatch.outbox_row,
            tls=reply.transport,
            payload=payload,
        )
    )


def _why(protection: Sealed | ClearPermit) -> str:
    return protection.reason if isinstance(protection, ClearPermit) else "certificate"


def _token(name: str) -> str:
    """A class's name as a token: CertCannotEncrypt → cert-cannot-encrypt."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")

"""Warming up: messages of our own go through everything once, in the zygote, so that a worker finds all code loaded.

A worker that is shut in can't open a file any more, not even a module that is imported on first use.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from channels.contract import (
    Address,
    Authentication,
    ChannelName,
    Demand,
    Envelope,
    Inbound,
    MailboxName,
    Pace,
    Terms,
    Transport,
    WireId,
)
from gateway.codec import pack, unpack
from gateway.composing import compose, inner
from gateway.crossing import pack_admitted, pack_outcome
from gateway.explained import explained
from gateway.jobs import Job, JobKind, MailboxFace, Report
from gateway.layers import Stopped
from gateway.path import Layers, Steps, way_in
from gateway.policy import permit
from gateway.reply import Reply
from gateway.sanitizing import glimpse, sanitize_reply
from keys.box import Binding, KeyId, Purpose
from keys.errors import MissingKey
from keys.openpgp import Fingerprint, Sealed, Unsealed
from keys.secret import Secret
from keys.unbox import Unboxed

_AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
_ALICE: Final = Address("alice@example.org")
_SUPPORT: Final = Address("support@acme.example")
_HEAD: Final = (
    b"From: =?utf-8?q?Alice_Mart=C3=ADn?= <alice@example.org>\r\nTo: support@acme.example\r\n"
    b"Subject: =?iso-8859-1?q?Hi?=\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
)
_MIXED: Final = (
    _HEAD + b'Content-Type: multipart/mixed; boundary="a"\r\n\r\n'
    b'--a\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
    b'--b\r\nContent-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
    b"Card 4111 1111 1111 1111, IBAN ES91 2100 0418 4502 0005 1332, =C2=BFqu=C3=A9 tal?\r\n"
    b'--b\r\nContent-Type: text/html; charset="windows-1252"\r\nContent-Transfer-Encoding: base64\r\n\r\n'
    b"PGh0bWw+PGJvZHk+PHA+Q2FyZCA8Yj40MTExPC9iPiAxMTExIDExMTEgMTExMTwvcD4=\r\n"
    b"--b--\r\n--a\r\nContent-Type: text/csv; name=a.csv\r\n"
    b"Content-Disposition: attachment; filename*=utf-8''a.csv\r\n\r\n"
    b"1;2;5555555555554444\r\n--a--\r\n"
)
_SEALED: Final = (
    _HEAD + b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="c"\r\n\r\n'
    b"--c\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
    b"--c\r\nContent-Type: application/octet-stream\r\n\r\n"
    b"-----BEGIN PGP MESSAGE-----\r\n\r\nhF4D\r\n-----END PGP MESSAGE-----\r\n--c--\r\n"
)


class _NoKeys:
    """An opener that has none."""

    async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed:
        raise MissingKey

    async def verify(
        self, signed: Secret[bytes], signature: bytes | None, /, *, max_bytes: int, seconds: float
    ) -> Unsealed:
        raise MissingKey

    async def bound(self, address: str, /) -> tuple[Fingerprint, ...]:
        return ()

    async def signers(self, fingerprint: Fingerprint, /) -> tuple[str, ...]:
        return ()


async def warm_up(layers: Layers) -> None:
    """No finding stops these two, so that they go all the way."""
    layers = replace(
        layers,
        admission=layers.admission.waiving(frozenset(rule.code for rule in layers.admission.rules)),
        inspection=layers.inspection.waiving(frozenset(rule.code for rule in layers.inspection.rules)),
    )
    for raw in (_MIXED, _SEALED):
        passed = await layers.admission.require(_inbound(raw))
        unboxed = Unboxed(payload=pack_admitted(passed), binding=_BINDING, signer=KeyId(""))
        steps = Steps()
        outcome = await way_in(unboxed, _NoKeys(), layers, steps)
        sight = glimpse(steps.opened, "inspection", ()) if steps.opened is not None else None
        report = Report(
            outcome=pack_outcome(outcome, bytes(32)), sight=sight,
            explanation=explained(steps.opened, steps.findings, {}),
        )  # fmt: skip
        unpack(Report, pack(report).reveal())
    unpack(Job, pack(Job(kind=JobKind.MESSAGE, row="", channel="", key=Secret(bytes(32)), at=_AT)).reveal())
    await _answer(layers)


async def _answer(layers: Layers) -> None:
    face = MailboxFace(name=MailboxName("support"), address=_SUPPORT, sender_name="Acme", signature="Acme")
    reply = Reply(
        id="0", conversation="0", author="ann", text=Secret("Hello, ¿qué tal?"), subject=Secret("Hi"), to=_ALICE,
        mailbox=face.name, language="es", number="V-0000-0000", message_id="<0@acme.example>",
        in_reply_to="<1@example.org>", references=("<1@example.org>",), certificates=(),
        correspondent_encrypted=False, clear_reply=True, transport=Demand.REQUIRED,
    )  # fmt: skip
    try:
        passed = await layers.outbound.require(reply)
        permitted = permit(reply)
        inner(passed, face, reply_to=None, at=_AT)
        if permitted is not None:
            compose(passed, permitted, face, reply_to=None, at=_AT)
        await layers.release.require(sanitize_reply(passed, face.address))
    except Stopped:
        return


def _inbound(raw: bytes) -> Inbound:
    return Inbound(
        channel=ChannelName("email"), wire_id=WireId("0"), sender=_ALICE, thread=None, received_at=_AT,
        transport=Transport(tls="TLSv1.3", peer="192.0.2.1"),
        envelope=Envelope(mail_from=_ALICE, rcpt_to=(_SUPPORT,)), authentication=Authentication(),
        terms=Terms(mailbox=MailboxName("support"), queue="support", language="en"), pace=Pace(),
        dedupe_key=bytes(32), lane=bytes(32), raw=Secret(raw),
    )  # fmt: skip


_BINDING: Final = Binding(purpose=Purpose.SPOOL, row="0", channel="email")

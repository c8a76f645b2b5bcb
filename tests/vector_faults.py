"""Vectors that no sender can cause: rows that somebody put into the database, and parts of ours that break.

Rule: a fault is injected at the outermost place where it can be: into the database or the surroundings of a running
gateway; into a layer only where nothing from outside reaches the rule.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from clients import Client
from sqlalchemy import create_engine, insert
from vector_format import Vector
from vector_letters import raw
from vector_run import Came, reply_text
from whole import Whole

from channels.contract import (
    Address,
    Answer,
    Authentication,
    ChannelName,
    Envelope,
    Inbound,
    MailboxName,
    Pace,
    Result,
    Terms,
    Transport,
    Verdict,
    WireId,
)
from channels.email.facts import NoAuthenticator
from channels.email.settings import Kind, Listen, SmtpConfig
from channels.email.smtp_in import EmailChannel
from channels.keyed import Keyed
from gateway import checks
from gateway.config import EdgeLimits
from gateway.crossing import pack_admitted
from gateway.email_settings import smtp_limits
from gateway.ids import SystemClock, Ulids, micros
from gateway.layers import CHECK_FAILED, Layer
from gateway.opening import open_message
from gateway.reply import Reply
from gateway.rules import Action, Decision, Finding
from gateway.sanitized import SafeText
from gateway.sanitizing import sanitize
from gateway.store import schema
from gateway.submitted import RULES
from keys.box import Binding, PublicKeys, Purpose, SigningKey, key_id, load_signing_key, parse, seal
from keys.errors import MissingKey
from keys.secret import Secret
from keys.unbox import BoxPrivateKey

FIVE_HOURS: Final = timedelta(hours=5)


def inbound(message: bytes, **changes: Any) -> Inbound:
    """As the edge hands it over; nothing is wrong with it."""
    made = Inbound(
        channel=ChannelName("email"), wire_id=WireId("1"), sender=Address("alice@example.org"), thread=None,
        received_at=datetime.now(UTC), transport=Transport(tls="TLSv1.3", peer="192.0.2.1"),
        envelope=Envelope(mail_from=Address("alice@example.org"), rcpt_to=(Address("support@acme.example"),)),
        authentication=Authentication(dmarc=Result.PASS, dmarc_domain="example.org", author_domain="example.org"),
        terms=Terms(mailbox=MailboxName("support"), queue="support", language="en"), pace=Pace(),
        dedupe_key=secrets.token_bytes(32), lane=secrets.token_bytes(32), raw=Secret(message),
    )  # fmt: skip
    return replace(made, **changes)


# --- rows


async def payload(message: bytes) -> Secret[bytes]:
    return pack_admitted(await checks.ADMISSION.require(inbound(message)))


def insert_row(whole: Whole, vector: Vector) -> str:
    """Puts a row into the spool as whoever may INSERT can; its id."""
    words = vector.inject.split()
    row, channel = Ulids(SystemClock()).new(), "email"
    bound_to, by = row, load_signing_key(whole.keys / "edge" / "sign.key")
    to = PublicKeys(whole.keys / "public").current(Purpose.SPOOL)
    content = Secret(b"\x93 no frame") if "nonsense" in words else asyncio.run(payload(raw(vector)))
    if "forged" in words:
        by = SigningKey(Secret(secrets.token_bytes(32)))
    if "moved" in words:
        bound_to = Ulids(SystemClock()).new()
    if "lost-key" in words:
        to = BoxPrivateKey.generate().public()
    box = seal(content, to=to, by=by, binding=Binding(purpose=Purpose.SPOOL, row=bound_to, channel=channel))
    if "other-channel" in words:
        channel = "sms"
    now = datetime.now(UTC) - (FIVE_HOURS if "late" in words else timedelta())
    engine = create_engine(whole.store_url)
    try:
        with engine.begin() as connection:
            connection.execute(
                insert(schema.spool).values(
                    id=row, lane=secrets.token_bytes(32), state="waiting", due_at=0, channel=channel,
                    key_id=parse(box).key, received_at=micros(now), box=box, attempts=3 if "tired" in words else 0,
                )
            )  # fmt: skip
    finally:
        engine.dispose()
    return row


# --- the gateway's surroundings


class Odd:
    """A gateway whose policy lets a downgrade pass, and whose gpg can be taken away."""

    def __init__(self, folder: Path) -> None:
        programs = folder / "bin"
        programs.mkdir(parents=True)
        for name in ("gpg", "gpg-agent", "gpgconf", "gpg-connect-agent"):
            found = shutil.which(name)
            if found:
                (programs / name).symlink_to(found)
        self._gpg = programs / "gpg"
        self.whole = Whole(
            folder / "g", settings={"policy.actions": '"outbound.downgrade" = "accept"'}, debug=False,
            environment={"PATH": str(programs)},
        )  # fmt: skip

    def take_gpg_away(self) -> None:
        self._gpg.unlink()

    def run(self, vectors: Sequence[Vector]) -> dict[str, Came]:
        came: dict[str, Came] = {}
        with self.whole as whole:
            for vector in vectors:
                if vector.inject.startswith("policy"):
                    came[vector.name] = self._not_permitted(whole, vector)
            self.take_gpg_away()
            for vector in vectors:
                if vector.inject.startswith("no-gpg"):
                    came[vector.name] = self._without_gpg(whole, vector)
        return came

    def _not_permitted(self, whole: Whole, vector: Vector) -> Came:
        message, _, _ = raw(vector).partition(b"--- the agent")
        answer = whole.hand_in(message, sender="leo@example.org", to=vector.to)
        (seen,) = whole.wait_for_messages(1)
        whole.reply(seen.conversation, reply_text(vector))
        line = whole.wait_for_log("reply.stopped", seconds=30)
        return Came(answer=answer, decision="reject", findings=frozenset({str(line["reason"])}))

    def _without_gpg(self, whole: Whole, vector: Vector) -> Came:
        row = insert_row(whole, vector)
        if "late" in vector.inject:
            (held,) = [one for one in whole.wait_for_held(1, seconds=40) if one.id == row]
            return Came(answer="", decision="hold", findings=frozenset(one.rule.code for one in held.decision.findings))
        whole.wait_for_log("keys.unavailable", message=row, seconds=30)
        until = time.monotonic() + 10
        while (state := whole.rows(f"SELECT state FROM spool WHERE id = '{row}'")) != [("waiting",)]:
            assert time.monotonic() < until, state
            time.sleep(0.1)
        return Came(answer="", decision="defer")


# --- layers


def broken_checks(rules: tuple[Any, ...]) -> list[Any]:
    """One that raises, one that overruns, one that answers what no check may answer."""

    class Boom:
        async def __call__(self, message: object, /) -> Sequence[Finding]:
            raise RuntimeError("kanari-from-a-check")

    class Slow:
        async def __call__(self, message: object, /) -> Sequence[Finding]:
            await asyncio.sleep(30)
            return ()

    class Nonsense:
        async def __call__(self, message: object, /) -> Any:
            return ["passed"]

    made = [Boom(), Slow(), Nonsense()]
    for one in made:
        one.rules = rules  # type: ignore[attr-defined]
    return made


class NoKeys:
    """An opener that has none."""

    async def open(self, *_: object, **__: object) -> Any:
        raise MissingKey

    async def verify(self, *_: object, **__: object) -> Any:
        raise MissingKey

    async def bound(self, *_: object) -> tuple[()]:
        return ()

    async def signers(self, *_: object) -> tuple[()]:
        return ()


async def samples(message: bytes, **changes: Any) -> dict[str, Any]:
    """An ordinary message at each step of the path."""
    admitted = await checks.ADMISSION.require(inbound(message, **changes))
    opened = await open_message(admitted, NoKeys())
    found: dict[str, Any] = {"admission": admitted.message, "inspection": opened, "outbound": a_reply()}
    if (await checks.INSPECTION.judge(opened)).action is Action.ACCEPT:
        found["release"] = sanitize(await checks.INSPECTION.require(opened))
    return found


def a_reply() -> Reply:
    from channels.contract import Demand

    return Reply(
        id="01REPLY", conversation="01TALK", author="ann", text=Secret("On its way."), subject=Secret("Re: x"),
        to=Address("alice@example.org"), mailbox=MailboxName("support"), language="en", number="2026-000001",
        message_id="<1@acme.example>", in_reply_to="", references=(), certificates=(), correspondent_encrypted=False,
        clear_reply=True, transport=Demand.REQUIRED,
    )  # fmt: skip


LAYERS: Final[dict[str, Layer[Any]]] = {
    "admission": checks.ADMISSION, "inspection": checks.INSPECTION, "release": checks.RELEASE,
    "outbound": checks.OUTBOUND,
}  # fmt: skip
ORDINARY: Final = b"From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: x\r\n\r\nhello\r\n"


def judge(vector: Vector) -> Came:
    return asyncio.run(_judge(vector))


async def _judge(vector: Vector) -> Came:
    kind, *words = vector.inject.split()
    match kind:
        case "broken-check":
            return await _broken(words[0])
        case "release":
            sanitized = (await samples(ORDINARY))["release"]
            text = SafeText(vector.message.decode().strip())
            return _came(await checks.RELEASE.judge(replace(sanitized, text=text)))
        case "other-author":
            facts = Authentication(dmarc=Result.PASS, author_domain="elsewhere.example")
            return _came(await checks.INSPECTION.judge((await samples(ORDINARY, authentication=facts))["inspection"]))
        case "pace":
            return _came(await checks.ADMISSION.judge(inbound(ORDINARY, pace=Pace(**{words[0]: int(words[1])}))))
        case "no-memory":
            return await _no_memory()
    raise AssertionError(f"{vector.name}: nothing injects {kind!r}")


def _came(decision: Decision) -> Came:
    codes = frozenset(str(finding.rule.code) for finding in decision.findings)
    return Came(answer="", decision=decision.action.name.lower(), findings=codes)


async def _broken(name: str) -> Came:
    message, layer = (await samples(ORDINARY))[name], LAYERS[name]
    decisions = []
    for check in broken_checks(layer.rules):
        broken = replace(layer, checks=(*layer.checks, check), seconds=0.3)
        decisions.append(await broken.judge(message))
    assert all(CHECK_FAILED in [one.rule for one in decision.findings] for decision in decisions)
    assert "kanari" not in repr(decisions)
    return _came(min(decisions, key=lambda decision: decision.action))


async def _no_memory() -> Came:
    """A real session on a real socket, of an edge that may hold 20 KB of content in all."""

    class Everybody:
        def terms(self, recipient: Address, /) -> Terms:
            return Terms(mailbox=MailboxName("support"), queue="support", language="en")

    class Calm:
        async def note(self, *, peer: str, sender: str) -> Pace:
            return Pace()

        async def elsewhere(self, *, body_key: bytes, sender: str) -> int:
            return 0

    async def intake(message: Inbound, /) -> Answer:
        return Answer(verdict=Verdict.ACCEPTED, says="Queued", status="0.0")

    limits = replace(smtp_limits(EdgeLimits()), content_memory_bytes=20_000)
    listen = Listen(kind=Kind.MX, host="127.0.0.1", port=0, starttls=checks_none(), tls=None, users=None)
    channel = EmailChannel(
        SmtpConfig(hostname="mx.acme.example", domains=frozenset({"acme.example"}), listeners=(listen,), limits=limits,
                   hops=()),
        directory=Everybody(), authenticator=NoAuthenticator(), paces=Calm(), seen=Calm(),
        keyed=Keyed(Secret(secrets.token_bytes(32))), new_id=Ulids(SystemClock()).new,
    )  # fmt: skip
    serving = asyncio.create_task(channel.serve(intake))
    await channel.started.wait()
    try:
        answer = await asyncio.to_thread(_deliver_much, channel.ports[0])
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    rule = next(rule for rule in RULES.values() if rule.code == "session.no-memory")
    assert rule.says in answer
    return Came(answer=answer, decision="defer", findings=frozenset({str(rule.code)}))


def _deliver_much(port: int) -> str:
    with Client(port) as client:
        assert client.greeting.startswith("220")
        client.say("EHLO client.example.org")
        return client.deliver(ORDINARY + b"0123456789\r\n" * 10_000, "alice@example.org", ["support@acme.example"])


def checks_none() -> Any:
    from channels.contract import Demand

    return Demand.NONE


__all__ = ["Odd", "insert_row", "judge", "key_id"]

"""Explaining files: the facts of a delivery as the options give them, through the same channel code, layers, opener and
worker as the gateway, and told as plain data."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from channels.contract import Address, Authentication, DkimResult, Envelope, Inbound, MailboxName, Pace, Result, Terms
from channels.email.address import parse
from channels.email.authentication import Authenticator
from channels.email.facts import Delivery, Source
from channels.email.resolver import DnsResolver, Resolver
from channels.email.smtp_in import EmailChannel
from channels.email.zone import ZoneError, ZoneResolver
from channels.keyed import Keyed
from gateway import checks
from gateway.config import Config, build
from gateway.email_settings import smtp_config
from gateway.errors import ConfigError
from gateway.explained import explained_finding
from gateway.explaining import Examination, Examiner
from gateway.ids import Clock, FixedClock, SystemClock, Ulids
from gateway.mailboxes import Mailboxes
from gateway.policy import Policy
from gateway.rules import Action, Finding
from gateway.submitted import LAYER, UNKNOWN_RECIPIENT, submitted
from keys.secret import Secret

ANYBODY: Final = Terms(mailbox=MailboxName("any"), queue="any", language="en")
"""Without a configuration every recipient is taken, on the default terms."""
AUTHENTICATION_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options. `mail_from` None: not told, so the author stands in; "" or "<>": the null reverse-path."""

    client_ip: str
    helo: str
    mail_from: str | None
    rcpt: tuple[str, ...]
    tls: str | None
    dns: Path | None
    at: datetime | None
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    keys: tuple[bytes, ...] = field(default=(), repr=False)


class _Calm:
    """No rates and no replays: one message, by itself."""

    async def note(self, *, peer: str, sender: str) -> Pace:
        return Pace()

    async def elsewhere(self, *, body_key: bytes, sender: str) -> int:
        return 0


class Explainer:
    """Started once, good for many files. The time, keys and certificates are those of `asked`; how a file comes, and
    the names that answer, may differ from file to file. Raises ConfigError for options that make no sense."""

    def __init__(self, asked: Asked, config: Config | None) -> None:
        clock: Clock = SystemClock() if asked.at is None else FixedClock(asked.at)
        settings = config or build({"edge": {"listeners": []}}, base=Path())
        self._asked, self._config, self._settings, self._clock = asked, config, settings, clock
        self._channels: dict[Path | None, EmailChannel] = {}
        self._channel(asked)
        limits = settings.edge.limits
        self._examiner = Examiner(
            checks.admission(per_peer=limits.messages_per_peer_hour, per_sender=limits.messages_per_sender_hour),
            Policy(version=settings.policy.version, actions=settings.policy.by_code()),
            keys_folder=None if config is None else settings.keys_folder,
            certificates=[(data, "") for data in asked.certificates],
            secret_keys=asked.keys,
            clock=clock,
        )

    async def __aenter__(self) -> Self:
        await self._examiner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._examiner.__aexit__(kind, error, trace)

    async def explain(self, name: str, content: bytes, asked: Asked | None = None) -> dict[str, object]:
        """One file as plain data. Raises ConfigError for an address that is none."""
        asked = asked or self._asked
        found = submitted(content)
        terms, missing = _terms(self._config, asked)
        mail_from, rcpt_to = _envelope(asked)
        delivery = Delivery(
            source=Source(tls=asked.tls, peer=asked.client_ip or None, helo=asked.helo),
            certificate="",
            envelope=Envelope(mail_from=mail_from, rcpt_to=rcpt_to),
            terms=terms,
            raw=found.raw,
        )
        inbound = await self._channel(asked).inbound(delivery)
        examination = await self._examiner.examine(inbound)
        return told(name, inbound, examination, (*found.findings, *missing))


    def _channel(self, asked: Asked) -> EmailChannel:
        found = self._channels.get(asked.dns)
        if found is None:
            resolver = _resolver(asked, self._settings)
            found = self._channels[asked.dns] = _channel(self._settings, resolver, self._clock)
        return found


async def explain_all(
    contents: Sequence[tuple[str, bytes]],
    asked: Asked,
    config: Config | None,
    show: Callable[[dict[str, object]], None],
) -> None:
    """Calls `show` for each file, in their order. Raises ConfigError for options that make no sense."""
    async with Explainer(asked, config) as explainer:
        for name, content in contents:
            show(await explainer.explain(name, content))


def _channel(config: Config, resolver: Resolver, clock: Clock) -> EmailChannel:
    calm = _Calm()
    edge = msgspec.structs.replace(config.edge, listeners=())
    settings = smtp_config(msgspec.structs.replace(config, edge=edge))
    within = replace(settings.limits, authentication_seconds=AUTHENTICATION_SECONDS)
    return EmailChannel(
        replace(settings, limits=within),
        directory=Mailboxes(config.mailboxes),
        authenticator=Authenticator(resolver, now=clock.now, receiver=config.edge.hostname),
        paces=calm,
        seen=calm,
        keyed=Keyed(Secret(os.urandom(32))),
        new_id=Ulids(clock).new,
        now=clock.now,
    )


def _resolver(asked: Asked, config: Config) -> Resolver:
    if asked.dns is None:
        return DnsResolver(servers=config.edge.dns.servers, port=config.edge.dns.port)
    try:
        return ZoneResolver.load(asked.dns)
    except (OSError, ZoneError):
        raise ConfigError("--dns", "isn't zone data", "YAML or JSON: a mapping of names to records") from None


def _envelope(asked: Asked) -> tuple[Address | None, tuple[Address, ...]]:
    rcpt_to = tuple(_address("--rcpt", one) for one in asked.rcpt)
    if asked.mail_from is None or asked.mail_from.strip("<> ") == "":
        return None, rcpt_to
    return _address("--mail-from", asked.mail_from), rcpt_to


def _address(option: str, text: str) -> Address:
    found = parse(text.strip().removeprefix("<").removesuffix(">"))
    if found is None:
        raise ConfigError(option, "isn't an address", "NAME@DOMAIN")
    return found


def _terms(config: Config | None, asked: Asked) -> tuple[Terms, tuple[Finding, ...]]:
    if config is None or not config.mailboxes:
        return ANYBODY, ()
    if not asked.rcpt:
        return config.mailboxes[0].terms(), ()
    box = Mailboxes(config.mailboxes).find(asked.rcpt[0].strip().removeprefix("<").removesuffix(">"))
    return (ANYBODY, (Finding(UNKNOWN_RECIPIENT),)) if box is None else (box.terms(), ())


# --- as plain data


def told(name: str, inbound: Inbound, examination: Examination, session: Sequence[Finding]) -> dict[str, object]:
    """What `--json` prints."""
    worst = max((examination.decision.action, *(finding.rule.action for finding in session)))
    findings = (*(explained_finding(LAYER, finding, {}) for finding in session), *examination.findings)
    explanation, seen = examination.explanation, examination.sanitized
    if worst is not Action.ACCEPT:
        seen = None
    return {
        "file": name,
        "decision": worst.name.lower(),
        "findings": [
            {"layer": one.layer, "code": one.code, "action": one.action.name.lower(), "evidence": dict(one.evidence),
             "why": one.plain}
            for one in findings
        ],
        "authentication": _authentication(inbound.authentication),
        "protection": {
            "encrypted": explanation.encrypted if explanation else "none",
            "subject_encrypted": bool(explanation and explanation.subject_encrypted),
            "tls": inbound.transport.tls or "none",
            "signatures": [
                {"status": one.status, "fingerprint": one.fingerprint, "signer": one.signer, "covers": one.covers}
                for one in (explanation.signatures if explanation else ())
            ],
            "failures": list(explanation.failures) if explanation else [],
        },
        "parts": [
            {"path": one.path, "type": one.media_type, "charset": one.charset, "encoding": one.encoding,
             "disposition": one.disposition, "named": one.named, "bytes": one.octets, "encrypted": one.encrypted,
             "signed": one.signed, "shown": one.shown, "sha256": one.sha256}
            for one in (explanation.parts if explanation else ())
        ],
        "structure": list(explanation.oddities) if explanation else [],
        "active": list(explanation.active) if explanation else [],
        "agent": None if seen is None else {
            "from": str(seen.author),
            "name": str(seen.author_name),
            "subject": str(seen.subject),
            "text": str(seen.text),
            "attachments": [
                {"name": str(one.name), "type": one.media_type, "bytes": one.octets, "text": one.text,
                 "withheld": one.reason}
                for one in seen.attachments
            ],
        },
        "redactions": {} if seen is None else dict(seen.redactions),
    }  # fmt: skip


def _authentication(facts: Authentication) -> dict[str, Any]:
    return {
        "spf": facts.spf.value,
        "dkim": overall(facts.dkim).value,
        "dmarc": facts.dmarc.value,
        "arc": facts.arc.value,
        "spf_domain": facts.spf_domain,
        "spf_explanation": facts.spf_explanation,
        "dkim_signatures": [
            {"result": one.result.value, "domain": one.domain, "selector": one.selector, "reason": one.reason}
            for one in facts.dkim
        ],
        "arc_domain": facts.arc_domain,
        "dmarc_domain": facts.dmarc_domain,
        "dmarc_policy": facts.dmarc_policy,
        "author_domain": facts.author_domain,
    }


def overall(signatures: Sequence[DkimResult]) -> Result:
    """One word for several signatures: one that passes is enough; then what might pass later; then the first."""
    results = [one.result for one in signatures]
    for wanted in (Result.PASS, Result.TEMPERROR):
        if wanted in results:
            return wanted
    return results[0] if results else Result.NONE

"""SPF (RFC 7208): may this host send mail for that domain. Facts only.

Rules:
1. Ours rather than pyspf's: every question goes through the message's `Lookups` and is awaited, so that a slow zone
   holds no thread and no module global is shared. pyspf is the oracle in the tests.
2. The limits of section 4.6.4: ten terms that ask the DNS, two void look-ups, ten MX and ten PTR names.
3. A question that fails is a temperror; whatever else goes wrong is a permerror. Neither is ever a pass.
4. With a null reverse-path the HELO name is checked (section 2.4).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Final

from channels.contract import Result
from channels.email.address import domain_name
from channels.email.resolver import Answer, Resolver, Status, is_dns_name
from channels.email.spf_record import (
    Directive,
    MacroString,
    MacroValues,
    RecordError,
    SpfRecord,
    as_domain,
    expand,
    is_spf,
    macro_string,
    parse,
    uses_p,
)

TERM_LOOKUPS: Final = 10
VOID_LOOKUPS: Final = 2
HOSTS: Final = 10
EXPLANATION_CHARACTERS: Final = 500

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfResult:
    """`domain` is what was checked, lower-case; "" where nothing could be. `reason` is a fixed token. `explanation` is
    text by whoever owns the domain: a fact to be kept, not to be believed."""

    result: Result
    domain: str = ""
    identity: str = "mailfrom"
    explanation: str = ""
    reason: str = ""


async def check(
    resolver: Resolver,
    *,
    peer: str,
    helo: str,
    mail_from: str | None,
    receiver: str = "unknown",
    timestamp: int = 0,
) -> SpfResult:
    """`mail_from` without brackets; None or "": the HELO identity is checked. Never raises but for cancellation."""
    identity = "mailfrom" if mail_from else "helo"
    sender = mail_from or f"postmaster@{helo}"
    local, _, domain = sender.rpartition("@")
    name = _checkable(domain)
    try:
        ip = _address(peer)
    except ValueError:
        return SpfResult(result=Result.PERMERROR, identity=identity, domain=name, reason="peer")
    if not name:
        return SpfResult(result=Result.NONE, identity=identity, reason="domain")
    local = local or "postmaster"
    values = MacroValues(
        sender=f"{local}@{name}", local=local, domain=name, ip=ip, helo=helo, receiver=receiver, timestamp=timestamp
    )
    try:
        outcome = await _Evaluation(resolver, values).check_host(name, top=True)
    except _TempError:
        return SpfResult(result=Result.TEMPERROR, identity=identity, domain=name, reason="dns")
    except RecordError as error:
        return SpfResult(result=Result.PERMERROR, identity=identity, domain=name, reason=str(error))
    except Exception:  # noqa: BLE001 - hostile records must not reach further than this
        return SpfResult(result=Result.PERMERROR, identity=identity, domain=name, reason="unexpected")
    return SpfResult(result=outcome.result, identity=identity, domain=name, explanation=outcome.explanation)


class _TempError(Exception):
    pass


@dataclass(frozen=True, slots=True)
class _Outcome:
    result: Result
    explanation: str = ""


class _Evaluation:
    """One check_host() (section 4) with all that it includes."""

    def __init__(self, resolver: Resolver, values: MacroValues) -> None:
        self._resolver = resolver
        self._values = values
        self._terms = 0
        self._voids = 0
        self._validated: list[str] | None = None

    async def check_host(self, domain: str, *, top: bool) -> _Outcome:
        record = await self._record(domain)
        if record is None:
            return _Outcome(Result.NONE)
        values = replace(self._values, domain=domain)
        for directive in record.directives:
            if await self._matches(directive, values):
                result = Result(directive.result)
                explained = top and result is Result.FAIL and record.exp is not None
                return _Outcome(result, await self._explanation(record.exp, values) if explained else "")
        if record.redirect is None:
            return _Outcome(Result.NEUTRAL)
        self._count()
        target = await self._target(record.redirect, values)
        if not is_dns_name(target):
            raise RecordError("redirect")
        outcome = await self.check_host(target, top=top)
        if outcome.result is Result.NONE:
            raise RecordError("redirect")
        return outcome

    async def _record(self, domain: str) -> SpfRecord | None:
        if not is_dns_name(domain):
            return None
        answer = await self._ask(domain, "TXT")
        records = [text for text in answer.texts if is_spf(text)]
        if len(records) > 1:
            raise RecordError("several-records")
        return parse(records[0]) if records else None

    async def _matches(self, directive: Directive, values: MacroValues) -> bool:
        if directive.mechanism == "all":
            return True
        if directive.network is not None:
            return values.ip in directive.network
        self._count()
        target = await self._target(directive.domain, values) if directive.domain else values.domain
        match directive.mechanism:
            case "include":
                return await self._include(target)
            case "exists":
                return bool((await self._ask(target, "A")).names)
            case "a":
                return await self._has_address(target, directive)
            case "mx":
                exchanges = (await self._ask(target, "MX")).exchanges
                if len(exchanges) > HOSTS:
                    raise RecordError("exchanges")
                for _, host in exchanges:
                    if await self._has_address(host, directive):
                        return True
                return False
            case _:
                names = await self._validated_names()
                return any(name == target or name.endswith("." + target) for name in names)

    async def _include(self, target: str) -> bool:
        outcome = await self.check_host(target, top=False)
        if outcome.result is Result.NONE:
            raise RecordError("include")
        return outcome.result is Result.PASS

    async def _has_address(self, name: str, directive: Directive) -> bool:
        ip = self._values.ip
        prefix = directive.prefix4 if ip.version == 4 else directive.prefix6
        answer = await self._ask(name, "A" if ip.version == 4 else "AAAA")
        network = ipaddress.ip_network((ip, prefix), strict=False)
        return any(_is_in(each, network) for each in answer.names)

    async def _validated_names(self) -> list[str]:
        """Section 5.5: names of the host that lead back to it. Look-ups that fail only don't match."""
        if self._validated is None:
            self._validated = []
            ip = self._values.ip
            reverse = await self._ask(ip.reverse_pointer, "PTR", failing=False)
            for name in reverse.names[:HOSTS]:
                answer = await self._ask(name, "A" if ip.version == 4 else "AAAA", failing=False)
                if any(_same(each, ip) for each in answer.names):
                    self._validated.append(name.lower())
        return self._validated

    async def _target(self, spec: MacroString, values: MacroValues) -> str:
        return as_domain(expand(spec, values, validated=await self._p(spec, values)))

    async def _p(self, spec: MacroString, values: MacroValues) -> str:
        if not uses_p(spec):
            return "unknown"
        names = await self._validated_names()
        if values.domain in names:
            return values.domain
        below = [name for name in names if name.endswith("." + values.domain)]
        return (below or names or ["unknown"])[0]

    async def _explanation(self, spec: MacroString | None, values: MacroValues) -> str:
        """Section 6.2: whatever goes wrong, there is no explanation; the result stands."""
        if spec is None:
            return ""
        try:
            target = await self._target(spec, values)
            answer = await self._resolver.query(target, "TXT")
            if len(answer.texts) != 1:
                return ""
            told = macro_string(answer.texts[0].decode("ascii"), explaining=True)
            text = expand(told, values, validated=await self._p(told, values))
        except (RecordError, UnicodeDecodeError):
            return ""
        return text if text.isascii() and text.isprintable() and len(text) <= EXPLANATION_CHARACTERS else ""

    async def _ask(self, name: str, kind: str, *, failing: bool = True) -> Answer:
        if not is_dns_name(name):
            return Answer(Status.EMPTY)  # no such name can be: no match, and nobody was asked
        answer = await self._resolver.query(name, kind)
        if answer.status is Status.FAILED:
            if failing:
                raise _TempError
        elif not answer.records:
            self._voids += 1
            if self._voids > VOID_LOOKUPS:
                raise RecordError("void-lookups")
        return answer

    def _count(self) -> None:
        self._terms += 1
        if self._terms > TERM_LOOKUPS:
            raise RecordError("lookups")


def _address(peer: str) -> Address:
    ip = ipaddress.ip_address(peer.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def _checkable(domain: str) -> str:
    """The domain as a name, "" where section 4.3 says that there is nothing to check."""
    if domain.startswith("[") or len(domain) > 255:
        return ""
    if not domain.isascii():
        domain = domain_name(domain) or ""
    name = domain.removesuffix(".").lower()
    return name if "." in name and is_dns_name(name) else ""


def _is_in(text: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    try:
        return ipaddress.ip_address(text) in network
    except ValueError:
        return False


def _same(text: str, ip: Address) -> bool:
    try:
        return ipaddress.ip_address(text) == ip
    except ValueError:
        return False

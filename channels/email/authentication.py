"""Who sent a message, as facts: SPF, DKIM, ARC and DMARC over one message, with one budget (RFC 8601's words).

Rules:
1. Pure and deterministic, given resolver and clock; whatever goes wrong is a fact too, and never a pass.
2. One budget of DNS questions and one deadline over all checks together. ARC, which decides nothing, comes last.
3. DMARC speaks only of a message that has an author by `author.author`, which all programs read alike. Else it is a
   permerror.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from channels.contract import Authentication, DkimResult, Result
from channels.email import arc, dkim, dkim_key, dmarc, spf
from channels.email.address import local_part
from channels.email.arc import ArcResult
from channels.email.author import Mailbox, NoAuthor, author
from channels.email.canonical import Body
from channels.email.dmarc import DmarcResult
from channels.email.headers import read, to_crlf
from channels.email.resolver import DNS_MESSAGE_SECONDS, DNS_QUESTIONS, Lookups, Resolver
from channels.email.spf import SpfResult

FAULTY: Final = Authentication(
    spf=Result.PERMERROR, arc=Result.PERMERROR, dmarc=Result.PERMERROR, dmarc_reason="unexpected"
)
"""When even the reading of a message failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one message may cost. The defaults are those of gateway.limits."""

    questions: int = DNS_QUESTIONS
    seconds: float = DNS_MESSAGE_SECONDS
    signatures: int = dkim.DKIM_SIGNATURES
    rsa_bits: int = dkim_key.RSA_BITS_LEAST


def _utc() -> datetime:
    return datetime.now(UTC)


class Authenticator:
    """Facts of the sender. One for a process; safe to use for many messages at once."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        now: Callable[[], datetime] = _utc,
        receiver: str = "unknown",
        bounds: Bounds | None = None,
    ) -> None:
        """`receiver` is our host name, for SPF's %{r}."""
        self._resolver = resolver
        self._now = now
        self._receiver = receiver
        self._bounds = bounds or Bounds()

    async def authenticate(
        self,
        *,
        raw: bytes,
        peer: str | None,
        helo: str,
        mail_from: str | None,
        deadline: float | None = None,
    ) -> Authentication:
        """`raw` as it came; `peer` an IP address, None if it isn't known; `mail_from` without brackets, None or "" for
        the null reverse-path; `deadline` in the running loop's time. Never raises but for cancellation."""
        latest = asyncio.get_running_loop().time() + self._bounds.seconds
        lookups = Lookups(
            self._resolver,
            questions=self._bounds.questions,
            deadline=latest if deadline is None else min(deadline, latest),
        )
        try:
            return await self._authenticate(raw, lookups, peer, helo, mail_from or "")
        except Exception:  # noqa: BLE001 - a hostile message must not reach further than this
            return FAULTY

    async def _authenticate(
        self, raw: bytes, lookups: Lookups, peer: str | None, helo: str, mail_from: str
    ) -> Authentication:
        message = to_crlf(raw)
        block = read(message)
        body = Body(message[block.body :])
        now = int(self._now().timestamp())
        by_spf = await self._spf(lookups, peer, helo, mail_from, now)
        by_dkim = await dkim.verify(
            lookups,
            fields=block.fields,
            body=body,
            now=now,
            limit=self._bounds.signatures,
            least_bits=self._bounds.rsa_bits,
        )
        wrote = author(block)
        by_dmarc = await _dmarc(lookups, wrote, by_spf, by_dkim)
        by_arc = await arc.validate(lookups, fields=block.fields, body=body, now=now, least_bits=self._bounds.rsa_bits)
        return _facts(wrote, by_spf, by_dkim, by_dmarc, by_arc)

    async def _spf(self, lookups: Lookups, peer: str | None, helo: str, mail_from: str, now: int) -> SpfResult:
        if peer is None:
            return SpfResult(result=Result.NONE, reason="peer.unknown")
        local = mail_from.rpartition("@")[0]
        if local and local_part(local) is None:
            return SpfResult(result=Result.PERMERROR, reason="reverse-path")
        return await spf.check(
            lookups, peer=peer, helo=helo, mail_from=mail_from, receiver=self._receiver, timestamp=now
        )


async def _dmarc(
    lookups: Lookups, wrote: Mailbox | NoAuthor, by_spf: SpfResult, by_dkim: tuple[DkimResult, ...]
) -> DmarcResult:
    if isinstance(wrote, NoAuthor):
        return DmarcResult(result=Result.PERMERROR, reason=wrote.reason)
    found = await _aligned(lookups, wrote.domain, by_spf, by_dkim, {Result.PASS})
    if found.result is Result.FAIL:
        # would it have passed, had every look-up been answered? Only identities of the author's own domain count: else
        # a forger's broken zone would turn "fail" into "not known"
        best = await _aligned(lookups, wrote.domain, by_spf, by_dkim, {Result.PASS, Result.TEMPERROR})
        if best.result is not Result.FAIL:
            return replace(found, result=Result.TEMPERROR, reason="not-known")
    return found


async def _aligned(
    lookups: Lookups, author_domain: str, by_spf: SpfResult, by_dkim: tuple[DkimResult, ...], counting: set[Result]
) -> DmarcResult:
    return await dmarc.evaluate(
        lookups,
        author_domain=author_domain,
        dkim_domains=[each.domain for each in by_dkim if each.result in counting and each.domain],
        spf_domains=[by_spf.domain] if by_spf.result in counting and by_spf.domain else [],
    )


def _facts(
    wrote: Mailbox | NoAuthor,
    by_spf: SpfResult,
    by_dkim: tuple[DkimResult, ...],
    by_dmarc: DmarcResult,
    by_arc: ArcResult,
) -> Authentication:
    return Authentication(
        spf=by_spf.result,
        spf_domain=by_spf.domain,
        spf_identity=by_spf.identity,
        spf_explanation=by_spf.explanation,
        spf_reason=by_spf.reason,
        dkim=by_dkim,
        arc=by_arc.result,
        arc_domain=by_arc.domain,
        arc_reason=by_arc.reason,
        dmarc=by_dmarc.result,
        dmarc_domain=by_dmarc.domain if isinstance(wrote, Mailbox) else "",
        dmarc_policy=by_dmarc.policy.value if by_dmarc.policy else "",
        dmarc_reason=by_dmarc.reason,
        author_domain=wrote.domain if isinstance(wrote, Mailbox) else "",
    )

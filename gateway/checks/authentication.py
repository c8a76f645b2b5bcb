"""What SPF, DKIM and DMARC say of the sender (RFC 7208, 6376, 7489): facts from the edge, judged here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from channels.contract import Authentication, Result
from channels.email.address import domain_of
from gateway.opened import Opened
from gateway.rules import Action, Code, Finding, Rule, Token

_SAYS: Final = "The sender could not be authenticated"

DMARC_REJECT: Final = Rule(
    Code("auth.dmarc-reject"), Action.HOLD, _SAYS, "7.1",
    "The sender's domain says that it did not send this and wants it refused.",
)  # fmt: skip
DMARC_QUARANTINE: Final = Rule(
    Code("auth.dmarc-quarantine"), Action.HOLD, _SAYS, "7.1",
    "The sender's domain says that it did not send this and wants it looked at.",
)  # fmt: skip
DMARC_FAIL: Final = Rule(
    Code("auth.dmarc-fail"), Action.ACCEPT, "Accepted; the sender is not authenticated", "7.1",
    "Nothing shows that the sender's domain sent this, but the domain asks for no action.",
)  # fmt: skip
DMARC_TEMPORARY: Final = Rule(
    Code("auth.temperror"), Action.HOLD, "The sender could not be authenticated for now", "7.5",
    "The sender's domain could not be asked whether it sent this.",
)  # fmt: skip
SPF_FAIL: Final = Rule(
    Code("auth.spf-fail"), Action.ACCEPT, "Accepted; the sending server is not the domain's", "7.23",
    "The server that sent this is none of those that the envelope's domain names.",
)  # fmt: skip
DKIM_FAIL: Final = Rule(
    Code("auth.dkim-fail"), Action.ACCEPT, "Accepted; no domain signature holds", "7.20",
    "The message bears a domain's signature that doesn't fit.",
)  # fmt: skip
UNPROVEN: Final = Rule(
    Code("auth.unproven"), Action.ACCEPT, "Accepted; nothing proves the sender's domain", "7.1",
    "The sender's domain publishes no policy, so nothing proves that it sent this.",
)  # fmt: skip
OTHER_AUTHOR: Final = Rule(
    Code("auth.other-author"), Action.HOLD, _SAYS, "7.1",
    "The domain that was authenticated is not the one of the sender that is shown.",
)  # fmt: skip

_BY_POLICY: Final = {"reject": DMARC_REJECT, "quarantine": DMARC_QUARANTINE}


class SenderAuthentication:
    rules = (
        DMARC_REJECT, DMARC_QUARANTINE, DMARC_FAIL, DMARC_TEMPORARY, SPF_FAIL, DKIM_FAIL, UNPROVEN, OTHER_AUTHOR,
    )  # fmt: skip

    async def __call__(self, message: Opened, /) -> Sequence[Finding]:
        facts = message.inbound.authentication
        found = list(self._dmarc(facts))
        if facts.spf is Result.FAIL:
            found.append(Finding(SPF_FAIL))
        if facts.dkim and not any(each.result is Result.PASS for each in facts.dkim):
            failed = sum(each.result is Result.FAIL for each in facts.dkim)
            if failed:
                found.append(Finding(DKIM_FAIL, {"signatures": failed}))
        shown = domain_of(message.author) if message.author else ""
        if facts.author_domain and shown and facts.author_domain != shown:
            found.append(Finding(OTHER_AUTHOR))
        return found

    def _dmarc(self, facts: Authentication) -> Sequence[Finding]:
        if facts.dmarc is Result.FAIL:
            rule = _BY_POLICY.get(facts.dmarc_policy, DMARC_FAIL)
            return (Finding(rule, {"spf": Token(facts.spf)}),)
        if facts.dmarc is Result.TEMPERROR:
            return (Finding(DMARC_TEMPORARY),)
        return () if facts.dmarc is Result.PASS else (Finding(UNPROVEN, {"dmarc": Token(facts.dmarc)}),)

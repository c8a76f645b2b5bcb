"""Leaks in replies: what must not reach an agent must not leave by one either; the same recognizers look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.notices import words
from gateway.redact import fires
from gateway.reply import Reply
from gateway.rules import Action, Code, Finding, Rule

LEAK: Final = Rule(
    Code("outbound.leak"), Action.REJECT, "The reply holds a card, account or identity number", "7.0",
    "The reply holds a card, bank account or identity number. Nothing was sent; take it out and send again.",
)  # fmt: skip


class NothingTyped:
    """No recognizer fires on the subject, the text, or both read together."""

    rules = (LEAK,)

    async def __call__(self, message: Reply, /) -> Sequence[Finding]:
        said = words(message)
        subject, text = said.subject.reveal(), said.text.reveal()
        found = fires(subject) or fires(text) or fires(f"{subject}\n{text}")
        return (Finding(LEAK, {"spans": sum(found.values()), "kinds": len(found)}),) if found else ()

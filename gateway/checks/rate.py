"""Whether one peer or one sender sends more than its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from channels.contract import Inbound
from gateway.rules import Action, Code, Finding, Rule

RATE_PEER: Final = Rule(
    Code("rate.peer"), Action.DEFER, "Too many messages from your address, try again later", "7.1",
    "This network address sends more messages than we take in an hour.",
)  # fmt: skip
RATE_SENDER: Final = Rule(
    Code("rate.sender"), Action.DEFER, "Too many messages from this sender, try again later", "7.1",
    "This sender sends more messages than we take in an hour.",
)  # fmt: skip
PER_PEER: Final = 1_000
PER_SENDER: Final = 200


@dataclass(frozen=True, slots=True)
class Rate:
    """Messages in the running window (`Pace.window_seconds`) that are still taken."""

    per_peer: int = PER_PEER
    per_sender: int = PER_SENDER

    @property
    def rules(self) -> tuple[Rule, ...]:
        return RATE_PEER, RATE_SENDER

    async def __call__(self, message: Inbound, /) -> Sequence[Finding]:
        found: list[Finding] = []
        pace = message.pace
        if pace.by_peer > self.per_peer:
            found.append(Finding(RATE_PEER, {"messages": pace.by_peer, "most": self.per_peer}))
        if pace.by_sender > self.per_sender:
            found.append(Finding(RATE_SENDER, {"messages": pace.by_sender, "most": self.per_sender}))
        return found

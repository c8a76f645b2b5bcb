"""Whether encrypted text came before, from somebody else: attackers re-send what they caught to have it opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.opened import Opened, Protection
from gateway.rules import Action, Code, Finding, Rule

REPLAYED: Final = Rule(
    Code("replay.ciphertext"), Action.HOLD, "The encrypted content was seen before", "7.7",
    "The very same encrypted content came before from another sender.",
)  # fmt: skip


class Replay:
    rules = (REPLAYED,)

    async def __call__(self, message: Opened, /) -> Sequence[Finding]:
        if message.protection is Protection.NONE or not message.inbound.seen_elsewhere:
            return ()
        return (Finding(REPLAYED, {"times": message.inbound.seen_elsewhere}),)

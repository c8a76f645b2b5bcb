"""Whether the message is as large as its mailbox takes, and no larger."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from channels.contract import Inbound
from gateway.rules import Action, Code, Finding, Rule

SIZE_OVER: Final = Rule(
    Code("size.over"), Action.REJECT, "Message size exceeds fixed maximum message size", "3.4",
    "The message is larger than this mailbox takes.",
)  # fmt: skip
SIZE_EMPTY: Final = Rule(
    Code("size.empty"), Action.REJECT, "The message is empty", "6.0", "There is no message in the message."
)


class Size:
    rules = (SIZE_OVER, SIZE_EMPTY)

    async def __call__(self, message: Inbound, /) -> Sequence[Finding]:
        octets = len(message.raw)
        if octets > message.terms.max_bytes:
            return (Finding(SIZE_OVER, {"octets": octets, "most": message.terms.max_bytes}),)
        return (Finding(SIZE_EMPTY),) if not octets else ()

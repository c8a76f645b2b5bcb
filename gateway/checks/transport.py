"""Whether the message came under TLS, as the mailbox demands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from channels.contract import Demand, Inbound
from gateway.rules import Action, Code, Finding, Rule

TLS_ABSENT: Final = Rule(
    Code("tls.absent"), Action.REJECT, "Must issue a STARTTLS command first", "7.0",
    "The message came over an unencrypted connection, and this mailbox takes none.",
)  # fmt: skip
TLS_CLEAR: Final = Rule(
    Code("tls.clear"), Action.ACCEPT, "Accepted without TLS", "7.0",
    "The message came over an unencrypted connection: others on the way could read it.",
)  # fmt: skip


class TransportSecurity:
    rules = (TLS_ABSENT, TLS_CLEAR)

    async def __call__(self, message: Inbound, /) -> Sequence[Finding]:
        if message.transport.tls is not None or message.terms.transport is Demand.NONE:
            return ()
        return (Finding(TLS_ABSENT if message.terms.transport is Demand.REQUIRED else TLS_CLEAR),)

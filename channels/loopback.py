"""A channel to nowhere: the smallest example of one, and what the tests of the core send through.

`deliver` hands in a message as a network would and returns the answer; `sent` is what would have gone out.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from channels.contract import (
    Address,
    Answer,
    Authentication,
    ChannelName,
    Demand,
    Envelope,
    Inbound,
    Intake,
    MailboxName,
    Outbound,
    Pace,
    Receipt,
    SendResult,
    Terms,
    Traits,
    Transport,
    Verdict,
    WireId,
)
from channels.keyed import Keyed
from keys.secret import Secret

NAME: Final = ChannelName("loopback")
TERMS: Final = Terms(
    mailbox=MailboxName("loopback"), queue="support", language="en", encryption=Demand.NONE, transport=Demand.NONE
)


class Loopback:
    name = NAME
    traits = Traits(can_retry=False, max_text=1000)

    def __init__(self, keyed: Keyed) -> None:
        self._keyed = keyed
        self._intake: Intake | None = None
        self._under_way: set[asyncio.Future[Answer]] = set()
        self._receipts: dict[str, Receipt] = {}
        self.sent: list[Outbound] = []
        self.started = asyncio.Event()

    async def serve(self, intake: Intake, /) -> None:
        self._intake = intake
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self._intake = None
            self.started.clear()
            if self._under_way:
                await asyncio.wait(self._under_way)

    async def deliver(self, raw: bytes, *, wire_id: str, sender: Address) -> Answer:
        """The network's side: one message, named by the network. Deferred while nobody serves."""
        if self._intake is None:
            return Answer(verdict=Verdict.DEFERRED, says="Try again later", status="3.2")
        task = asyncio.ensure_future(self._intake(self._inbound(raw, wire_id, sender)))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def send(self, message: Outbound, /) -> Receipt:
        """Once per idempotency key."""
        known = self._receipts.get(message.idempotency_key)
        if known is None:
            self.sent.append(message)
            known = Receipt(result=SendResult.SENT, wire_id=WireId(message.idempotency_key))
            self._receipts[message.idempotency_key] = known
        return known

    def _inbound(self, raw: bytes, wire_id: str, sender: Address) -> Inbound:
        return Inbound(
            channel=NAME,
            wire_id=WireId(wire_id),
            sender=sender,
            thread=None,
            received_at=datetime.now(UTC),
            transport=Transport(tls="TLSv1.3", peer="127.0.0.1"),
            envelope=Envelope(mail_from=sender, rcpt_to=(Address("loopback@localhost"),)),
            authentication=Authentication(),
            terms=TERMS,
            pace=Pace(),
            dedupe_key=self._keyed.dedupe((NAME.encode(), wire_id.encode())),
            lane=self._keyed.lane(NAME, sender, None, "network"),
            body_key=self._keyed.body(raw),
            raw=Secret(raw),
        )

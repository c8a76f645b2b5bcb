"""The outbox's sender, in the edge: opens what the inspector boxed for it, sends it, and writes down what came of it.

Rules:
1. A box counts only if the inspector signed it, for the very row that it stands in; anything else is refused unsent.
2. The attempt is on record before the first byte leaves. If we die after that, the row ends in doubt, for a person.
3. Retries back off with jitter and give up after `limits.SEND_GIVE_UP_SECONDS` or `limits.SEND_ATTEMPTS`.
4. What the other side said goes nowhere: a receipt has a token and a code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Protocol

from channels.contract import Channel, ChannelName, Outbound, Receipt, SendResult
from gateway import limits
from gateway.claiming import Claiming
from gateway.codec import BadFrame, unpack
from gateway.errors import Fenced, StoreError
from gateway.killpoints import Point, reach
from gateway.log import Log, LogEvent
from gateway.rules import Token
from gateway.store.outbox import Outbox, OutboxClaim
from gateway.store.waking import Ear
from keys.box import Binding, Purpose
from keys.errors import KeysError
from keys.secret import Secret


class Unbox(Protocol):
    """Opens with the edge's private outbox keys, by the inspector's signature."""

    def __call__(self, box: bytes, binding: Binding, /) -> Secret[bytes]:
        """Raises a KeysError."""
        ...


class Jitter(Protocol):
    def __call__(self) -> float:
        """Between 0 and 1, evenly."""
        ...


class Sender:
    """`at_once`: sessions with other servers at a time."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        channels: Mapping[ChannelName, Channel],
        unbox: Unbox,
        ear: Ear,
        jitter: Jitter,
        log: Log,
        at_once: int = limits.SENDS_AT_ONCE,
    ) -> None:
        self._outbox, self._channels, self._unbox = outbox, channels, unbox
        self._jitter, self._log = jitter, log
        self.claiming = Claiming(
            claim=lambda n: outbox.claim(n, limits.SEND_LEASE_SECONDS),
            process=self.process, ear=ear, log=log, at_once=at_once,
        )  # fmt: skip

    async def process(self, claim: OutboxClaim) -> None:
        """One row, to the end of this attempt. Never raises but on cancellation."""
        try:
            await self._process(claim)
        except Fenced:
            pass  # taken over, and what comes of it is told there
        except StoreError as error:
            self._log.fault(error, LogEvent.STORE_DOWN, row=Token(claim.id))

    async def _process(self, claim: OutboxClaim) -> None:
        try:
            outbound = self._open(claim)
        except (KeysError, BadFrame) as error:
            self._log.fault(error, LogEvent.SEND_ENDED, row=Token(claim.id))
            await self._settle(claim, Receipt(result=SendResult.REFUSED, reason="box.unreadable"))
            return
        channel = self._channels.get(outbound.channel)
        if channel is None:
            await self._settle(claim, Receipt(result=SendResult.REFUSED, reason="channel.unknown"))
            return
        if self.claiming.stopping:
            await self._outbox.give_back(claim)
            return
        await self._outbox.attempting(claim)
        self._log.write(LogEvent.SEND_ATTEMPTED, row=Token(claim.id), attempt=claim.attempts)
        receipt = await self._send(channel, outbound, claim)
        reach(Point.OUTBOX_SENT)
        await self._settle(claim, receipt)

    def _open(self, claim: OutboxClaim) -> Outbound:
        binding = Binding(purpose=Purpose.OUTBOX, row=claim.id, channel=claim.channel)
        outbound = unpack(Outbound, self._unbox(claim.box, binding).reveal())
        if outbound.channel != claim.channel or outbound.idempotency_key != claim.id:
            raise BadFrame
        return outbound

    async def _send(self, channel: Channel, outbound: Outbound, claim: OutboxClaim) -> Receipt:
        try:
            async with asyncio.timeout(limits.SEND_LEASE_SECONDS - 30):
                return await channel.send(outbound)
        except Exception as error:  # noqa: BLE001 - a channel that breaks may have sent it: a person decides
            self._log.fault(error, LogEvent.FAULT, row=Token(claim.id))
            return Receipt(result=SendResult.DOUBT, reason="channel.failed")

    async def _settle(self, claim: OutboxClaim, receipt: Receipt) -> None:
        if receipt.result is SendResult.RETRY and claim.attempts >= limits.SEND_ATTEMPTS:
            receipt = Receipt(
                result=SendResult.REFUSED, reason="attempts.used-up", code=receipt.code, tls=receipt.tls
            )
        delay = backoff(claim.attempts, self._jitter()) if receipt.result is SendResult.RETRY else 0.0
        pause = 0.2
        while True:
            try:
                state = await self._outbox.settle(claim, receipt, delay=delay)
                break
            except Fenced:
                raise
            except StoreError:
                if pause > 60:
                    raise  # the row says "attempting": it ends in doubt, and nothing is sent twice
            await asyncio.sleep(pause)
            pause *= 2
        self._log.write(
            LogEvent.SEND_ENDED, row=Token(claim.id), state=Token(state), reason=Token(receipt.reason),
            code=receipt.code, tls=Token(receipt.tls or "none"), attempt=claim.attempts,
        )  # fmt: skip


def backoff(attempts: int, jitter: float) -> float:
    """Seconds until the next attempt: 30, 60, 120 … up to four hours, three quarters to five quarters of it."""
    return min(30.0 * 2.0 ** (max(attempts, 1) - 1), 4 * 3600.0) * (0.75 + jitter / 2)

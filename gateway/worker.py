"""The worker: claims what the edge has acknowledged, has it opened and judged, and files, holds or retries it.

Rules:
1. Every claim ends in exactly one of: queued, held, back to waiting. If we can do none of these (the store is away,
   we are killed), the lease ends and somebody claims it again.
2. After the acknowledgement there is no refusing: defer is a bounded number of retries and then held, reject is held
   with state `refused`. Nothing is bounced.
3. A message that stops its worker is tried `limits.ATTEMPTS` times and then held (`gateway.limit`); one that makes a
   part of ours fail is held at once (`gateway.fault`). Neither stands in the way of those behind it.
4. When it is the keys that are away (gpg, the key process), the message isn't to blame: it waits, up to a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from gateway import limits
from gateway.claiming import Claiming
from gateway.codec import BadFrame
from gateway.crossing import Outcome, Passage
from gateway.errors import Fenced, StoreDown, StoreError, StoreFull, WorkerError
from gateway.faults import FAULT, LIMIT, UNAVAILABLE, decided
from gateway.held import HeldSight
from gateway.holding import Holding
from gateway.ids import Clock, micros
from gateway.killpoints import Point, reach
from gateway.log import Log, LogEvent
from gateway.opened import Failure
from gateway.rules import Action, Decision, Token
from gateway.store.queue import Filed, Queue
from gateway.store.spool import Claim, Spool
from gateway.store.waking import Ear
from gateway.workshop import Workshop
from keys.box import Binding, Purpose
from keys.errors import KeysError, Unavailable

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Aftermath:
    """What else is due when a message was filed: how a reply would leave, certificates that came along."""

    filed: Callable[[Filed, Passage], None]
    ended: Callable[[str], None]


class Worker:
    """`at_once`: messages under way; more than the sandbox has places for, so that waiting for disks costs nothing."""

    def __init__(
        self,
        *,
        spool: Spool,
        queue: Queue,
        workshop: Workshop,
        holding: Holding,
        aftermath: Aftermath,
        ear: Ear,
        clock: Clock,
        log: Log,
        at_once: int,
    ) -> None:
        self._spool, self._queue, self._workshop, self._holding = spool, queue, workshop, holding
        self._aftermath, self._clock, self._log = aftermath, clock, log
        self.claiming = Claiming(
            claim=lambda n: spool.claim(n, limits.LEASE_SECONDS),
            process=self.process, ear=ear, log=log, at_once=at_once,
        )  # fmt: skip

    async def process(self, claim: Claim) -> None:
        """One claim, to its end. Never raises but on cancellation."""
        try:
            await self._process(claim)
        except asyncio.CancelledError:
            await self._guarded(self._spool.retry(claim, 0.0, counted=False))  # we are stopped: it isn't to blame
            raise
        except Fenced:
            pass  # somebody else has it by now, and will say what becomes of it
        except StoreError as error:
            self._log.fault(error, LogEvent.STORE_DOWN, message=Token(claim.id))
        except Exception as error:  # noqa: BLE001 - our own fault: the message is held, not lost and not passed
            self._log.fault(error, LogEvent.MESSAGE_FAULT, message=Token(claim.id))
            await self._guarded(self._hold(claim, decided(FAULT)))

    async def _process(self, claim: Claim) -> None:
        if claim.attempts > limits.ATTEMPTS:
            await self._hold(claim, decided(LIMIT, attempts=claim.attempts - 1))
            return
        binding = Binding(purpose=Purpose.SPOOL, row=claim.id, channel=claim.channel)
        reach(Point.WORKER_STARTED)
        try:
            report, outcome = await self._workshop.way_in(claim.box, binding, claim.waived)
        except WorkerError as error:
            self._log.write(LogEvent.WORKER_ENDED, message=Token(claim.id), limit=Token(error.limit))
            evidence = decided(LIMIT, limit=Token(error.limit), attempts=claim.attempts)
            await self._again(claim, evidence)
            return
        except Unavailable as error:
            await self._await_keys(claim, error)
            return
        except BadFrame:
            await self._hold(claim, decided(FAULT))
            return
        reach(Point.WORKER_DONE)
        if report.fault:
            facts = {"kind": Token(report.fault), "where": Token(report.where)}
            self._log.write(LogEvent.MESSAGE_FAULT, message=Token(claim.id), **facts)
            await self._hold(claim, decided(FAULT, **facts))
        elif report.why == UNAVAILABLE.code:
            await self._await_keys(claim, Unavailable())
        elif report.decision is not None:
            await self._hold(claim, report.decision)
        elif outcome is not None:
            await self._settle(claim, outcome, report.sight)
        else:
            await self._hold(claim, decided(FAULT))

    async def _settle(self, claim: Claim, outcome: Outcome, sight: HeldSight | None) -> None:
        passage = outcome.passage
        if passage is not None and Failure.UNAVAILABLE.value in passage.failures:
            await self._await_keys(claim, Unavailable())
        elif outcome.decision.action is Action.ACCEPT and outcome.cleared is not None and passage is not None:
            await self._file(claim, outcome)
        elif outcome.decision.action is Action.DEFER:
            await self._again(claim, outcome.decision, passage, sight)
        else:
            await self._hold(claim, outcome.decision, passage, sight)

    async def _file(self, claim: Claim, outcome: Outcome) -> None:
        cleared, passage = outcome.cleared, outcome.passage
        if cleared is None or passage is None:
            raise BadFrame
        filed = await self._until_lease_ends(claim, lambda: self._queue.put(claim, cleared, passage))
        self._log.write(
            LogEvent.MESSAGE_QUEUED, message=Token(filed.message), conversation=Token(filed.conversation),
            sequence=filed.sequence, attempt=claim.attempts,
        )  # fmt: skip
        if claim.waived:
            self._aftermath.ended(claim.id)
        self._aftermath.filed(filed, passage)

    async def _hold(
        self, claim: Claim, decision: Decision, passage: Passage | None = None, sight: HeldSight | None = None
    ) -> None:
        await self._until_lease_ends(claim, lambda: self._holding.hold(claim, decision, passage, sight))
        self._log.write(
            LogEvent.MESSAGE_HELD, message=Token(claim.id), layer=Token(decision.layer),
            action=Token(decision.action.name.lower()), attempt=claim.attempts, findings=len(decision.findings),
        )  # fmt: skip

    async def _again(
        self, claim: Claim, decision: Decision, passage: Passage | None = None, sight: HeldSight | None = None
    ) -> None:
        """Another attempt, while there are any left."""
        if claim.attempts >= limits.ATTEMPTS:
            await self._hold(claim, decision, passage, sight)
            return
        delay = limits.RETRY_SECONDS * 4 ** (claim.attempts - 1)
        await self._until_lease_ends(claim, lambda: self._spool.retry(claim, delay))
        self._log.write(LogEvent.MESSAGE_RETRIED, message=Token(claim.id), attempt=claim.attempts, seconds=delay)

    async def _await_keys(self, claim: Claim, error: KeysError) -> None:
        """Not the message's fault: the attempt isn't counted, until it has waited long enough for a person to know."""
        waited = (micros(self._clock.now()) - claim.received_at) / 1_000_000
        self._log.fault(error, LogEvent.KEYS_UNAVAILABLE, message=Token(claim.id))
        if waited > limits.KEYS_AWAY_SECONDS:
            await self._hold(claim, decided(UNAVAILABLE, seconds=int(waited)))
            return
        delay = min(60.0, max(limits.RETRY_SECONDS, waited / 4))
        await self._until_lease_ends(claim, lambda: self._spool.retry(claim, delay, counted=False))

    async def _until_lease_ends(self, claim: Claim, act: Callable[[], Awaitable[T]]) -> T:
        """A store, or a stamp, that is away for a moment costs no second opening."""
        pause = 0.2
        while True:
            try:
                return await act()
            except (StoreDown, StoreFull, Unavailable):
                left = (claim.lease_until - micros(self._clock.now())) / 1_000_000
                if left < pause * 2:
                    raise
            await asyncio.sleep(pause)
            pause = min(pause * 2, 5.0)

    async def _guarded(self, act: Awaitable[None]) -> None:
        try:
            await act
        except Fenced:
            pass
        except Exception as error:  # noqa: BLE001 - the lease will end, and it is claimed again
            self._log.fault(error, LogEvent.MESSAGE_FAULT)

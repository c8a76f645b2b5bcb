"""Replies: what agents wrote leaves protected, or doesn't leave and says why.

    claim ──► Dispatch ──► worker: unbox, OUTBOUND, protect, compose, box to the edge ──► outbox row + sanitized copy

Rules:
1. An answer that OUTBOUND stops, or that can't be protected as the policy demands, is stopped; the agent sees why.
2. The outbox row, the agents' copy and the reply's end are one transaction.
3. When the keys are away it waits, like a message does; it is never sent otherwise instead.
"""

from __future__ import annotations

from gateway import limits
from gateway.claiming import Claiming
from gateway.codec import BadFrame
from gateway.dispatching import Dispatching, Occasion
from gateway.errors import Fenced, StoreError, WorkerError
from gateway.faults import FAULT, LIMIT, UNAVAILABLE
from gateway.ids import Clock, micros
from gateway.killpoints import Point, reach
from gateway.log import Log, LogEvent
from gateway.requests import reply_binding
from gateway.rules import Action, Decision, Token
from gateway.store.queue import Queue
from gateway.store.replies import Replies, ReplyClaim
from gateway.store.waking import Ear
from gateway.workshop import Workshop
from keys.errors import Unavailable


class ReplyWorker:
    def __init__(
        self,
        *,
        replies: Replies,
        queue: Queue,
        workshop: Workshop,
        dispatching: Dispatching,
        ear: Ear,
        clock: Clock,
        log: Log,
        at_once: int,
    ) -> None:
        self._replies, self._queue, self._workshop = replies, queue, workshop
        self._dispatching, self._clock, self._log = dispatching, clock, log
        self.claiming = Claiming(
            claim=lambda n: replies.claim(n, limits.LEASE_SECONDS),
            process=self.process, ear=ear, log=log, at_once=at_once,
        )  # fmt: skip

    async def process(self, claim: ReplyClaim) -> None:
        """One reply, to its end. Never raises but on cancellation."""
        try:
            await self._process(claim)
        except Fenced:
            pass  # somebody else has it by now
        except StoreError as error:
            self._log.fault(error, LogEvent.STORE_DOWN, reply=Token(claim.id))
        except Exception as error:  # noqa: BLE001 - our own fault: the agent sees that it wasn't sent
            self._log.fault(error, LogEvent.FAULT, reply=Token(claim.id))
            await self._stop(claim, FAULT.code)

    async def _process(self, claim: ReplyClaim) -> None:
        if claim.attempts > limits.ATTEMPTS:
            await self._stop(claim, LIMIT.code)
            return
        correspondence = await self._queue.correspondence(claim.conversation)
        occasion = Occasion(id=claim.id, author=claim.author)
        dispatch = self._dispatching.in_conversation(occasion, correspondence) if correspondence else None
        if dispatch is None:
            await self._stop(claim, "nobody-to-answer")
            return
        try:
            report, outcome = await self._workshop.way_out(claim.box, reply_binding(claim.id), dispatch)
        except (WorkerError, BadFrame) as error:
            self._log.fault(error, LogEvent.WORKER_ENDED, reply=Token(claim.id))
            await self._again(claim, LIMIT.code, None)
            return
        except Unavailable as error:
            self._log.fault(error, LogEvent.KEYS_UNAVAILABLE, reply=Token(claim.id))
            await self._await_keys(claim)
            return
        reach(Point.REPLY_SEALED)
        if report.fault:
            self._log.write(
                LogEvent.FAULT, reply=Token(claim.id), kind=Token(report.fault), where=Token(report.where)
            )
            await self._stop(claim, FAULT.code)
        elif report.why == UNAVAILABLE.code:
            await self._await_keys(claim)
        elif report.decision is not None:
            await self._decided(claim, report.decision)
        elif outcome is not None and outcome.decision.action is not Action.ACCEPT:
            await self._decided(claim, outcome.decision)
        elif outcome is not None and (sent := self._dispatching.sent(dispatch, report, outcome)) is not None:
            filed = await self._queue.record_sent(sent, claim)
            self._log.write(
                LogEvent.REPLY_BOXED, reply=Token(claim.id), conversation=Token(filed.conversation),
                protect=Token(report.protect), why=Token(report.why),
            )  # fmt: skip
        else:
            await self._stop(claim, report.why or FAULT.code)

    async def _decided(self, claim: ReplyClaim, decision: Decision) -> None:
        if decision.action is Action.DEFER:
            await self._again(claim, decision.findings[0].rule.code, decision)
        else:
            await self._stop(claim, decision.findings[0].rule.code, decision)

    async def _again(self, claim: ReplyClaim, reason: str, decision: Decision | None) -> None:
        if claim.attempts >= limits.ATTEMPTS:
            await self._stop(claim, reason, decision)
            return
        await self._replies.retry(claim, limits.RETRY_SECONDS * 4 ** (claim.attempts - 1))
        self._log.write(LogEvent.REPLY_RETRIED, reply=Token(claim.id), attempt=claim.attempts)

    async def _await_keys(self, claim: ReplyClaim) -> None:
        waited = (micros(self._clock.now()) - claim.created_at) / 1_000_000
        if waited > limits.KEYS_AWAY_SECONDS:
            await self._stop(claim, UNAVAILABLE.code)
            return
        await self._replies.retry(claim, min(60.0, max(limits.RETRY_SECONDS, waited / 4)), counted=False)

    async def _stop(self, claim: ReplyClaim, reason: str, decision: Decision | None = None) -> None:
        await self._replies.stop(claim, reason, decision)
        self._log.write(LogEvent.REPLY_STOPPED, reply=Token(claim.id), reason=Token(reason))

"""Deciding: what reviewers and agents ask of the inspector, in boxes that the desk signed.

    claim ──► worker: unbox ──► the request ──► release | reject | send again ──► done

Rules:
1. What counts is what stands in the box; the row's columns only must agree with it.
2. A request that isn't the desk's, or asks for something that is gone, fails; doing one twice changes nothing.
"""

from __future__ import annotations

from gateway import limits
from gateway.claiming import Claiming
from gateway.codec import BadFrame
from gateway.errors import Fenced, StoreError, WorkerError
from gateway.faults import FAULT, LIMIT, NEVER_WAIVED, UNAVAILABLE
from gateway.ids import Clock, micros
from gateway.log import Log, LogEvent
from gateway.requests import HeldRequest, Verb, request_binding
from gateway.rules import Token
from gateway.store.outbox import Outbox
from gateway.store.requests import RequestClaim, Requests
from gateway.store.spool import Spool
from gateway.store.waking import Ear
from gateway.workshop import Workshop
from keys.errors import Unavailable


class RequestWorker:
    def __init__(
        self,
        *,
        requests: Requests,
        spool: Spool,
        outbox: Outbox,
        workshop: Workshop,
        ear: Ear,
        clock: Clock,
        log: Log,
    ) -> None:
        self._requests, self._spool, self._outbox, self._workshop = requests, spool, outbox, workshop
        self._clock, self._log = clock, log
        self.claiming = Claiming(
            claim=lambda n: requests.claim(n, limits.LEASE_SECONDS),
            process=self.process, ear=ear, log=log, at_once=limits.REQUESTS_AT_ONCE,
        )  # fmt: skip

    async def process(self, claim: RequestClaim) -> None:
        """One request, to its end. Never raises but on cancellation."""
        try:
            reason = await self._process(claim)
            if reason is None:
                return
            if reason:
                await self._requests.finish(claim, done=False, reason=reason)
        except Fenced:
            return
        except StoreError as error:
            self._log.fault(error, LogEvent.STORE_DOWN, request=Token(claim.id))
            return
        self._log.write(
            LogEvent.REQUEST_DONE, request=Token(claim.id), kind=Token(claim.kind), reason=Token(reason or "none")
        )

    async def _process(self, claim: RequestClaim) -> str | None:
        """Why it failed, "" when it is done, None when it is tried again."""
        if claim.attempts > limits.ATTEMPTS:
            return LIMIT.code
        try:
            report = await self._workshop.read_request(claim.box, request_binding(claim.id))
        except (WorkerError, BadFrame) as error:
            self._log.fault(error, LogEvent.WORKER_ENDED, request=Token(claim.id))
            await self._requests.retry(claim, limits.RETRY_SECONDS)
            return None
        except Unavailable as error:
            self._log.fault(error, LogEvent.KEYS_UNAVAILABLE, request=Token(claim.id))
            return await self._await_keys(claim)
        if report.why == UNAVAILABLE.code:
            return await self._await_keys(claim)
        if report.decision is not None:
            return report.decision.findings[0].rule.code
        request = report.request
        if request is None:
            return FAULT.code
        if request.id != claim.id or request.verb != claim.kind or request.held != claim.object_id:
            return "request.disagrees"
        return await self._do(request, claim)

    async def _await_keys(self, claim: RequestClaim) -> str | None:
        """It isn't to blame and isn't counted, as with a message, until somebody must have noticed."""
        waited = (micros(self._clock.now()) - claim.created_at) / 1_000_000
        if waited > limits.KEYS_AWAY_SECONDS:
            return UNAVAILABLE.code
        delay = min(60.0, max(limits.RETRY_SECONDS, waited / 4))
        await self._requests.retry(claim, delay, counted=False)
        return None

    async def _do(self, request: HeldRequest, claim: RequestClaim) -> str:
        """What is done and the request's end are one transaction."""
        ended = self._requests.ending(claim, done=True)
        if request.verb is Verb.RELEASE:
            waived = frozenset(request.waived) - NEVER_WAIVED
            done = await self._spool.release(request.held, waived, request.reviewer, ended=ended)
            return "" if done else "held.gone"
        if request.verb is Verb.RESEND:
            until = micros(self._clock.now()) + int(limits.SEND_GIVE_UP_SECONDS * 1_000_000)
            again = await self._outbox.resend(request.held, request.reviewer, expires_at=until, ended=ended)
            return "" if again else "reply.gone"
        if not await self._spool.reject(request.held, request.reviewer, ended=ended):
            return "held.gone"
        await self._workshop.with_keys(lambda: self._workshop.agent.forget_held(request.held))
        return ""

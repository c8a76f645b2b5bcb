"""The workshop: one job done by two processes that know nothing of each other's trade.

    parent ── box + one end of a socket pair ──► key process, which forks an opener for this message alone
       └───── job + the other end ─────────────► parser worker

The parent holds neither plaintext nor keys; when a report is back, both processes are gone (strict) or empty-handed.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gateway import limits
from gateway.crossing import Outcome, unpack_outcome
from gateway.ids import Clock
from gateway.jobs import Dispatch, Job, JobKind, Report
from gateway.openers import Line, Openers
from gateway.rules import Code
from gateway.sandbox import Sandbox
from keys.agent_client import AgentClient
from keys.box import Binding
from keys.protocol import Kind
from keys.secret import Secret

T = TypeVar("T")


class Workshop:
    """`agent` is asked in threads of its own, for it answers synchronously. `openers` is for fast recycling; without it
    each message has an opener to itself."""

    def __init__(self, sandbox: Sandbox, agent: AgentClient, clock: Clock, openers: Openers | None = None) -> None:
        self._sandbox, self.agent, self._clock = sandbox, agent, clock
        self._openers = openers
        self._threads = ThreadPoolExecutor(8, thread_name_prefix="keys")

    async def way_in(
        self, box: bytes, binding: Binding, waived: frozenset[Code] = frozenset(), *, explain: bool = False
    ) -> tuple[Report, Outcome | None]:
        """The outcome is None when the report tells of a fault, or decides before anything was opened.
        Raises WorkerError, keys.errors.Unavailable, BadFrame."""
        kind = JobKind.EXPLAIN if explain else JobKind.MESSAGE
        job = self._job(kind, binding, waived=tuple(sorted(waived)))
        report = await self._do(job, box, binding, Kind.INBOUND)
        return report, unpack_outcome(report.outcome, job.key.reveal()) if report.outcome else None

    async def way_out(self, box: bytes, binding: Binding, dispatch: Dispatch) -> tuple[Report, Outcome | None]:
        """As `way_in`; the outcome holds the sanitized copy, the report the box for the edge."""
        kind = JobKind.NOTICE if dispatch.reply.template else JobKind.REPLY
        job = self._job(kind, binding, dispatch=dispatch)
        report = await self._do(job, box, binding, Kind.REPLY)
        return report, unpack_outcome(report.outcome, job.key.reveal()) if report.outcome else None

    async def read_request(self, box: bytes, binding: Binding) -> Report:
        """A reviewer's decision. Raises as `way_in`."""
        return await self._do(self._job(JobKind.REQUEST, binding), box, binding, Kind.INBOUND)

    async def with_keys(self, ask: Callable[[], T]) -> T:
        """A synchronous question to the key process. Raises a KeysError."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, ask)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _job(
        self, kind: JobKind, binding: Binding, *, waived: tuple[Code, ...] = (), dispatch: Dispatch | None = None
    ) -> Job:
        return Job(
            kind=kind, row=binding.row, channel=binding.channel, key=Secret(secrets.token_bytes(32)),
            at=self._clock.now(), waived=waived, dispatch=dispatch,
        )  # fmt: skip

    def certificates_changed(self) -> None:
        """Openers that know the old directory get no more messages."""
        if self._openers is not None:
            self._openers.clear()

    async def _do(self, job: Job, box: bytes, binding: Binding, kind: Kind) -> Report:
        """The opener's time runs from its start, so it starts when a worker is at hand; the worker doesn't wait for
        it."""
        async with self._sandbox.place() as place:
            opener, line = await self._begin(box, binding, kind)
            try:
                report = await place.run(job, opener, seconds=limits.WORKER_SECONDS)
            except BaseException:
                if line is not None and self._openers is not None:
                    self._openers.drop(line)
                raise
        if line is not None and self._openers is not None:
            self._openers.give_back(line)
        return report

    async def _begin(self, box: bytes, binding: Binding, kind: Kind) -> tuple[socket.socket, Line | None]:
        """The worker's end of the line to an opener."""
        ours, theirs = socket.socketpair()
        line: Line | None = None
        try:
            with theirs:
                if self._openers is not None and kind is Kind.INBOUND:
                    line = self._openers.begin(theirs, box, binding)
                if line is None and not self.agent.begin(theirs, box, binding, kind):
                    await self.with_keys(lambda: self.agent.attend(theirs, box, binding, kind))
        except BaseException:
            ours.close()
            raise
        return ours, line

"""Explaining: one message through the very layers, opener and worker of the gateway, with nothing stored.

    facts ─► ADMISSION ─► box in memory ─► key process and sandbox ─► what would happen, and why

Rules:
1. Whatever the message is, the answer is an `Examination`; a worker that was stopped or failed is one as well.
2. The keys that box and unbox are made for the occasion and live in a folder of their own that goes afterwards; of a
   real keys folder only the OpenPGP home is used, and only read.
3. A message that ADMISSION refuses is still opened, so that all that is wrong with it can be told; its decision stays.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from channels.contract import Inbound
from gateway.codec import BadFrame
from gateway.crossing import Outcome, pack_admitted
from gateway.errors import WorkerError
from gateway.explained import ExplainedFinding, Explanation, explained_finding
from gateway.faults import FAULT, LIMIT, UNAVAILABLE, decided
from gateway.ids import Clock, SystemClock, Ulids
from gateway.jobs import Report, Setup
from gateway.layers import Layer, Passed
from gateway.policy import Policy
from gateway.rules import Code, Decision, Token
from gateway.sandbox import FAST_JOBS, Sandbox
from gateway.sanitized import Sanitized
from gateway.workshop import Workshop
from keys import keyring
from keys.agent_client import AgentClient
from keys.box import Binding, Purpose, seal
from keys.directory import Trust
from keys.errors import KeysError, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """`decision` is the worst that any layer says; `admission` is what the sender would hear about. `sanitized` is what
    an agent would see, None when nothing would reach one. `explanation` None: nothing could be opened."""

    inbound: Inbound
    decision: Decision
    admission: Decision
    findings: tuple[ExplainedFinding, ...]
    explanation: Explanation | None
    sanitized: Sanitized | None


class Examiner:
    """Started once, good for many messages. `layer` is ADMISSION under the policy; `certificates` are customers'
    certificates with the address that each is bound to ("": those of its user ids). With `secret_keys` those open, and
    not the ones of `keys_folder`."""

    def __init__(
        self,
        layer: Layer[Inbound],
        policy: Policy,
        *,
        keys_folder: Path | None = None,
        certificates: Sequence[tuple[bytes, str]] = (),
        secret_keys: Sequence[bytes] = (),
        clock: Clock | None = None,
        workers: int = 1,
    ) -> None:
        self._layer = layer.under(policy.actions)
        self._policy, self._certificates = policy, certificates
        self._keys_folder, self._secret_keys = None if secret_keys else keys_folder, secret_keys
        self._clock = clock or SystemClock()
        self._ids = Ulids(self._clock)
        self._workers = workers
        self._folder = Path()
        self._workshop: Workshop | None = None
        self._sandbox: Sandbox | None = None

    async def __aenter__(self) -> Self:
        """Raises WorkerError, KeysError."""
        self._folder = Path(tempfile.mkdtemp(prefix="vestibule-"))
        try:
            self._edge = await asyncio.to_thread(self._make_keys)
            self._sandbox = Sandbox(Setup(actions=self._policy.actions), workers=self._workers, jobs=FAST_JOBS)
            agent = AgentClient(self._folder)
            self._workshop = Workshop(self._sandbox, agent, self._clock)
            await asyncio.gather(self._sandbox.start(), self._workshop.with_keys(agent.start))
            for data in self._secret_keys:
                await self._workshop.with_keys(partial(agent.import_own, data))
            for data, address in self._certificates:
                bind = partial(agent.import_certificate, data, [address] if address else [], Trust.MANUAL, decided=True)
                await self._workshop.with_keys(bind)
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def examine(self, inbound: Inbound) -> Examination:
        """Never raises for what the message is."""
        admission = await self._layer.judge(inbound)
        stopping = frozenset(Code(finding.rule.code) for finding in admission.findings)
        passed = await self._layer.waiving(stopping).require(inbound)
        report, outcome = await self._inside(passed)
        after = _after(report, outcome)
        explanation = report.explanation
        inside = tuple(
            finding for finding in (explanation.findings if explanation else ()) if finding.layer != self._layer.name
        )
        if explanation is None:
            inside = tuple(explained_finding(after.layer, one, self._policy.actions) for one in after.findings)
        outside = (explained_finding(admission.layer, one, self._policy.actions) for one in admission.findings)
        return Examination(
            inbound=inbound,
            decision=max((admission, after), key=lambda decision: decision.action),
            admission=admission,
            findings=(*outside, *inside),
            explanation=explanation,
            sanitized=outcome.cleared.message if outcome is not None and outcome.cleared is not None else None,
        )

    async def _inside(self, passed: Passed[Inbound]) -> tuple[Report, Outcome | None]:
        if self._workshop is None:
            raise RuntimeError("not started")
        binding = Binding(purpose=Purpose.SPOOL, row=self._ids.new(), channel=passed.message.channel)
        waived = frozenset(Code(finding.rule.code) for finding in passed.findings)
        try:
            box = seal(
                pack_admitted(passed), to=self._edge.public.current(Purpose.SPOOL), by=self._edge.sign, binding=binding
            )
            return await self._workshop.way_in(box, binding, waived, explain=True)
        except WorkerError as error:
            return Report(limit=error.limit), None
        except Unavailable:
            return Report(why=UNAVAILABLE.code), None
        except (BadFrame, KeysError) as error:
            return Report(fault=type(error).__name__), None

    def _make_keys(self) -> keyring.Edge:
        if self._keys_folder is not None:
            (self._folder / "inspector").mkdir(mode=0o700)
            home = (self._keys_folder / "inspector" / "gnupg").absolute()
            (self._folder / "inspector" / "gnupg").symlink_to(home)
        keyring.generate(self._folder)
        return keyring.Edge.load(self._folder)

    async def _close(self) -> None:
        if self._sandbox is not None:
            await self._sandbox.close()
        if self._workshop is not None:
            await asyncio.to_thread(self._workshop.agent.close)
            self._workshop.close()
        await asyncio.to_thread(shutil.rmtree, self._folder, True)


def _after(report: Report, outcome: Outcome | None) -> Decision:
    """What is decided after the acknowledgement."""
    if report.limit:
        return decided(LIMIT, limit=Token(report.limit))
    if report.fault:
        return decided(FAULT, kind=Token(report.fault), where=Token(report.where))
    if report.why:
        return decided(UNAVAILABLE)
    if report.decision is not None:
        return report.decision
    return outcome.decision if outcome is not None else decided(FAULT)


async def examine(inbound: Inbound, layer: Layer[Inbound], policy: Policy, *, keys_folder: Path | None) -> Examination:
    """One message; for many, keep an `Examiner`."""
    async with Examiner(layer, policy, keys_folder=keys_folder) as examiner:
        return await examiner.examine(inbound)

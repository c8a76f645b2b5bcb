"""Serving: what a parser worker does with one job. Everything it needs was imported before the zygote shut itself in.

    the box ──opener──► way in: open, inspect, sanitize, release      ──► outcome, in a frame keyed for this job
                        way out: outbound, protect, compose, box      ──► box for the edge, sanitized copy
                        request: read                                 ──► a reviewer's decision

Rule: what the keys say of the box itself (forged, moved, unreadable) is a decision; what they say because they are away
is "try again"; anything else that is raised is our own fault and the caller's to report.
"""

from __future__ import annotations

import asyncio
import encodings
import pkgutil
import socket
from contextlib import suppress
from importlib import import_module
from typing import Final

from gateway import faults
from gateway.codec import BadFrame, unpack
from gateway.crossing import Outcome, pack_outcome
from gateway.explained import explained
from gateway.faults import decided
from gateway.held import HeldSight
from gateway.jobs import Job, JobKind, Report, Setup
from gateway.opened import Opened
from gateway.path import Layers, Steps, way_in
from gateway.path_out import way_out
from gateway.requests import HeldRequest
from gateway.rules import Action
from gateway.sanitizing import glimpse
from gateway.warming import warm_up
from keys.errors import BadData, BadSignature, CannotDecrypt, MissingKey, Unavailable
from keys.opener_client import OpenerClient
from keys.unbox import Unboxed

WARM_ROUNDS: Final = 6
"""CPython rewrites code that runs for the eighth time or so (PEP 659). Done before the fork, workers needn't, and don't
unshare the pages that hold it: an eighth of a worker's time for a message."""


class Service:
    """Made once in the zygote; `serve` runs in its children."""

    def __init__(self, setup: Setup) -> None:
        self._actions = setup.actions
        self._layers = Layers.under(setup.actions)
        self._faces = {face.name: face for face in setup.mailboxes}

    def warm_up(self) -> None:
        """Runs a message of our own through everything, so that nothing has to be imported or opened later on."""
        for module in pkgutil.iter_modules(encodings.__path__):
            with suppress(ImportError):  # the few that belong to other systems
                import_module(f"encodings.{module.name}")
        for _ in range(WARM_ROUNDS):
            asyncio.run(warm_up(self._layers))

    async def serve(self, job: Job, opener: socket.socket) -> Report:
        """Raises what is our own fault."""
        client = OpenerClient(opener)
        try:
            unboxed = await client.unseal()
        except BadSignature:
            return Report(decision=decided(faults.FORGED))
        except (MissingKey, CannotDecrypt, BadData):
            return Report(decision=decided(faults.UNREADABLE))
        except Unavailable:
            return Report(why=faults.UNAVAILABLE.code)
        if job.kind is JobKind.REQUEST:
            return self._request(unboxed)
        if job.kind in (JobKind.REPLY, JobKind.NOTICE):
            return await way_out(unboxed, job, client, self._layers, self._faces)
        layers = self._layers.waiving(frozenset(job.waived)) if job.waived else self._layers
        steps = Steps()
        outcome = await way_in(unboxed, client, layers, steps)
        return Report(
            outcome=pack_outcome(outcome, job.key.reveal()),
            sight=_sight(outcome, steps.opened),
            explanation=explained(steps.opened, steps.findings, self._actions) if job.kind is JobKind.EXPLAIN else None,
        )

    def _request(self, unboxed: Unboxed) -> Report:
        try:
            return Report(request=unpack(HeldRequest, unboxed.payload.reveal()))
        except BadFrame:
            return Report(decision=decided(faults.FORGED))


def _sight(outcome: Outcome, opened: Opened | None) -> HeldSight | None:
    if opened is None or outcome.decision.action is Action.ACCEPT:
        return None
    return glimpse(opened, outcome.decision.layer, outcome.decision.findings)

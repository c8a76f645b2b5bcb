"""`/metrics` and `/healthz` of the edge, on a port of their own (`metrics.edge_port`). Numbers only: no customer data.

The inspector has no listener; its figures are in the store and its events in the audit, where the edge reads them.
Healthy means: the store answers, there is room for more mail, the inspector's public key is there, and what waits
doesn't wait too long.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway import limits
from gateway.errors import StoreError
from gateway.store.database import Database
from gateway.store.stats import Stats, Tally, stats


@dataclass(slots=True)
class Figures:
    """What was last read of the store, and when. `room`: more mail can be taken; `sealable`: the key is there."""

    database: Database
    counts: Mapping[str, int]
    sessions: Callable[[], int]
    room: Callable[[], bool]
    sealable: Callable[[], bool]
    stats: Stats | None = None
    tally: Tally = field(default_factory=Tally)
    read_at: float = 0.0
    failures: int = 0
    started_at: float = field(default_factory=time.monotonic)

    async def refresh(self) -> None:
        try:
            self.stats = await stats(self.database)
            await self.tally.refresh(self.database)
            self.read_at = time.monotonic()
        except StoreError:
            self.failures += 1

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(limits.METRICS_SECONDS)

    @property
    def fresh(self) -> bool:
        return self.stats is not None and time.monotonic() - self.read_at < 4 * limits.METRICS_SECONDS

    def problems(self) -> tuple[str, ...]:
        """Fixed tokens; none when all is well."""
        found = []
        if not self.fresh:
            found.append("store.away")
        if not self.room():
            found.append("store.full")
        if not self.sealable():
            found.append("keys.absent")
        if self.stats is not None and self.stats.spool_age > limits.QUEUE_AGE_ALARM_SECONDS:
            found.append("spool.waiting")
        return tuple(found)


class _Collected(Collector):
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def collect(self) -> Iterable[Metric]:
        figures = self._figures
        yield _gauge("edge_sessions", "Open connections", figures.sessions())
        yield _gauge("edge_uptime_seconds", "Since the start", time.monotonic() - figures.started_at)
        yield _gauge("edge_healthy", "1 when /healthz says so", int(not figures.problems()))
        yield _counter("edge_store_failures", "Figures that could not be read", figures.failures)
        events = CounterMetricFamily("vestibule_edge_events", "What happened, by name", labels=["event"])
        for name, count in sorted(figures.counts.items()):
            events.add_metric([name], count)
        yield events
        audited = CounterMetricFamily("vestibule_events", "What any role wrote into the audit", labels=["event"])
        for name, count in sorted(figures.tally.counts.items()):
            audited.add_metric([name], count)
        yield audited
        if figures.stats is not None:
            yield from _of_store(figures.stats)


def _of_store(read: Stats) -> Iterable[Metric]:
    yield _by_state("spool", "Acknowledged messages not yet queued, by state: held ones too", read.spool)
    yield _by_state("outbox", "Replies and notices: on their way, sent, refused, in doubt, expired", read.outbox)
    yield _by_state("replies", "Replies of agents", read.replies)
    yield _gauge("spool_age_seconds", "Age of the oldest message that waits", read.spool_age)
    yield _gauge("spool_retrying", "Messages that failed at least once", read.spool_retrying)
    yield _gauge("held_age_seconds", "Age of the oldest held message", read.held_age)
    yield _gauge("held_next_expiry_seconds", "Until the next held message expires", read.held_next_expiry)
    yield _gauge("replies_age_seconds", "Age of the oldest reply that waits for the inspector", read.replies_age)
    yield _gauge("outbox_age_seconds", "Age of the oldest unsent reply", read.outbox_age)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"vestibule_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"vestibule_{name}", text, value=value)


def _by_state(name: str, text: str, counts: Mapping[str, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"vestibule_{name}", text, labels=["state"])
    for state, count in sorted(counts.items()):
        family.add_metric([state], count)
    return family


def application(figures: Figures) -> web.Application:
    registry = CollectorRegistry()
    registry.register(_Collected(figures))

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(request: web.Request) -> web.Response:
        problems = figures.problems()
        return web.Response(text="\n".join(problems or ("ok",)) + "\n", status=503 if problems else 200)

    app = web.Application()
    app.router.add_get("/metrics", metrics, allow_head=False)
    app.router.add_get("/healthz", health, allow_head=False)
    return app


@dataclass(slots=True)
class Measuring:
    """A listener, and the task that keeps its figures fresh."""

    runner: web.AppRunner
    watching: asyncio.Task[None]

    @property
    def port(self) -> int:
        return int(self.runner.addresses[0][1])

    async def close(self) -> None:
        self.watching.cancel()
        await self.runner.cleanup()


async def listen(figures: Figures, host: str, port: int) -> Measuring:
    """Raises OSError."""
    runner = web.AppRunner(application(figures), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return Measuring(runner, asyncio.create_task(figures.watch()))

"""`/metrics` and `/healthz` of the desk, on a port of their own (`metrics.desk_port`). No customer data, no person.

Healthy means: the store answers, and the desk's sealing key to the inspector is there.
"""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.config import Config
from gateway.desk.context import Desk
from gateway.desk.listening import bind, runner
from gateway.desk.queries import Figures, figures
from gateway.errors import StoreError
from keys.box import Purpose
from keys.errors import KeysError


class _Once(Collector):
    """One scrape's figures."""

    def __init__(self, found: Figures | None, streams: int) -> None:
        self._found, self._streams = found, streams

    def collect(self) -> Iterable[Metric]:
        yield _gauge("healthy", "1 when the store answers", float(self._found is not None))
        yield _gauge("streams", "Live connections of the console", self._streams)
        if self._found is None:
            return
        states = GaugeMetricFamily("vestibule_desk_conversations", "Conversations", labels=["state"])
        for state, count in sorted(self._found.conversations.items()):
            states.add_metric([state], count)
        yield states
        yield _gauge("waiting_seconds", "How long the oldest unanswered customer waits", self._found.waiting_seconds)
        yield _gauge("held", "Messages that wait for a reviewer", self._found.held)
        yield _gauge("held_seconds", "How long the oldest of them waits", self._found.held_seconds)
        yield _gauge("sessions", "People signed in", self._found.sessions)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"vestibule_desk_{name}", about, value=value)


async def read(desk: Desk) -> Figures | None:
    """None when the store or the key isn't there."""
    try:
        desk.public_keys.current(Purpose.REPLY)
        return await figures(desk.db, desk.clock)
    except (StoreError, KeysError):
        return None


def metrics_application(desk: Desk) -> web.Application:
    async def metrics(request: web.Request) -> web.Response:
        registry = CollectorRegistry()
        registry.register(_Once(await read(desk), sum(desk.hub.streams.values())))
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(request: web.Request) -> web.Response:
        good = await read(desk) is not None
        return web.Response(text="ok\n" if good else "not ready\n", status=200 if good else 503)

    app = web.Application()
    app.router.add_get("/metrics", metrics, allow_head=False)
    app.router.add_get("/healthz", health, allow_head=False)
    return app


async def mount(config: Config, desk: Desk) -> web.AppRunner | None:
    """None when it is off."""
    if config.metrics.desk_port < 0:
        return None
    app_runner = runner(metrics_application(desk))
    await app_runner.setup()
    await web.SockSite(app_runner, bind(config.metrics.host, config.metrics.desk_port)).start()
    return app_runner

"""`/metrics` and `/healthz` of the desk, on a port of their own (`metrics.desk_port`). No customer data, no person.

Healthy means: the store answers, and the desk's sealing key to the inspector is there.
"""

from __future__ import annotations

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from sqlalchemy import Connection, text

from gateway.config import Config
from gateway.desk.context import Desk
from gateway.desk.listening import bind, runner
from gateway.errors import StoreError
from keys.box import Purpose
from keys.errors import KeysError


def _ask(conn: Connection) -> bool:
    return conn.execute(text("SELECT 1")).scalar() == 1


async def healthy(desk: Desk) -> bool:
    try:
        desk.public_keys.current(Purpose.REPLY)
        return await desk.db.read(_ask)
    except (StoreError, KeysError):
        return False


def metrics_application(desk: Desk) -> web.Application:
    registry = CollectorRegistry()
    streams = Gauge("vestibule_desk_streams", "Live connections of the console", registry=registry)
    streams.set_function(lambda: float(sum(desk.hub.streams.values())))

    async def metrics(request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def health(request: web.Request) -> web.Response:
        good = await healthy(desk)
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

"""The web application: one route table, each line behind the guard."""

from __future__ import annotations

from importlib.metadata import version
from typing import Final

import msgspec
from aiohttp import web

from gateway import limits
from gateway.desk import guard
from gateway.desk.access import Do
from gateway.desk.api import API
from gateway.desk.api_review import REVIEW_API
from gateway.desk.context import DESK, Call, Desk, Route
from gateway.desk.events import EVENTS
from gateway.desk.openapi import document
from gateway.desk.pages import QUEUE
from gateway.desk.pages_review import REVIEW


async def openapi(request: web.Request, call: Call) -> web.StreamResponse:
    return web.Response(body=OPENAPI, content_type="application/json")


DESCRIPTION: Final = Route(
    method="GET", path="/api/openapi.json", do=Do.SELF, handler=openapi, summary="This description", quiet=True
)  # fmt: skip
API_ROUTES: Final = (*API, *REVIEW_API, *EVENTS, DESCRIPTION)
ROUTES: Final = (*QUEUE, *REVIEW, *API_ROUTES)
OPENAPI: Final = msgspec.json.encode(document(API_ROUTES, version("vestibule")))


def application(desk: Desk) -> web.Application:
    app = web.Application(middlewares=[guard.outermost], client_max_size=limits.REQUEST_BODY_BYTES)
    app[DESK] = desk
    for route in ROUTES:
        app.router.add_route(route.method, route.path, guard.guarded(route))
    app.on_response_prepare.append(guard.harden)
    return app

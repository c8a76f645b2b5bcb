"""The one way to a handler. In this order, and nothing runs before its turn:

    host → path and method → who is it → may they → where does the request come from → form token → handler

Rules:
1. Every answer, errors too, bears the security headers.
2. An unexpected exception becomes a fixed page or problem; its text goes nowhere.
3. What may not be seen and what isn't there give the same answer (404), but for actions that a role simply lacks.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from gateway.audit import Event
from gateway.desk import pages_errors, sessions
from gateway.desk.access import Do, allowed
from gateway.desk.context import DESK, Call, Desk, Route
from gateway.desk.problems import MEDIA_TYPE, Problem, of_status, wants_problem
from gateway.desk.strict import read_form
from gateway.desk.texts import chosen
from gateway.errors import StoreDown, StoreError

CSP: Final = "; ".join((
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'",
    "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
    "trusted-types 'none'",
))  # fmt: skip

HEADERS: Final = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
"""Referrer-Policy is "same-origin" and not "no-referrer": the latter makes browsers send "Origin: null" with our own
forms (Fetch standard, "append a request Origin header")."""
HSTS: Final = "max-age=63072000; includeSubDomains"

AioHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]

FORM: Final = web.RequestKey("form", dict[str, str])
QUIET_HEADER: Final = "X-Live"


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """The signal `on_response_prepare`."""
    desk = request.app[DESK]
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.popall("Server", None)
    if desk.site.secure:
        response.headers["Strict-Transport-Security"] = HSTS


@web.middleware
async def outermost(request: web.Request, handler: AioHandler) -> web.StreamResponse:
    """Host check and errors, also for paths that don't exist."""
    desk = request.app[DESK]
    try:
        if request.headers.getall("Host", []) != [request.host] or request.host.lower() not in desk.site.hosts:
            raise Problem("misdirected")
        response: web.StreamResponse = await handler(request)
    except Problem as problem:
        return answer(request, problem)
    except web.HTTPException as error:
        return error if error.status < 400 else answer(request, of_status(error.status))
    except StoreDown:
        return answer(request, Problem("away", retry_after=5))
    except StoreError as error:
        desk.log.fault(error)
        return answer(request, Problem("fault"))
    except Exception as error:  # noqa: BLE001 - rule 2
        desk.log.fault(error)
        return answer(request, Problem("fault"))
    return response


def guarded(route: Route) -> AioHandler:
    """A route's handler behind the guard."""

    async def handle(request: web.Request) -> web.StreamResponse:
        desk = request.app[DESK]
        quiet = route.quiet or (not route.unsafe and QUIET_HEADER in request.headers)
        signed_in = await sessions.find(request, desk, quiet=quiet)
        user = signed_in.user if signed_in else None
        token = signed_in.token if signed_in else None
        actor = sessions.actor(user)
        if route.do is not Do.ENTER:
            if actor.person is None:
                raise Problem("signed-out")
            if not allowed(actor, route.do):
                await desk.recorder.write(Event.DENIED, person=actor.person, permission=route.do.value)
                raise Problem("forbidden", action=route.do.value)
        if route.unsafe:
            _same_origin(request, desk)
            given = request.headers.get("X-CSRF-Token", "")
            if not given and not wants_problem(request):
                request[FORM] = await read_form(request)
                given = request[FORM].pop("csrf", "")
            if not sessions.form_token_fits(desk, token, given):
                raise Problem("stale-form")
        wish = user.language if user else request.query.get("lang", "")
        texts = chosen(wish, request.headers.get("Accept-Language", ""))
        call = Call(
            desk=desk, actor=actor, user=user, texts=texts, csrf=sessions.form_token(desk, token), token=token
        )  # fmt: skip
        return await route.handler(request, call)

    return handle


def _same_origin(request: web.Request, desk: Desk) -> None:
    """Origin when the browser sends one, else Fetch Metadata; a request with neither is refused."""
    origins = request.headers.getall("Origin", [])
    if origins:
        fits = len(origins) == 1 and origins[0] in desk.site.origins
    else:
        fits = request.headers.get("Sec-Fetch-Site", "") == "same-origin"
    if not fits:
        raise Problem("foreign-origin")


def answer(request: web.Request, problem: Problem) -> web.StreamResponse:
    desk = request.app[DESK]
    if wants_problem(request) or problem.kind == "misdirected":
        body = json.dumps(problem.document()).encode()
        return web.Response(body=body, status=problem.status, content_type=MEDIA_TYPE, headers=problem.headers())
    return pages_errors.page(request, desk, problem)

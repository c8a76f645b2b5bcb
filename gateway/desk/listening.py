"""The desk's socket and aiohttp's settings on it.

Rules: a connection that hasn't sent its whole header in `DESK_HEADER_SECONDS` is closed, whatever trickles in (H13); so
is one that idles that long. What isn't HTTP gets a fixed answer: aiohttp's own repeats what was sent. There is no
access log: paths and queries are nobody's business. Handlers aren't cancelled when a browser goes away: what was begun
is finished.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from gateway import limits
from gateway.errors import ConfigError


class _Protocol(RequestHandler):
    """Answers what can't be parsed, or broke before our own handlers, with its status alone; and tells who asks when
    the connection is lost."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.when_lost: Callable[[], object] | None = None

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.when_lost is not None:
            self.when_lost()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if request.writer.output_size > 0:
            raise ConnectionError
        response = web.Response(
            status=status,
            headers={"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "vestibule"},
        )
        response.force_close()
        return response


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=False,
            loop=asyncio.get_running_loop(),
            **made._kwargs,
        )


def when_lost(request: web.Request, then: Callable[[], object]) -> None:
    """Calls `then` when the browser goes away: a live stream would notice only at its next word."""
    protocol = request.protocol
    if isinstance(protocol, _Protocol):
        protocol.when_lost = then


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128, reuse_port=False)
    except OSError:
        raise ConfigError("desk.port", "can't be listened on", "is it taken, or the address not this host's?") from None


def runner(app: web.Application) -> web.AppRunner:
    return _Runner(
        app,
        access_log=None,
        keepalive_timeout=limits.DESK_HEADER_SECONDS,
        handle_signals=False,
        shutdown_timeout=limits.DRAIN_SECONDS / 2,
        max_line_size=limits.DESK_HEADER_LINE_BYTES,
        max_field_size=limits.DESK_HEADER_LINE_BYTES,
        max_headers=limits.DESK_HEADERS,
    )

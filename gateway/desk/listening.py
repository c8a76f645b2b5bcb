"""The desk's socket and aiohttp's settings on it.

Rules: a connection that hasn't sent its whole header in `DESK_HEADER_SECONDS` is closed, whatever trickles in (H13); so
is one that idles that long. There is no access log: paths and queries are nobody's business (and `gateway.log` says
what matters). Handlers aren't cancelled when a browser goes away: what was begun is finished.
"""

from __future__ import annotations

import socket

from aiohttp import web

from gateway import limits
from gateway.errors import ConfigError


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128, reuse_port=False)
    except OSError:
        raise ConfigError("desk.port", "can't be listened on", "is it taken, or the address not this host's?") from None


def runner(app: web.Application) -> web.AppRunner:
    return web.AppRunner(
        app, access_log=None, keepalive_timeout=limits.DESK_HEADER_SECONDS, handle_signals=False,
        shutdown_timeout=limits.DRAIN_SECONDS / 2, max_line_size=limits.DESK_HEADER_LINE_BYTES,
        max_field_size=limits.DESK_HEADER_LINE_BYTES, max_headers=limits.DESK_HEADERS, handler_cancellation=False,
    )  # fmt: skip

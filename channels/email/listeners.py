"""Listening sockets. Implicit TLS is accepted by hand, so that a connection counts before its handshake: else a crowd
of half-open ones would cost nobody anything but us.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Protocol

from channels.email.house import House
from channels.email.received import canonical
from channels.email.session import Session
from channels.email.settings import Kind, Listen
from keys.tls import ServerTls

BACKLOG: Final = 512
"""Connections that the kernel keeps until we accept them."""
RETRY_SECONDS: Final = 0.1
"""After an accept that failed (too many open files)."""


class Listener(Protocol):
    """`port` is the real one."""

    @property
    def port(self) -> int: ...
    def close(self) -> None: ...


async def open_listener(house: House, listen: Listen) -> Listener:
    """Raises OSError."""
    if listen.kind is Kind.IMPLICIT_TLS and listen.tls is not None:
        return TlsListener(house, listen, listen.tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Session(house, listen, loop), listen.host, listen.port, backlog=BACKLOG, reuse_address=True
    )
    return PlainListener(server)


class PlainListener:
    def __init__(self, server: asyncio.Server) -> None:
        self._server = server
        self.port: int = server.sockets[0].getsockname()[1]

    def close(self) -> None:
        self._server.close()


class TlsListener:
    def __init__(self, house: House, listen: Listen, tls: ServerTls) -> None:
        self._house, self._listen, self._tls = house, listen, tls
        family = socket.AF_INET6 if ":" in listen.host else socket.AF_INET
        self._socket = socket.create_server((listen.host, listen.port), family=family, backlog=BACKLOG)
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._handshakes: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Handshakes that aren't done yet are given up."""
        self._accepting.cancel()
        self._socket.close()
        for handshake in self._handshakes:
            handshake.cancel()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                accepted, name = await loop.sock_accept(self._socket)
            except OSError:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            session = Session(self._house, self._listen, loop)
            if not self._house.enter(session, canonical(str(name[0]))):
                accepted.close()
                continue
            handshake = loop.create_task(self._shake_hands(session, accepted))
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, session: Session, accepted: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: session,
                accepted,
                ssl=self._tls.newest(),
                ssl_handshake_timeout=self._house.limits.command_seconds,
            )
        except OSError:  # no handshake in time, or none at all; the loop has closed the socket
            self._house.leave(session)
        except asyncio.CancelledError:
            self._house.leave(session)
            raise

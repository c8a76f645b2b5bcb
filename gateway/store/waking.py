"""Waking: how one role tells another that there is work.

    SQLite       a socket that the supervisor gave us (VESTIBULE_WAKE_FD); it forwards one-letter datagrams
    PostgreSQL   LISTEN and NOTIFY on `vestibule_<role>`, by one connection of its own: a NOTIFY inside each transaction
                 halves the rate of commits
    neither      a look every half second

Rules: a wake-up says nothing but "look"; it may be lost or come for nothing, so whoever waits also looks now and then.
Many `notify` make one wake-up.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from time import monotonic
from typing import Any, Final, Protocol

import psycopg
from sqlalchemy.engine import make_url

VARIABLE: Final = "VESTIBULE_WAKE_FD"
LETTERS: Final = {"edge": b"e", "inspector": b"i", "desk": b"d"}
POLL_SECONDS: Final = 0.5
_QUIET_SECONDS: Final = 0.005
"""NOTIFYs closer together than this become one."""
_RECONNECT_SECONDS: Final = 1.0


class Ear(Protocol):
    async def wait(self, seconds: float) -> bool:
        """True when woken since the last `wait` returned, False after so many seconds."""
        ...


class Wake(Protocol):
    """One per process. Each loop that waits takes an `Ear` of its own, so that none misses what another heard."""

    def ear(self) -> Ear: ...
    async def wait(self, seconds: float) -> bool:
        """As `Ear.wait`, for a process with one loop only."""
        ...

    def notify(self, role: str) -> None:
        """Never blocks, never raises; callable from the event loop's thread."""
        ...

    async def close(self) -> None: ...


class _Ear:
    def __init__(self, longest: float) -> None:
        self._longest = longest
        self.woken = asyncio.Event()

    async def wait(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(min(seconds, self._longest)):
                await self.woken.wait()
        except TimeoutError:
            return False
        self.woken.clear()
        return True


class _Ears:
    """What all ways of waking have in common. `longest`: they look at least that often."""

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._ears: list[_Ear] = []
        self._own = self._new()

    def _new(self) -> _Ear:
        ear = _Ear(self._longest)
        self._ears.append(ear)
        return ear

    def ear(self) -> Ear:
        return self._new()

    async def wait(self, seconds: float) -> bool:
        return await self._own.wait(seconds)

    def _wake(self) -> None:
        for ear in self._ears:
            ear.woken.set()


class PollWake(_Ears):
    """Nobody wakes us: whoever waits looks every half second. A notify reaches our own process only."""

    def __init__(self, role: str) -> None:
        super().__init__(POLL_SECONDS)
        self._role = role

    def notify(self, role: str) -> None:
        if role == self._role:
            self._wake()

    async def close(self) -> None:
        pass


class SocketWake(_Ears):
    """Over the supervisor's socket (AF_UNIX, datagrams of one letter: whom to wake). Made inside the event loop."""

    def __init__(self, descriptor: int, role: str) -> None:
        super().__init__(5.0)
        self._role = role
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._heard)

    def notify(self, role: str) -> None:
        if role == self._role:
            self._wake()
            return
        try:
            self._socket.send(LETTERS[role])
        except OSError:  # full: a wake-up is on its way already; gone: the other one looks by itself
            return

    def _heard(self) -> None:
        try:
            while self._socket.recv(16):
                pass
        except BlockingIOError:
            pass
        except OSError:
            self._loop.remove_reader(self._socket)
        self._wake()

    async def close(self) -> None:
        self._loop.remove_reader(self._socket)
        self._socket.close()


class PostgresWake(_Ears):
    """Over LISTEN and NOTIFY: one thread, one connection in autocommit. Made inside the event loop."""

    def __init__(self, url: str, role: str) -> None:
        super().__init__(5.0)
        self._dsn = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._role = role
        self._loop = asyncio.get_running_loop()
        self._wanted: set[str] = set()
        self._lock = threading.Lock()
        self._listening = threading.Event()
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        os.set_blocking(self._read, False)
        self._stopping = False
        self._thread = threading.Thread(target=self._main, name="store-wake", daemon=True)
        self._thread.start()

    def notify(self, role: str) -> None:
        if role == self._role:
            self._wake()
        with self._lock:
            if role in self._wanted:
                return
            self._wanted.add(role)
        self._nudge()

    async def ready(self) -> None:
        """Returns once we listen."""
        await asyncio.to_thread(self._listening.wait)

    async def close(self) -> None:
        self._stopping = True
        self._nudge()
        await asyncio.to_thread(self._thread.join)
        os.close(self._read)
        os.close(self._write)

    def _nudge(self) -> None:
        try:
            os.write(self._write, b".")
        except BlockingIOError:
            return

    def _main(self) -> None:
        while not self._stopping:
            try:
                with psycopg.connect(self._dsn, autocommit=True, connect_timeout=5) as conn:
                    conn.execute(f"LISTEN vestibule_{self._role}")
                    self._listening.set()
                    self._tell()
                    self._listen(conn)
            except psycopg.Error:
                self._listening.clear()
                select.select([self._read], [], [], _RECONNECT_SECONDS)

    def _listen(self, conn: psycopg.Connection[Any]) -> None:
        next_at = 0.0
        while not self._stopping:
            pause = max(0.0, next_at - monotonic()) if self._wanted else None
            select.select([conn.fileno(), *([] if pause else [self._read])], [], [], pause)
            try:
                os.read(self._read, 4096)
            except BlockingIOError:
                pass
            if self._wanted and monotonic() >= next_at:
                with self._lock:
                    wanted, self._wanted = self._wanted, set()
                for role in sorted(wanted):
                    conn.execute("SELECT pg_notify(%s, '')", (f"vestibule_{role}",))
                next_at = monotonic() + _QUIET_SECONDS
            if any(True for _ in conn.notifies(timeout=0)):
                self._tell()

    def _tell(self) -> None:
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:  # the loop is closed
            self._stopping = True


def wake_for(url: str, role: str) -> Wake:
    """The way that fits this process; inside the event loop."""
    if make_url(url).get_backend_name() == "postgresql":
        return PostgresWake(url, role)
    descriptor = os.environ.get(VARIABLE, "")
    return SocketWake(int(descriptor), role) if descriptor else PollWake(role)

"""Children of the key process: forked for one thing, bounded in time, buried with their process groups."""

from __future__ import annotations

import os
import selectors
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from keys.errors import Unavailable
from keys.limits import NICENESS
from keys.process import die_with_parent


@dataclass(slots=True)
class _Child:
    pid: int
    until: float
    finish: Callable[[bool], None]


class Children:
    """Their ends are seen on `selector`. `forget` is called in each child first: what it must not keep open."""

    def __init__(self, selector: selectors.BaseSelector, forget: Callable[[], None]) -> None:
        self._selector = selector
        self._forget = forget
        self._all: dict[int, _Child] = {}

    def fork(self, work: Callable[[], None], seconds: float, finish: Callable[[bool], None]) -> None:
        """`finish` is told, in the parent, whether the child ended well. Raises Unavailable."""
        us = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            raise Unavailable from None
        if pid == 0:
            code = 1
            try:
                os.setpgid(0, 0)
                die_with_parent(us)
                for name in (signal.SIGTERM, signal.SIGINT):
                    signal.signal(name, signal.SIG_DFL)
                self._forget()
                os.nice(NICENESS)
                work()
                code = 0
            finally:
                os._exit(code)
        with suppress(OSError):
            os.setpgid(pid, pid)
        watch = os.pidfd_open(pid)
        self._all[watch] = _Child(pid, time.monotonic() + seconds, finish)
        self._selector.register(watch, selectors.EVENT_READ)

    def nearest(self) -> float:
        """When the next one's time is up, or a minute from now."""
        return min((child.until for child in self._all.values()), default=time.monotonic() + 60.0)

    def kill_late(self) -> None:
        now = time.monotonic()
        for child in self._all.values():
            if now >= child.until:
                _kill(child.pid)
                child.until = now + 1.0

    def bury(self, watch: int) -> None:
        """One has ended: what it left running ends, too."""
        child = self._all.pop(watch)
        self._selector.unregister(watch)
        os.close(watch)
        _kill(child.pid)  # before it is reaped: until then nobody else can have its number
        _, status = os.waitpid(child.pid, 0)
        child.finish(status == 0)

    def kill_all(self) -> None:
        for child in self._all.values():
            _kill(child.pid)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)

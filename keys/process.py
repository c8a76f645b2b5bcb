"""What every role does to its own process: no core dumps, no reading by others, no life after its parent.

harden()              RLIMIT_CORE 0, PR_SET_DUMPABLE 0: neither a crash nor a debugger of the same user shows memory
die_with_parent(pid)  PR_SET_PDEATHSIG: a child that was forked to see plaintext never outlives who watches it
Places                a few places that processes take in turn, given back by the kernel however a process ends
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from keys.errors import Unavailable

_PR_SET_PDEATHSIG: Final = 1
_PR_GET_DUMPABLE: Final = 3
_PR_SET_DUMPABLE: Final = 4
_libc: Final = ctypes.CDLL(None, use_errno=True)


def harden() -> None:
    """Idempotent; at the start of each role's process, before a key is read. Raises OSError."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _prctl(_PR_SET_DUMPABLE, 0)


def is_hardened() -> bool:
    return resource.getrlimit(resource.RLIMIT_CORE) == (0, 0) and _prctl(_PR_GET_DUMPABLE, 0) == 0


def die_with_parent(parent: int) -> None:
    """In a fresh child. `parent` is what it believes its parent to be: gone already, it exits at once."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _prctl(option: int, value: int) -> int:
    done: int = _libc.prctl(option, value, 0, 0, 0)
    if done < 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return done


class Places:
    """Made before the fork that shares it. Record locks on a memory file: the kernel gives them back at a process's
    end (fcntl(2), F_SETLK: locks belong to a process and are not inherited)."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._file = os.memfd_create("places", os.MFD_CLOEXEC)
        os.ftruncate(self._file, count)

    @contextmanager
    def taken(self, seconds: float) -> Iterator[None]:
        """Raises Unavailable when none gets free in time."""
        until = time.monotonic() + seconds
        place = self._try()
        while place is None:
            if time.monotonic() > until:
                raise Unavailable
            time.sleep(0.002)
            place = self._try()
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, place)

    def _try(self) -> int | None:
        first = os.getpid()
        for step in range(self._count):
            place = (first + step) % self._count
            try:
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except OSError:
                continue
            return place
        return None

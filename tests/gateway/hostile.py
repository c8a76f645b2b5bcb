"""A service that misbehaves as its job says, run in a real sandbox: `hostile:Hostile`. The row names the crime."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import time
from collections.abc import Callable

from gateway import confinement
from gateway.jobs import Job, Report, Setup

KEPT: list[bytearray] = []


class Hostile:
    def __init__(self, setup: Setup) -> None:
        self._served = 0

    def warm_up(self) -> None:
        pass

    async def serve(self, job: Job, opener: socket.socket, /) -> Report:
        self._served += 1
        answer = getattr(self, job.row)(opener)
        return Report(why=f"{answer}")

    def pid(self, opener: socket.socket) -> str:
        return f"{os.getpid()} {self._served}"

    def spin(self, opener: socket.socket) -> None:
        while True:
            pass

    def sleep(self, opener: socket.socket) -> None:
        time.sleep(60)

    def eat(self, opener: socket.socket) -> None:
        while True:
            KEPT.append(bytearray(16_000_000))

    def crash(self, opener: socket.socket) -> None:
        ctypes.string_at(0)

    def leave(self, opener: socket.socket) -> None:
        os._exit(3)

    def boast(self, opener: socket.socket) -> str:
        return "x" * 20_000_000

    def fail(self, opener: socket.socket) -> None:
        raise LookupError("4111 1111 1111 1111")

    def descriptors(self, opener: socket.socket) -> str:
        found = []
        for number in range(64):
            try:
                fcntl.fcntl(number, fcntl.F_GETFD)
            except OSError:
                continue
            found.append(number)
        return f"{len(found)}"

    def break_out(self, opener: socket.socket) -> str:
        """Everything that an attacker would try first; tells what worked."""
        return " ".join(name for name, attempt in {**self.harmless(), **self.harmful()}.items() if _works(attempt))

    def harmless(self) -> dict[str, Callable[[], object]]:
        """Tries that change nothing outside when they succeed."""
        return {
            "read-file": lambda: open("/etc/passwd"),
            "list-folder": lambda: os.listdir("/"),
            "inet": lambda: socket.socket(socket.AF_INET),
            "unix": lambda: socket.socket(socket.AF_UNIX),
            "kill-parent": lambda: os.kill(os.getppid(), 0),
            "memory-of-parent": lambda: os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
            "more-memory": lambda: __import__("resource").setrlimit(9, (1 << 40, 1 << 40)),
            "new-user": lambda: _call("unshare", 0x1000_0000),
            "memory-to-run": lambda: __import__("mmap").mmap(-1, 4096, prot=7),
            "pidfd": lambda: os.pidfd_open(os.getppid()),
            "shared-memory": lambda: os.memfd_create("x"),
        }

    def harmful(self) -> dict[str, Callable[[], object]]:
        return {
            "write-file": lambda: open("/tmp/escape", "w"),
            "fork": os.fork,
            "mount": lambda: _call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
            "ptrace": lambda: _call("ptrace", 16, os.getppid(), 0, 0),
            "become-root": lambda: _call("setuid", 0),
            "exec": lambda: os.execv("/bin/true", ["true"]),
        }


def _works(attempt: Callable[[], object]) -> bool:
    try:
        attempt()
    except (OSError, ValueError):
        return False
    return True


def _call(name: str, *arguments: object) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


class Unfiltered(Hostile):
    """Its workers can't take on the filter that their zygote has told of."""

    def warm_up(self) -> None:
        super().warm_up()
        confinement._filter_holds = lambda: True
        confinement.filter_calls = lambda: False


class Unfilterable(Hostile):
    """On a machine without a filter of system calls."""

    def warm_up(self) -> None:
        super().warm_up()
        confinement.filter_calls = lambda: False

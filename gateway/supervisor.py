"""The supervisor: starts the roles, wakes them for each other, starts again what dies, ends all of them in order.

    vestibule up ──► inspector, edge, desk, each a process of its own (`gateway.starting`)

Rules:
1. It parses nothing, opens no store and holds no key.
2. A role that dies is started again after a pause that doubles, up to `limits.RESTART_SECONDS_MOST`; one that says that
   the configuration or the store is unsafe (exit status 78) ends everything, for starting it again can't help.
3. The first SIGTERM or SIGINT lets the roles drain; the second ends them at once, which is safe.
4. Each role has one socket; a byte on it names the role to wake, and is handed on. Nothing else is said there.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from gateway import limits
from gateway.confinement import die_with_parent
from gateway.ids import SystemClock
from gateway.log import Log, LogEvent
from gateway.rules import Token
from gateway.store.waking import LETTERS, VARIABLE
from keys import tls

ROLES: Final = ("inspector", "edge", "desk")
UNUSABLE: Final = os.EX_CONFIG
"""The exit status by which a role says that it must not be started again like this."""


@dataclass(slots=True)
class _Role:
    name: str
    line: socket.socket
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    started_at: float = 0.0
    pause: float = limits.RESTART_SECONDS
    due: float = 0.0


class Supervisor:
    """`command` gives a role's command line."""

    def __init__(self, command: Sequence[str], log: Log, roles: Sequence[str] = ROLES) -> None:
        self._command, self._log = tuple(command), log
        self._selector = selectors.DefaultSelector()
        self._roles: dict[str, _Role] = {}
        self._theirs: dict[str, socket.socket] = {}
        self._signals = 0
        self._status = 0
        self._deadline = 0.0
        for name in roles:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            ours.setblocking(False)
            self._roles[name] = _Role(name, ours)
            self._theirs[name] = theirs
            self._selector.register(ours, selectors.EVENT_READ, name)

    def run(self) -> int:
        """Until a signal, or a role that must not be started again. The exit status."""
        wake, woken = os.pipe()
        for end in (wake, woken):
            os.set_blocking(end, False)
        self._selector.register(wake, selectors.EVENT_READ, wake)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        try:
            while not self._over():
                self._start_due()
                for key, _ in self._selector.select(self._patience()):
                    if key.data == wake:
                        _drain(wake)
                    elif isinstance(key.data, str):
                        self._forward(key.data)
                    else:
                        self._ended(key.data[0])
                if self._stopping and time.monotonic() > self._deadline:
                    self._send(signal.SIGKILL)
        finally:
            signal.set_wakeup_fd(-1)
            self._send(signal.SIGKILL)
        return self._status

    @property
    def _stopping(self) -> bool:
        return self._signals > 0

    def _over(self) -> bool:
        return self._stopping and all(role.process is None for role in self._roles.values())

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self._stop()

    def _stop(self) -> None:
        self._signals += 1
        if self._signals == 1:
            self._deadline = time.monotonic() + limits.DRAIN_SECONDS + 2
            self._log.write(LogEvent.STOPPING)
        self._send(signal.SIGTERM if self._signals == 1 else signal.SIGKILL)

    def _send(self, number: int) -> None:
        for role in self._roles.values():
            if role.process is not None:
                with suppress(ProcessLookupError):
                    role.process.send_signal(number)

    def _patience(self) -> float | None:
        waits = [role.due - time.monotonic() for role in self._roles.values() if role.process is None]
        if self._stopping:
            waits = [self._deadline - time.monotonic() if time.monotonic() < self._deadline else 0.2]
        return max(0.0, min(waits)) if waits else None

    def _start_due(self) -> None:
        for role in self._roles.values():
            if role.process is None and not self._stopping and role.due <= time.monotonic():
                self._start(role)

    def _start(self, role: _Role) -> None:
        line = self._theirs[role.name].fileno()
        role.process = subprocess.Popen(
            [*self._command, "--role", role.name],
            pass_fds=[line],
            env={**os.environ, **tls.environment(), VARIABLE: str(line)},
            stdin=subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        role.started_at = time.monotonic()
        role.pidfd = os.pidfd_open(role.process.pid)
        self._selector.register(role.pidfd, selectors.EVENT_READ, (role,))
        self._log.write(LogEvent.CHILD_STARTED, child=Token(role.name), child_pid=role.process.pid)

    def _ended(self, role: _Role) -> None:
        if role.process is None:
            return
        status = role.process.wait()
        self._selector.unregister(role.pidfd)
        os.close(role.pidfd)
        role.process = None
        up = time.monotonic() - role.started_at
        role.pause = limits.RESTART_SECONDS if up > 60 else min(role.pause * 2, limits.RESTART_SECONDS_MOST)
        role.due = time.monotonic() + role.pause
        self._log.write(LogEvent.CHILD_ENDED, child=Token(role.name), status=status, up_seconds=round(up, 3))
        if status == UNUSABLE and not self._stopping:
            self._status = UNUSABLE
            self._stop()

    def _forward(self, name: str) -> None:
        """Wake-ups from one role to others; a full socket means that the other one is awake already."""
        with suppress(OSError):
            while letter := self._roles[name].line.recv(1):
                for other, its in LETTERS.items():
                    if its == letter and other in self._roles:
                        with suppress(OSError):
                            self._roles[other].line.send(letter)


def _drain(descriptor: int) -> None:
    with suppress(BlockingIOError):
        while os.read(descriptor, 4_096):
            pass


def run(file: Path, roles: Sequence[str] = ROLES) -> int:
    """`vestibule up`, with the configuration in `file`. The exit status."""
    log = Log("supervisor", SystemClock())
    log.capture()
    return Supervisor([sys.executable, "-m", "gateway.starting", "--config", str(file.absolute())], log, roles).run()

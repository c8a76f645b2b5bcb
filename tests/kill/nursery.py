"""The supervisor as the kill tests start it: `python nursery.py FILE CONTROL_FD SETTINGS ROLE…`.

It is `gateway.supervisor.Supervisor`, with two differences that make a cycle cost a twentieth of a second instead of a
whole one: roles are forked from a process that has imported everything, and are started again at once. What runs in a
role is `gateway.starting`, unchanged.

SETTINGS is JSON: {"limits": {NAME: number}, "send_lease": seconds, "pragmas": {name: [setting, as read back]},
"held": [role]}: shorter leases, the positive controls, roles that wait for "go".
On the control socket come JSON datagrams:

    {"do": "arm", "role": "edge", "at": "INTAKE_AFTER_COMMIT:2"}   the role's next start has this kill point
    {"do": "hold", "role": "edge"}                                 it isn't started again …
    {"do": "go", "role": "edge"}                                   … until this
    {"do": "clock", "seconds": 3600}                               every role's wall clock steps
"""

from __future__ import annotations

import importlib
import json
import mmap
import os
import signal
import socket
import struct
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

CONTROL = object()
FAR = 3_600.0


class Forked:
    """As much of a `subprocess.Popen` as the supervisor uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


def main(file: str, descriptor: str, settings: str, *roles: str) -> int:
    given = json.loads(settings)
    from gateway import limits

    for name, value in given.get("limits", {}).items():
        assert hasattr(limits, name), name
        setattr(limits, name, value)
    from gateway.store import engines

    for name, value in given.get("pragmas", {}).items():
        engines.PRAGMAS[name] = tuple(value)
    modules = {"edge": "gateway.edge", "inspector": "gateway.inspector", "desk": "gateway.desk.role"}
    for module in ("gateway.starting", *(modules[role] for role in roles)):
        importlib.import_module(module)
    _shorten(given.get("send_lease", 0.0))
    from gateway.ids import SystemClock
    from gateway.log import Log

    clock = mmap.mmap(-1, 8)
    SystemClock.now = lambda self: datetime.now(UTC) + timedelta(seconds=struct.unpack("d", clock[:8])[0])  # type: ignore[method-assign]
    log = Log("supervisor", SystemClock())
    log.capture()
    control = socket.socket(fileno=int(descriptor))
    return nursery(Path(file), control, clock, log, roles, given.get("held", [])).run()


def _shorten(lease: float) -> None:
    """The outbox's lease; the sender's own patience is `limits.SEND_LEASE_SECONDS` less half a minute."""
    from gateway.store.outbox import Outbox

    claim = Outbox.claim
    if lease:
        Outbox.claim = lambda self, limit, seconds: claim(self, limit, lease)  # type: ignore[method-assign]


def nursery(
    file: Path, control: socket.socket, clock: mmap.mmap, log: Any, roles: tuple[str, ...], away: list[str]
) -> Any:
    from gateway import starting
    from gateway.config import load
    from gateway.killpoints import VARIABLE as KILL_AT
    from gateway.log import LogEvent
    from gateway.rules import Token
    from gateway.store.waking import VARIABLE as WAKE_FD
    from gateway.supervisor import Supervisor
    from keys.process import die_with_parent

    class Nursery(Supervisor):
        def __init__(self) -> None:
            super().__init__((), log, roles)
            self._armed: dict[str, str] = {}
            self._held = set(away)
            control.setblocking(False)
            self._selector.register(control, 1, (CONTROL,))

        def _ended(self, role: Any) -> None:
            if role is CONTROL:
                self._obey()
                return
            super()._ended(role)
            role.pause = 0.0
            role.due = time.monotonic() + (FAR if role.name in self._held else 0.0)

        def _obey(self) -> None:
            data = control.recv(4_096)
            if not data:  # who started us is gone
                self._signals = 2
                self._send(signal.SIGKILL)
                return
            order = json.loads(data)
            name = order.get("role", "")
            match order["do"]:
                case "arm":
                    self._armed[name] = order["at"]
                case "hold":
                    self._held.add(name)
                case "go":
                    self._held.discard(name)
                    self._roles[name].due = 0.0
                case "clock":
                    clock[:8] = struct.pack("d", order["seconds"])

        def _start(self, role: Any) -> None:
            if role.name in self._held:
                role.due = time.monotonic() + FAR
                return
            us = os.getpid()
            armed = self._armed.pop(role.name, "")
            pid = os.fork()
            if pid == 0:
                self._be(role, us, armed)
            role.process = Forked(pid)
            role.started_at = time.monotonic()
            role.pidfd = os.pidfd_open(pid)
            self._selector.register(role.pidfd, 1, (role,))
            log.write(LogEvent.CHILD_STARTED, child=Token(role.name), child_pid=pid)

        def _be(self, role: Any, parent: int, armed: str) -> None:
            status = 1
            try:
                die_with_parent(parent)
                signal.set_wakeup_fd(-1)
                for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                    signal.signal(number, signal.SIG_DFL)
                self._selector.close()
                control.close()
                os.environ[WAKE_FD] = str(self._theirs[role.name].fileno())
                os.environ[KILL_AT] = armed
                status = starting.start(role.name, load(file))
            finally:
                sys.stderr.flush()
                os._exit(status)

    return Nursery()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

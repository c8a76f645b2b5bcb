"""A whole gateway whose processes the tests kill: `roles.Gateway`, its roles forked by `nursery.py`.

    house.kill_now("zygote")          SIGKILL to a process of this kind, right now; False if there is none just now
    house.tell(do="arm", role="edge", at="INTAKE_AFTER_COMMIT")     its next process dies there; `died` waits for it
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from roles import Gateway

from keys import tls

HERE = Path(__file__).parent
ROOT = HERE.parent.parent

QUICK: Mapping[str, float] = {
    "LEASE_SECONDS": 1.5,
    "NOTICES_PER_ADDRESS_DAY": 1_000_000,  # one sender writes for all the scenes of a point
    "SEND_LEASE_SECONDS": 32.0,  # half a minute of it is margin that the sender keeps: it sends for two seconds
    "RETRY_SECONDS": 0.05,
    "STORE_WAIT_SECONDS": 5.0,
    "LOOK_SECONDS": 0.5,
    "GREETING_SECONDS": 0.001,
    "EXPIRY_SECONDS": 0.5,
    "ATTEMPTS": 10,
}
"""What a crash costs a customer in time would cost the tests minutes: leases are short here."""

ROLES = ("supervisor", "edge", "inspector", "desk")
PARTS = ("keys", "zygote", "worker", "opener")
LIMITS = "[edge.limits]\nmessages_per_peer_hour = 100000000\nmessages_per_sender_hour = 100000000"


def free_port(above: int = 0) -> int:
    """Below the range that the kernel gives to outgoing connections: it stays free while a role is down."""
    with open("/proc/sys/net/ipv4/ip_local_port_range") as file:
        low = int(file.read().split()[0])
    start = above + 1 if above else 10_000 + os.getpid() * 7 % max(low - 10_500, 1)
    for port in range(start, low):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")


@dataclass
class House(Gateway):
    """`quick` overrides `QUICK`; `pragmas` replaces settings of SQLite that the store asserts (positive controls);
    `away` are roles that aren't started before `come`."""

    quick: Mapping[str, float] = field(default_factory=dict)
    pragmas: Mapping[str, tuple[str, object]] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    port_desk: int = 0
    away: Sequence[str] = ()
    kills: int = 0
    past: list[dict[str, Any]] = field(default_factory=list)

    def start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given = json.dumps({"limits": {**QUICK, **self.quick}, "send_lease": 3.0, "pragmas": self.pragmas,
                            "held": list(self.away)})
        process = self._process = subprocess.Popen(
            [sys.executable, str(HERE / "nursery.py"), str(self.file), str(theirs.fileno()), given, *self.roles],
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=self.folder, text=True, errors="replace",
            pass_fds=[theirs.fileno()],
            env={**os.environ, **tls.environment(), **self.environment, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        theirs.close()
        self._control = ours
        self.past += self.log
        self.log.clear()
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()
        self.ready(*(role for role in self.roles if role not in self.away))

    def close(self) -> None:
        """At once, and with everything that the roles started: what a test made of them is over."""
        process = self._process
        if process is not None:
            below = self._below()
            process.kill()
            process.wait()
            for one in below:
                with suppress(psutil.NoSuchProcess):
                    one.kill()
            psutil.wait_procs(below, timeout=10)
            self._control.close()
            self._reader.join(5)
        self.names.close()

    def ready(self, *roles: str, seconds: float = 60) -> None:
        """Each of the roles runs and has said so, in its present process."""
        for role in roles:
            said = {"edge": "edge.listening", "inspector": "sandbox.ready", "desk": "edge.listening"}[role]
            self.wait_for(lambda role=role, said=said: self._said(said, self.newest(role)), seconds, f"{role} to be up")

    def tell(self, **order: object) -> None:
        self._control.send(json.dumps(order).encode())

    def step_clock(self, seconds: float) -> None:
        """Every role's wall clock is that far from the right time."""
        self.tell(do="clock", seconds=seconds)
        time.sleep(0.05)

    def leave(self, *roles: str) -> None:
        """They die, and stay away until they are told to `come`."""
        for role in roles:
            self.tell(do="hold", role=role)
        for role in roles:
            self.kills += self._kill(self.newest(role))
        for role in roles:
            self.wait_for(lambda role=role: not alive(self.newest(role)), 30, f"{role} to be gone")

    def come(self, *roles: str) -> None:
        """Returns when they are up."""
        before = {role: self.newest(role) for role in roles}
        for role in roles:
            self.tell(do="go", role=role)
        for role in roles:
            self.recovered(role, before[role])

    def died(self, role: str, pid: int, seconds: float = 60) -> None:
        """This process of the role was ended by SIGKILL."""
        def look() -> bool | None:
            lines = [one for one in self._lines("child.ended", child=role) if self._pid_of(one) == pid]
            return lines[-1]["status"] == -signal.SIGKILL if lines else None

        assert self.wait_for(lambda: (look(),) if look() is not None else None, seconds, f"{role} {pid} to die")[0]
        self.kills += 1

    def kill_now(self, kind: str) -> int:
        """The pid; 0 if there was nothing to kill."""
        if kind == "supervisor":
            self._fall()
            return self.process.pid
        if kind in ROLES:
            pid = self.newest(kind)
        else:
            found = self._parts(kind)
            pid = found[os.urandom(1)[0] % len(found)] if found else 0
        if not pid or not self._kill(pid):
            return 0
        self.kills += 1
        return pid

    def recovered(self, kind: str, pid: int, seconds: float = 60) -> None:
        """What was killed has a successor, where it is one of those that have."""
        if kind in ("edge", "inspector", "desk"):
            self.wait_for(lambda: self.newest(kind) != pid, seconds, f"another {kind}")
            self.ready(kind)
        elif kind == "zygote":
            self.wait_for(lambda: any(children(one) for one in self._parts(kind) if one != pid), seconds, "its workers")

    # ---

    def _fall(self) -> None:
        """The supervisor dies; its roles must end by themselves."""
        below = self._below()
        self.process.kill()
        self.process.wait()
        self.kills += 1
        _, left = psutil.wait_procs(below, timeout=30)
        assert not left, [one.cmdline() for one in left]
        self._control.close()
        self._reader.join(5)
        self.start()

    def newest(self, role: str) -> int:
        lines = self._lines("child.started", child=role)
        return int(lines[-1]["child_pid"]) if lines else 0

    def told(self, event: str) -> list[dict[str, Any]]:
        """Every line of this event, before and after supervisors died."""
        return [line for line in (*self.past, *self.log) if line["event"] == event]

    def _pid_of(self, ended: dict[str, Any]) -> int:
        """Of a `child.ended` line: the pid of the start before it."""
        before = self.log[: self.log.index(ended)]
        return next(
            int(line["child_pid"]) for line in reversed(before)
            if line["event"] == "child.started" and line["child"] == ended["child"]
        )  # fmt: skip

    def _said(self, event: str, pid: int) -> bool:
        return any(line["event"] == event and line["pid"] == pid for line in list(self.log))

    def _lines(self, event: str, **facts: object) -> list[dict[str, Any]]:
        return [
            line for line in list(self.log)
            if line["event"] == event and all(line.get(name) == value for name, value in facts.items())
        ]  # fmt: skip

    def _parts(self, kind: str) -> list[int]:
        """Key process and zygote are children of the inspector; openers and workers are theirs."""
        found: list[int] = []
        for child in children(self.newest("inspector")):
            words = command(child)
            its = "keys" if "keys.agent" in words else "zygote" if "sandbox_worker" in words else ""
            if its == kind:
                found.append(child)
            elif (its, kind) in (("keys", "opener"), ("zygote", "worker")):
                found += [one for one in children(child) if command(one) == words]
        return found

    def _below(self) -> list[psutil.Process]:
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self.process.pid).children(recursive=True)
        return []

    @staticmethod
    def _kill(pid: int) -> bool:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
        return False

    def _toml(self) -> str:
        text = super()._toml().replace("[[edge.listeners]]\nport = 0", f"[[edge.listeners]]\nport = {self.port}", 1)
        text = text.replace("[[edge.listeners]]", f"{LIMITS}\n[[edge.listeners]]", 1)
        desk = '[desk]\nport = 0\ncertificate_file = "certificate.pem"\nkey_file = "key.pem"\n'
        assert desk in text
        return text.replace(desk, f"[desk]\nport = {self.port_desk}\n", 1)  # on loopback it may be plain HTTP


def children(pid: int) -> list[int]:
    """proc(5), of all its threads; walking all of /proc would take longer than an opener lives."""
    found: list[int] = []
    with suppress(OSError):
        for thread in Path(f"/proc/{pid}/task").iterdir():
            with suppress(OSError):
                found += [int(word) for word in (thread / "children").read_text().split()]
    return found


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def alive(pid: int) -> bool:
    return bool(pid) and Path(f"/proc/{pid}").exists()


@contextmanager
def house(folder: Path, **settings: Any) -> Iterator[House]:
    made = House(folder, **settings)
    try:
        made.prepare()
        made.start()
        yield made
    finally:
        made.close()


def eventually(look: Callable[[], Any], seconds: float, what: str) -> Any:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited in vain for {what}")

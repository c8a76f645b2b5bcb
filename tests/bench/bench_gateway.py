"""A whole gateway on one core, with a watch on it: `Measured(folder, "strict")`. The harness sits on the other core.

    post(port, mails, sessions=10)         -> Posted     hands mails in, by a process on the harness's core
    gateway.until(n)                                     waits until so many messages are in the queue
    gateway.spent(), gateway.memory()      -> {part: seconds of CPU}, {part: MiB of PSS}

Parts: supervisor, edge, parent (the inspector's), keys (key process, openers, gpg), workers (zygote and its children).
"""

from __future__ import annotations

import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import psutil
from bench_letters import ZONE, Mail
from nameserver import NameServer
from roles import Gateway

ROUNDS = int(os.environ.get("VESTIBULE_BENCH_ROUNDS", "3"))
SERVER, HARNESS = 0, 1 % (os.cpu_count() or 1)
"""Cores. With only one, everything shares it, and figures are lower."""
FREE = "\n[edge.limits]\nmessages_per_peer_hour = 1000000000\nmessages_per_sender_hour = 1000000000\n"


def pin(core: int) -> list[str]:
    """Words before a command."""
    return ["taskset", "-c", str(core)]


@dataclass(frozen=True)
class Posted:
    """Times in ms (`dots`, `waits`) or of CLOCK_MONOTONIC in seconds."""

    began: float
    ended: float
    dots: list[float]
    waits: list[float]
    taken: dict[str, float]


class Posting:
    """Mails under way; `result()` waits."""

    def __init__(self, port: int, mails: Sequence[Mail], *, sessions: int, rate: float = 0) -> None:
        self._file = tempfile.NamedTemporaryFile(prefix="vpost")  # noqa: SIM115 - closed when the result is there
        self._file.write(msgspec.msgpack.encode(mails))
        self._file.flush()
        words = [str(port), self._file.name, str(sessions), str(rate)]
        command = [*pin(HARNESS), sys.executable, str(Path(__file__).with_name("post.py")), *words]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def result(self) -> Posted:
        out, _ = self._process.communicate(timeout=300)
        self._file.close()
        assert self._process.returncode == 0
        return Posted(**json.loads(out))


def post(port: int, mails: Sequence[Mail], *, sessions: int, rate: float = 0) -> Posted:
    return Posting(port, mails, sessions=sessions, rate=rate).result()


@dataclass
class Measured(Gateway):
    recycling: str = "strict"
    names: NameServer = field(default_factory=lambda: NameServer(dict(ZONE)))

    def __post_init__(self) -> None:
        self.settings = {"edge": FREE, "inspector": f'recycling = "{self.recycling}"', **self.settings}
        self.trusted = ["alice"]

    def command(self) -> list[str]:
        return [*pin(SERVER), *super().command()]

    # --- progress

    def queued(self) -> int:
        database = sqlite3.connect(self.store_url.partition(":///")[2], timeout=5)
        try:
            return int(database.execute("SELECT count(*) FROM messages").fetchone()[0])
        finally:
            database.close()

    def until(self, count: int, seconds: float = 120) -> float:
        """When the last of so many messages was queued (CLOCK_MONOTONIC, to some 10 ms)."""
        end = time.monotonic() + seconds
        while (found := self.queued()) < count:
            assert time.monotonic() < end, f"{found} of {count} queued; {[line['event'] for line in self.log[-5:]]}"
            time.sleep(0.01)
        return time.monotonic()

    # --- what it takes

    def parts(self) -> dict[str, list[psutil.Process]]:
        found: dict[str, list[psutil.Process]] = {"supervisor": [psutil.Process(self.process.pid)]}
        for role in self.roles:
            if role != "inspector":
                found[role] = family(self.pid(role))
        parent, *children = family(self.pid("inspector"))
        found["parent"] = [parent]
        found["workers"] = [child for child in children if _says(child, "gateway.sandbox_worker")]
        found["keys"] = [child for child in children if child not in found["workers"]]
        home = f"{self.keys / 'inspector' / 'gnupg'}"
        found["keys"] += [one for one in psutil.process_iter() if _says(one, "gpg-agent") and _says(one, home)]
        return found

    def spent(self) -> dict[str, float]:
        """Seconds of CPU so far, children that have ended included."""
        return {part: sum(_cpu(one) for one in processes) for part, processes in self.parts().items()}

    def memory(self) -> dict[str, tuple[int, float]]:
        """How many processes, and MiB of PSS (pages that several share are divided among them)."""
        found: dict[str, tuple[int, float]] = {}
        for part, processes in self.parts().items():
            sizes = [size for one in processes if (size := _pss(one)) > 0]
            found[part] = len(sizes), sum(sizes)
        return found


def family(pid: int) -> list[psutil.Process]:
    """The process and all that descend from it."""
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _says(process: psutil.Process, word: str) -> bool:
    try:
        return any(word in one for one in process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return False


def _cpu(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss) / 2**20
    except (psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError, ProcessLookupError):
        return 0.0


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * part), len(ordered) - 1)]


def median(values: Sequence[float]) -> float:
    return statistics.median(values)

"""Mails accepted durably per second, beside Postfix with its queue: smtp-source on the other core, rounds interleaved.

Postfix writes and syncs a file per message and then discards it; we seal a box and commit it (synchronous=FULL, one
sync for whoever waits). Ratios of the same run are what counts; the machine is what it is.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from postfix_server import free_port, needs_postfix, postfix

SMTP_SOURCE = shutil.which("smtp-source", path=os.environ.get("PATH", "") + ":/usr/sbin")
EDGE = Path(__file__).with_name("intake_edge.py")
ROUNDS = int(os.environ.get("VESTIBULE_BENCH_ROUNDS", "3"))
MESSAGES = int(os.environ.get("VESTIBULE_BENCH_MESSAGES", "4000"))

pytestmark = [
    pytest.mark.bench,
    pytest.mark.timeout(1200),
    needs_postfix,
]


def pin(core: int) -> list[str]:
    """On machines with one core everything shares it."""
    return ["taskset", "-c", str(core % (os.cpu_count() or 1))]


def source(port: int, sessions: int, messages: int) -> float:
    """Seconds for so many messages of 4 KB over kept-open sessions."""
    words = ["-d", "-s", str(sessions), "-m", str(messages), "-l", "4096", "-f", "alice@example.org"]
    began = time.perf_counter()
    subprocess.run(
        [*pin(1), str(SMTP_SOURCE), *words, "-t", "support@acme.example", f"127.0.0.1:{port}"], check=True, timeout=300
    )
    return time.perf_counter() - began


@contextmanager
def edge(auth: str) -> Iterator[tuple[int, psutil.Process]]:
    with tempfile.TemporaryDirectory(prefix="vbench") as folder:
        child = subprocess.Popen([*pin(0), sys.executable, str(EDGE), folder, auth], stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None
            yield int(child.stdout.readline()), psutil.Process(child.pid)
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


@pytest.mark.parametrize("sessions", [1, 10, 50])
def test_durable_intake_beside_postfix(sessions: int) -> None:
    messages = MESSAGES // 8 if sessions == 1 else MESSAGES
    rates: dict[str, list[float]] = {"postfix": [], "ours": [], "ours, authenticating": []}
    spent: dict[str, float] = {}
    with postfix(free_port(), *pin(0)) as theirs, edge("none") as (ours, process), edge("zone") as (full, full_process):
        for port in (theirs, ours, full):
            source(port, sessions, 200)
        for _ in range(ROUNDS):
            for name, port, watched in (
                ("postfix", theirs, None),
                ("ours", ours, process),
                ("ours, authenticating", full, full_process),
            ):
                before = cpu(watched)
                rates[name].append(messages / source(port, sessions, messages))
                spent[name] = (cpu(watched) - before) / messages * 1e6
    print(f"\n{sessions} sessions, 4 KB:")
    median = {name: statistics.median(found) for name, found in rates.items()}
    for name, rate in median.items():
        print(
            f"  {name:22} {rate:8.0f} mails/s  ({rate / median['postfix']:.1f} x Postfix"
            + (f", {spent[name]:.0f} us CPU)" if spent[name] else ")")
        )
    if sessions == 50:  # fewer wait for the disk, whose moods differ
        assert median["ours"] > 2 * median["postfix"]


def cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)

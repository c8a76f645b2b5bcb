"""Mails accepted durably per second, beside Postfix with its queue: smtp-source on the other core, rounds interleaved.

Postfix writes and syncs a file per message and then discards it; we seal a box and commit it (synchronous=FULL, one
sync for whoever waits). Beside them the stock aiosmtpd class with our group commit and nothing else. Ratios of the same
run are what counts; the machine is what it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from bench_gateway import HARNESS, ROUNDS, SERVER, median, pin
from bench_table import Say
from postfix_server import free_port, needs_postfix, postfix

SMTP_SOURCE = shutil.which("smtp-source", path=os.environ.get("PATH", "") + ":/usr/sbin")
HERE = Path(__file__).parent
MESSAGES = int(os.environ.get("VESTIBULE_BENCH_MESSAGES", "2000"))
GOAL = 2.0

needs_source = pytest.mark.skipif(SMTP_SOURCE is None, reason="needs smtp-source (tests/system.sh postfix)")
pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]


def source(port: int, sessions: int, messages: int) -> float:
    """Seconds for so many messages of 4 KB over kept-open sessions."""
    words = ["-d", "-s", str(sessions), "-m", str(messages), "-l", "4096", "-f", "alice@example.org"]
    command = [*pin(HARNESS), str(SMTP_SOURCE), *words, "-t", "support@acme.example", f"127.0.0.1:{port}"]
    began = time.perf_counter()
    subprocess.run(command, check=True, timeout=300)
    return time.perf_counter() - began


@contextmanager
def edge(auth: str, environment: Mapping[str, str] | None = None) -> Iterator[tuple[int, psutil.Process]]:
    """Our edge alone; `auth` is "zone" or "none"."""
    with _server([str(HERE / "intake_edge.py")], [auth], environment) as found:
        yield found


@contextmanager
def _server(
    script: list[str], words: list[str], environment: Mapping[str, str] | None = None
) -> Iterator[tuple[int, psutil.Process]]:
    with tempfile.TemporaryDirectory(prefix="vbench") as folder:
        child = subprocess.Popen(
            [*pin(SERVER), sys.executable, *script, folder, *words], stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(HERE.parent.parent), **(environment or {})},
        )  # fmt: skip
        try:
            assert child.stdout is not None
            yield int(child.stdout.readline()), psutil.Process(child.pid)
        finally:
            child.kill()
            child.wait()
            if child.stdout is not None:
                child.stdout.close()


@needs_postfix
@needs_source
@pytest.mark.parametrize("sessions", [1, 10, 50])
def test_durable_intake_beside_postfix(sessions: int, say: Say) -> None:
    messages = MESSAGES // 8 if sessions == 1 else MESSAGES
    rates: dict[str, list[float]] = {}
    spent: dict[str, float] = {}
    with (
        postfix(free_port(), *pin(SERVER)) as theirs,
        edge("none") as (ours, process),
        edge("zone") as (full, full_process),
        _server([str(HERE / "intake_stock.py")], []) as (stock, stock_process),
    ):
        all_: tuple[tuple[str, int, psutil.Process | None], ...] = (
            ("Postfix", theirs, None), ("ours", ours, process), ("ours with SPF, DKIM, DMARC", full, full_process),
            ("stock aiosmtpd, nothing but commits", stock, stock_process),
        )  # fmt: skip
        for _, port, _ in all_:
            source(port, sessions, 200)
        for _ in range(ROUNDS):
            for name, port, watched in all_:
                before = cpu(watched)
                rates.setdefault(name, []).append(messages / source(port, sessions, messages))
                spent[name] = (cpu(watched) - before) / messages * 1e6
    for name, found in rates.items():
        ratio = median(found) / median(rates["Postfix"])
        told = f"{median(found):.0f} mails/s" + (f", {ratio:.1f} x, {spent[name]:.0f} us CPU" if spent[name] else "")
        if name == "ours":
            say(f"intake, {sessions} sessions: {name}", told, goal=f"{GOAL} x", met=ratio >= GOAL)
        else:
            say(f"intake, {sessions} sessions: {name}", told)


def cpu(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = process.cpu_times()
    return float(times.user + times.system)

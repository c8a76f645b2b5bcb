"""One table at the end of `make bench`: what was asked for, what was measured, and whether the disk was quiet."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from bench_table import LINES, Say, say


@pytest.fixture(name="say")
def _say() -> Say:
    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not LINES:
        return
    terminalreporter.section("measured")
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    terminalreporter.write_line(f"{os.cpu_count()} cores, load {load}, fdatasync of 4 KB: {_sync():.2f} ms (median)")
    for line in LINES:
        terminalreporter.write_line(line)


def _sync() -> float:
    """What the disk takes, just now."""
    file = Path.cwd() / f".bench-{os.getpid()}"
    times = []
    descriptor = os.open(file, os.O_CREAT | os.O_WRONLY)
    try:
        for number in range(100):
            os.pwrite(descriptor, os.urandom(4096), number * 4096)
            began = time.perf_counter()
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - began) * 1e3)
    finally:
        os.close(descriptor)
        file.unlink()
    return sorted(times)[50]

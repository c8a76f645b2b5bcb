"""Throughput when each sync takes 4 ms more: group commit must make up for it. Same run, rounds interleaved."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import slow_disk
from bench_gateway import HARNESS, ROUNDS, Measured, median, post
from bench_letters import Letters
from bench_table import Say
from test_smtp_intake import edge, needs_source, source

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

EXTRA = 4.0
HOLDS = 0.7
"""What must be left of the throughput; a commit per mail would leave a twentieth."""


def slowed(folder: Path) -> dict[str, str]:
    found = slow_disk.environment(folder, EXTRA)
    if found is None:
        pytest.skip("needs a C compiler")
    return found


@needs_source
def test_intake_holds_on_a_slow_disk(tmp_path: Path, say: Say) -> None:
    rates: dict[str, list[float]] = {"quick": [], "slow": []}
    with edge("none") as (quick, _), edge("none", slowed(tmp_path)) as (slow, _):
        for port in (quick, slow):
            source(port, 50, 200)
        for _ in range(ROUNDS):
            for name, port in (("quick", quick), ("slow", slow)):
                rates[name].append(4000 / source(port, 50, 4000))
    _tell(say, "intake, 50 sessions", rates)


@pytest.mark.parametrize("recycling", ["strict", "fast"])
def test_the_whole_path_holds_on_a_slow_disk(tmp_path: Path, say: Say, recycling: str) -> None:
    os.sched_setaffinity(0, {HARNESS})
    rates: dict[str, list[float]] = {"quick": [], "slow": []}
    with (
        Measured(tmp_path / "q", recycling=recycling) as quick,
        Measured(tmp_path / "s", recycling=recycling, environment=slowed(tmp_path)) as slow,
    ):
        for _ in range(ROUNDS + 1):
            for name, gateway in (("quick", quick), ("slow", slow)):
                mails, before = Letters("plain").make(300), gateway.queued()
                posted = post(gateway.smtp_port, mails, sessions=45)
                rates[name].append(300 / (gateway.until(before + 300) - posted.began))
    _tell(say, f"whole path, {recycling}, plain", {name: found[1:] for name, found in rates.items()})


def _tell(say: Say, what: str, rates: dict[str, list[float]]) -> None:
    quick, slow = median(rates["quick"]), median(rates["slow"])
    say(
        f"{what}: syncs +{EXTRA:.0f} ms", f"{slow:.0f}/s beside {quick:.0f}/s: {slow / quick:.2f}",
        goal=f"{HOLDS}", met=slow >= HOLDS * quick,
    )  # fmt: skip

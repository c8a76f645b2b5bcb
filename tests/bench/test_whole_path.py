"""The whole path on one core: SMTP with STARTTLS in, sealed, committed, claimed, opened, judged, redacted, filed.

Everything of ours shares a core, the sender sits on the other. A round hands in so many mails over 10 sessions and ends
when the last one is in the queue; strict and fast recycling and the kinds of mail take turns.
"""

from __future__ import annotations

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_gateway import HARNESS, ROUNDS, Measured, Posting, median, post
from bench_letters import KINDS, Letters
from bench_table import Say

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

GOALS = {
    ("strict", "plain"): 150, ("strict", "dkim"): 120, ("strict", "pgp"): 40,
    ("fast", "plain"): 1000, ("fast", "dkim"): 700, ("fast", "pgp"): 60,
}  # fmt: skip
SECONDS = float(os.environ.get("VESTIBULE_BENCH_SECONDS", "2"))
"""Of one round, more or less."""


@pytest.fixture
def both(tmp_path: Path) -> Iterator[dict[str, Measured]]:
    os.sched_setaffinity(0, {HARNESS})
    with Measured(tmp_path / "s", recycling="strict") as strict, Measured(tmp_path / "f", recycling="fast") as fast:
        yield {"strict": strict, "fast": fast}


def test_messages_from_smtp_to_the_queue_per_core(both: dict[str, Measured], say: Say) -> None:
    rates: dict[tuple[str, str], list[float]] = defaultdict(list)
    spent: dict[tuple[str, str], dict[str, float]] = {}
    idle = {name: gateway.memory() for name, gateway in both.items()}
    busy: dict[str, dict[str, tuple[int, float]]] = {}
    counts: dict[tuple[str, str], int] = {}
    for name, kind in itertools.product(both, KINDS):
        _round(both[name], kind, 20)  # everything was looked up once
        counts[name, kind] = max(int(_round(both[name], kind, 30) * SECONDS), 30)
    for _, kind, name in itertools.product(range(ROUNDS), KINDS, both):
        count = counts[name, kind]
        before = both[name].spent()
        rates[name, kind].append(_round(both[name], kind, count))
        spent[name, kind] = {part: (now - before[part]) / count * 1e3 for part, now in both[name].spent().items()}
    for (name, kind), found in sorted(rates.items(), key=lambda item: item[0][0] == "fast"):
        each = sum(spent[name, kind].values())
        parts = ", ".join(f"{part} {ms:.2f}" for part, ms in spent[name, kind].items() if ms > 0.01)
        goal = GOALS[name, kind]
        say(f"whole path, {name}, {kind}", f"{median(found):.0f} messages/s", goal=f"{goal}", met=median(found) >= goal)
        say("    CPU", f"{each:.1f} ms each ({1000 / each:.0f}/s): {parts}")
    for name, gateway in both.items():
        busy[name] = _under_load(gateway)
    for name in both:
        for state, found_ in (("idle", idle[name]), ("under load", busy[name])):
            each = ", ".join(f"{part} {size:.0f} ({count})" for part, (count, size) in found_.items())
            say(f"memory, {name}, {state}: MiB PSS", f"{sum(size for _, size in found_.values()):.0f} in all: {each}")


def _round(gateway: Measured, kind: str, count: int) -> float:
    """Messages per second, from the first MAIL to the last row in the queue."""
    mails, before = Letters(kind).make(count), gateway.queued()
    posted = post(gateway.smtp_port, mails, sessions=10)
    return count / (gateway.until(before + count) - posted.began)


def _under_load(gateway: Measured) -> dict[str, tuple[int, float]]:
    """The most that each part had while plain and encrypted mail came in."""
    most: dict[str, tuple[int, float]] = {}
    before, mails = gateway.queued(), Letters("pgp").make(60) + Letters("plain").make(300)
    posting = Posting(gateway.smtp_port, mails, sessions=20)
    while gateway.queued() < before + len(mails):
        for part, (count, size) in gateway.memory().items():
            if size > most.get(part, (0, 0.0))[1]:
                most[part] = count, size
    posting.result()
    return most

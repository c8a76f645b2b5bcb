"""Killing at random, while mail flows: what both `make test` and the soak do."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence

from house import House
from mta import Mta

WEIGHTS = {"edge": 40, "worker": 16, "opener": 14, "keys": 8, "zygote": 8, "inspector": 10, "supervisor": 2}
"""What is dear to start again is killed more seldom."""
FOUND_SECONDS = 2.0


def cycle(house: House, mtas: Sequence[Mta], chance: random.Random, kinds: Counter[str], kind: str = "") -> str:
    """Mail is under way; something dies; it comes back. What it was."""
    kind = kind or chance.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    for mta in mtas:
        mta.post(chance.randint(1, 3))
    if kind in ("edge", "supervisor"):
        time.sleep(chance.random() * 0.03)
    until = time.monotonic() + FOUND_SECONDS
    while not (pid := house.kill_now(kind)):  # openers and workers live for a few milliseconds
        if time.monotonic() > until:
            return ""
        if all(mta.idle for mta in mtas):
            mtas[0].post(1)
    kinds[kind] += 1
    if kind != "supervisor":
        house.recovered(kind, pid)
    for mta in mtas:
        mta.flush()
    return kind

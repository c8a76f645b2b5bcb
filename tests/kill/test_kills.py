"""kill -9 of each process at random moments, on both databases, while mail flows."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House
from ledger import check, look
from mayhem import WEIGHTS, cycle
from mta import Mta

pytestmark = pytest.mark.timeout(300)
SETTINGS = {"notices": "first_contact = false\nheld = false", "inspector": "spool_key_seconds = 1"}
"""The spool's key is replaced every second, too: while rows wait, and while everything is being killed."""


@pytest.fixture
def house(tmp_path: Path, store_url: str) -> Iterator[House]:
    made = House(tmp_path / "g", url=store_url, settings=SETTINGS)
    try:
        made.prepare()
        made.start()
        yield made
    finally:
        made.close()


def test_processes_killed_at_random_lose_and_double_nothing(house: House) -> None:
    seed = random.getrandbits(32)
    chance, kinds = random.Random(seed), Counter[str]()
    mtas = [Mta(f"k{number}", lambda: house.port) for number in range(3)]
    for kind in (*WEIGHTS, *("edge" for _ in range(15)), *("worker", "opener") * 4, "keys", "zygote"):
        cycle(house, mtas, chance, kinds, kind)
    tally = check(house, mtas)
    print(seed, dict(kinds), tally, Counter(look(house).held.values()))
    print(*house.told("message.fault"), sep="\n")
    assert tally.sound, (seed, tally.details)
    assert kinds.keys() == WEIGHTS.keys()
    assert sum(kinds.values()) >= 25
    assert house.told("keys.rotated"), "keys were replaced meanwhile"
    for mta in mtas:
        mta.stop()

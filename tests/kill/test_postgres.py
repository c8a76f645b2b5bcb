"""PostgreSQL is killed under load, or is away for a while: 451 meanwhile, nothing lost, everything flows afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House
from ledger import check
from mta import Mta
from server import Postgres

pytestmark = pytest.mark.timeout(300)
SETTINGS = {"notices": "first_contact = false\nheld = false"}


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with Postgres() as running:
        yield running


@pytest.fixture
def house(tmp_path: Path, server: Postgres) -> Iterator[House]:
    made = House(tmp_path / "g", url=server.url(), settings=SETTINGS)
    try:
        made.prepare()
        made.start()
        yield made
    finally:
        made.close()


def kill_cycle(server: Postgres, house: House, mtas: list[Mta], chance: random.Random, letters: int = 5) -> None:
    """Mail is under way; the database dies; it comes back."""
    for mta in mtas:
        mta.post(letters)
    time.sleep(chance.random() * 0.15)
    server.kill()
    server.start()
    for mta in mtas:
        mta.flush()


def test_postgres_killed_under_load_loses_and_doubles_nothing(server: Postgres, house: House) -> None:
    mtas = [Mta(f"q{number}", lambda: house.port) for number in range(3)]
    chance = random.Random()
    for _ in range(4):
        kill_cycle(server, house, mtas, chance)
    tally = check(house, mtas)
    print(tally)
    assert tally.sound, tally.details
    for mta in mtas:
        mta.stop()


def test_a_database_that_is_away_defers_and_everything_flows_afterwards(server: Postgres, house: House) -> None:
    mta = Mta("gone", lambda: house.port)
    mta.post(2)
    mta.flush()
    server.kill()
    mta.post(3)
    house.wait_for(lambda: mta.answers[451] >= 3 or None, 30, "451")
    server.start()
    tally = check(house, [mta])
    assert tally.sound, tally.details
    assert mta.answers.keys() <= {451, 421}
    mta.stop()

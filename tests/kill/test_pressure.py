"""The store is locked, the clock steps: nothing is lost, order stays, and nobody waits for a time that never comes."""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from house import House
from ledger import check
from mta import Mta

pytestmark = pytest.mark.timeout(300)
SETTINGS = {"notices": "first_contact = false\nheld = false", "inspector": "spool_key_seconds = 2"}
HOUR, DAY = 3_600.0, 86_400.0
TO_2038 = 2_145_916_800.0 - 1_795_000_000.0
"""From about now to beyond the end of 32-bit seconds."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "g", settings=SETTINGS, quick={"STORE_WAIT_SECONDS": 0.5})
    try:
        made.prepare()
        made.start()
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("how", ["turnstile", "database"])
def test_a_store_that_somebody_else_has_locked_defers_and_flows_afterwards(house: House, how: str) -> None:
    mta = Mta("lock", lambda: house.port)
    mta.post(1)
    mta.flush()
    file = house.folder / "var" / "vestibule.db"
    if how == "turnstile":
        held = open(f"{file}-write")  # noqa: SIM115 - closed below
        fcntl.flock(held, fcntl.LOCK_EX)
        release = held.close
    else:
        connection = sqlite3.connect(file, isolation_level=None, timeout=10)
        connection.execute("BEGIN IMMEDIATE")
        release = connection.close
    mta.post(3)
    house.wait_for(lambda: mta.answers[451] >= 2 or None, 30, "451")
    release()
    tally = check(house, [mta])
    assert tally.sound, tally.details
    assert mta.answers.keys() == {451}
    mta.stop()


def test_a_clock_that_steps_changes_neither_leases_nor_order(house: House) -> None:
    mta = Mta("step", lambda: house.port)
    for seconds in (HOUR, 0.0, -HOUR, 0.0, DAY, -DAY, TO_2038, 0.0):
        mta.post(3)  # some are under way, with leases by the old time, when the clock steps
        mta.acknowledged(len(mta.sent))
        house.step_clock(seconds)
        began = time.monotonic()
        mta.post(3)
        mta.flush(30)
        house.wait_for(
            lambda: house.rows("SELECT count(*) FROM spool WHERE state <> 'held'") == [(0,)] or None, 30, "the spool"
        )
        assert time.monotonic() - began < 25
    tally = check(house, [mta])
    print(tally)
    assert tally.sound, tally.details
    assert not tally.held
    mta.stop()


def test_a_killed_inspectors_leases_end_although_the_clock_was_set_back(house: House) -> None:
    """A lease that ends in what is now the far future counts as ended."""
    mta = Mta("back", lambda: house.port)
    house.step_clock(DAY)
    mta.post(6)
    mta.acknowledged(0)
    house.leave("inspector")
    house.step_clock(0.0)
    house.come("inspector")
    tally = check(house, [mta], seconds=60)
    assert tally.sound, tally.details
    mta.stop()

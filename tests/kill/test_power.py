"""The power fails: what was acknowledged is on stable storage, whatever the disk made of the rest.

The store stands on `lossy.py`. kill -9 alone shows no missing fsync, for the kernel's page cache survives it. Controls
that must lose: a disk that lies about fsync, and SQLite told not to wait for it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from house import House
from ledger import Tally, check
from mta import Mta
from power import Power, missing

from gateway import store

REASON = missing()
pytestmark = [pytest.mark.skipif(bool(REASON), reason=REASON), pytest.mark.timeout(300)]

QUICK = {"BALLAST_BYTES": 65_536, "CHECKPOINT_SECONDS": 0.3}
"""Checkpoints often: they are where a write-ahead log is most easily hurt."""
SETTINGS = {"notices": "first_contact = false\nheld = false"}


class Plant:
    """A gateway on such a disk, its senders, and the lever."""

    def __init__(self, house: House, disk: Power, mtas: list[Mta], chance: random.Random) -> None:
        self.house, self.disk, self.mtas, self.chance = house, disk, mtas, chance
        self.cycles = 0

    def cycle(self, *roles: str, torn: bool = True, letters: int = 4) -> None:
        """Mail is under way; the power fails; it comes back. `roles`: those that run."""
        for mta in self.mtas:
            mta.post(letters)
        if self.chance.random() < 0.5:  # in the middle of what comes first, or of what comes later
            self.mtas[0].acknowledged(len(self.mtas[0].sent), 60)
        time.sleep(self.chance.random() * 0.05)
        for role in roles:
            self.house.tell(do="hold", role=role)
        self.disk.cut(self.chance.getrandbits(32) if torn else None)
        self.house.leave(*roles)
        self.disk.unmount()
        self.disk.mount()
        self.house.come(*roles)
        self.cycles += 1

    def check(self) -> Tally:
        """With the inspector at work, until all is quiet."""
        if not any(line["event"] == "child.started" and line["child"] == "inspector" for line in self.house.log):
            self.house.come("inspector")
        tally = check(self.house, self.mtas)
        tally.cycles = self.cycles
        return tally


@contextmanager
def plant(folder: Path, *, seed: int, **settings: Any) -> Iterator[Plant]:
    with Power(folder / "disk") as disk:
        url = f"sqlite:///{folder / 'disk' / 'vestibule.db'}"
        store.upgrade(url)
        house = House(
            folder / "g", url=url, settings=SETTINGS, quick=QUICK, away=settings.pop("away", ["inspector"]), **settings
        )
        mtas: list[Mta] = []
        try:
            house.prepare()
            house.start()
            mtas += [Mta(f"p{number}", lambda: house.port) for number in range(3)]
            yield Plant(house, disk, mtas, random.Random(seed))
        finally:
            house.close()
            for mta in mtas:
                mta.stop()


def missing_ids(plant: Plant) -> int:
    """Acknowledged and not in the spool, as far as the store can still be read; without an inspector."""
    there = {str(row[0]) for row in plant.house.rows("SELECT id FROM spool")}
    return sum(one.id not in there for mta in plant.mtas for one in mta.sent)


def test_intake_loses_nothing_when_the_power_fails(tmp_path: Path) -> None:
    with plant(tmp_path, seed=random.getrandbits(32)) as made:
        for number in range(12):
            made.cycle("edge", torn=number % 3 != 0)
        tally = made.check()
        print(tally)
        assert tally.sound, tally.details


def test_a_whole_gateway_loses_nothing_when_the_power_fails(tmp_path: Path) -> None:
    with plant(tmp_path, seed=random.getrandbits(32), away=[]) as made:
        for number in range(3):
            made.cycle("edge", "inspector", torn=number != 0, letters=6)
        tally = made.check()
        print(tally)
        assert tally.sound, tally.details


def test_a_disk_that_lies_about_fsync_loses_mail_and_this_test_sees_it(tmp_path: Path) -> None:
    with plant(tmp_path, seed=1) as made:
        made.disk.set(lie=True)
        for mta in made.mtas:
            mta.post(3)
            mta.flush()
        made.cycle("edge", torn=False)
        assert missing_ids(made) > 0


@pytest.mark.parametrize(("setting", "read_back"), [("OFF", 0), ("NORMAL", 1)])
def test_sqlite_that_does_not_wait_for_the_disk_loses_mail_and_this_test_sees_it(
    tmp_path: Path, setting: str, read_back: int
) -> None:
    with plant(tmp_path, seed=1, pragmas={"synchronous": (setting, read_back)}) as made:
        for mta in made.mtas:
            mta.post(3)
            mta.flush()
        made.cycle("edge", torn=False)
        assert missing_ids(made) > 0


def test_an_fsync_that_fails_ends_the_process_and_loses_nothing(tmp_path: Path) -> None:
    """After EIO the kernel may have dropped what it was to write: nothing is retried on the same descriptor."""
    with plant(tmp_path, seed=1) as made:
        for failing in (1, 3):
            for mta in made.mtas:
                mta.post(2)
            made.house.tell(do="hold", role="edge")
            made.disk.set(eio=failing)
            made.mtas[0].post(3)
            made.house.wait_for_log("disk.failed", role="edge", pid=made.house.newest("edge"))
            made.disk.cut(failing)
            made.house.leave("edge")
            made.disk.unmount()
            made.disk.mount()
            made.house.come("edge")
        tally = made.check()
        assert tally.sound, tally.details
        assert not any(mta.refused for mta in made.mtas)


def test_a_full_disk_defers_and_loses_nothing(tmp_path: Path) -> None:
    """First seen coming (452 before anything is sealed), then met in the middle of a write."""
    with plant(tmp_path, seed=1) as made:
        made.mtas[0].post(2)
        made.mtas[0].flush()
        made.disk.set(free=1_000_000)
        made.house.wait_for(lambda: _answered(made, 452), 20, "452")
        made.disk.set(free=None)
        settle_intake(made)
        used = sum(path.stat().st_size for path in (tmp_path / "disk").iterdir())
        made.disk.set(free=1 << 34, quota=used + 30_000)
        before = made.mtas[1].answers[452]
        made.mtas[1].post(30)
        made.house.wait_for(lambda: made.mtas[1].answers[452] > before or None, 20, "452 once more")
        made.house.come("inspector")
        made.disk.set(free=None, quota=None)
        tally = made.check()
        print(tally, made.mtas[1].answers)
        assert tally.sound, tally.details
        assert {code for mta in made.mtas for code in mta.answers} <= {451, 452, 421}


def _answered(made: Plant, code: int) -> bool | None:
    made.mtas[0].post(1) if made.mtas[0].idle else None
    return made.mtas[0].answers[code] > 0 or None


def settle_intake(made: Plant) -> None:
    for mta in made.mtas:
        mta.flush()




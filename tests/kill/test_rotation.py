"""The spool's key is replaced every second and old ones are destroyed, while rows wait and key processes are killed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from house import house
from ledger import UNOPENED, check, look, settle
from mta import Mta
from points import UNKNOWN

from gateway.requests import Verb

pytestmark = pytest.mark.timeout(300)
SETTINGS = {
    "notices": "first_contact = false\nheld = false",
    "inspector": "spool_key_seconds = 1",
    "policy.actions": '"structure.unknown-charset" = "defer"',
}


def test_what_waits_can_still_be_opened_after_its_key_was_replaced_many_times(tmp_path: Path) -> None:
    """It waits for its second and third attempt, then for a reviewer; others come and go, and take their keys along."""
    with house(tmp_path / "g", settings=SETTINGS, quick={"ATTEMPTS": 3, "RETRY_SECONDS": 0.8}) as home:
        waiting, passing = Mta("waits", lambda: home.port, thread=False), Mta("passes", lambda: home.port)
        waiting.post(3, extra=UNKNOWN)
        waiting.flush()
        ids = {one.id for one in waiting.sent}
        borne = {str(row[0]) for row in home.rows("SELECT key_id FROM spool")}
        until, turns = time.monotonic() + 90, 0
        while len(home.held()) < 3 or not home.told("keys.destroyed"):
            assert time.monotonic() < until
            passing.post(1)
            time.sleep(0.4)
            turns += 1
            if turns % 12 == 4:  # a key process destroys what it has seen superseded for two epochs itself
                home.kill_now("keys")
            left = {str(row[0]) for row in home.rows("SELECT key_id FROM spool WHERE state <> 'held'")}
            destroyed = {line["key"] for line in home.told("keys.destroyed")}
            assert not left & borne & destroyed, "a key that a row bears"
        settle(home, [passing])
        assert {row.id for row in home.held()} == ids
        assert not any(set(codes) & UNOPENED for codes in look(home).held.values())
        assert len(home.told("keys.rotated")) >= 3
        for id in ids:
            home.decide(id, Verb.RELEASE, ["structure.unknown-charset"])
        home.wait_for(lambda: not home.held() or None, 60, "them to be released")
        tally = check(home, [waiting, passing])
        print(tally)
        assert tally.sound, tally.details
        assert not tally.held
        waiting.stop()
        passing.stop()

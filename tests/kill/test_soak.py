"""`make soak`: cumulative over runs; VESTIBULE_SOAK_MINUTES (10) limits one."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from soak import State, one_round

STATE = Path(__file__).parents[2] / "var" / "soak" / "state.json"


@pytest.mark.soak
def test_thousands_of_kills_and_power_cuts_lose_nothing_double_nothing_and_leave_nothing_unexplained() -> None:
    state = State.load(Path(os.environ.get("VESTIBULE_SOAK_STATE", str(STATE))))
    until = time.monotonic() + float(os.environ.get("VESTIBULE_SOAK_MINUTES", "10")) * 60
    print()
    while time.monotonic() < until:
        one_round(state, lambda line: print(line, flush=True))
    print("processes killed:", dict(state.killed.most_common(12)))
    assert state.sound, state.total().details

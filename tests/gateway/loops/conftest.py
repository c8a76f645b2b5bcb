"""What the tests of the claiming loops share: a real store, and a workshop that says what a test wants to hear."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "store"))

from store_rows import START, House

from gateway.ids import FixedClock
from gateway.store.database import Database, Role


@pytest.fixture
async def house(store_url: str) -> AsyncIterator[House]:
    clock = FixedClock(START)
    opened = [Database.open(store_url, role, clock=clock) for role in (Role.EDGE, Role.INSPECTOR, Role.DESK)]
    yield House(*opened, clock)
    for database in opened:
        await database.close()

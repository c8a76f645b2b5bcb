"""What the store's tests share: the store opened in a role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest
from store_rows import START, House

from gateway.ids import FixedClock
from gateway.store.database import Database, Role


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(START)


@pytest.fixture
async def opened(store_url: str, clock: FixedClock) -> AsyncIterator[Callable[[Role], Database]]:
    """Opens the store in a role; closed at the end."""
    found: list[Database] = []

    def open_(role: Role) -> Database:
        db = Database.open(store_url, role, clock=clock)
        found.append(db)
        return db

    yield open_
    for db in found:
        await db.close()


@pytest.fixture
def edge(opened: Callable[[Role], Database]) -> Database:
    return opened(Role.EDGE)


@pytest.fixture
def inspector(opened: Callable[[Role], Database]) -> Database:
    return opened(Role.INSPECTOR)


@pytest.fixture
def desk(opened: Callable[[Role], Database]) -> Database:
    return opened(Role.DESK)


@pytest.fixture
def house(edge: Database, inspector: Database, desk: Database, clock: FixedClock) -> House:
    return House(edge, inspector, desk, clock)

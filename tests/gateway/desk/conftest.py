"""What the desk's tests share: an office with people in it, on both databases, and clients that sign in."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from desk_client import Visitor
from desk_seed import Office


@pytest.fixture
async def office(store_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    opened = await Office.open(tmp_path, store_url)
    await opened.staff()
    yield opened
    await opened.close()


@pytest.fixture
async def lite(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    """For what doesn't touch the store's differences."""
    opened = await Office.open(tmp_path, sqlite_url)
    await opened.staff()
    yield opened
    await opened.close()


@pytest.fixture
async def enter() -> AsyncIterator[Callable[..., Awaitable[Visitor]]]:
    """`await enter(office, "ann")`: a client with ann's session; without a name, with none."""
    visitors: list[Visitor] = []

    async def make(office: Office, login: str = "") -> Visitor:
        visitor = Visitor(office)
        visitors.append(visitor)
        if login:
            await visitor.sign_in(login)
        return visitor

    yield make
    for visitor in visitors:
        await visitor.close()

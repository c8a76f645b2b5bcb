"""What the gateway's tests share: the company's engine with real gpg."""

from __future__ import annotations

import pytest
from letters import HouseOpener

from keys.testing import House


@pytest.fixture(scope="session")
def house() -> House:
    return House.build()


@pytest.fixture
def opener(house: House) -> HouseOpener:
    """Knows alice and bob; mallory's certificate is nowhere."""
    return HouseOpener(house)

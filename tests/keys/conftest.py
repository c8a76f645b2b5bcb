"""One GNUPGHOME of the company per module, with alice and bob as customers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from keys.testing import House


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    built = House.build()
    yield built
    built.gpg.stop_agent()

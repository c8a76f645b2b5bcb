"""Cursors: where a page ended, as `NUMBER.ID`. Opaque to whoever holds one; anything else raises ValueError."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

R = TypeVar("R")

_CURSOR: Final = re.compile(r"(\d{1,18})\.([A-Za-z0-9.-]{1,64})")


def parse(cursor: str) -> tuple[int, str] | None:
    """None for the beginning (""). Raises ValueError."""
    if not cursor:
        return None
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ValueError("not a cursor of ours")
    return int(found[1]), found[2]


def cut(rows: Sequence[R], limit: int, place: Callable[[R], tuple[int, str]]) -> tuple[list[R], str]:
    """Of `limit + 1` rows asked for: the page, and the cursor of the next ("" at the end)."""
    page = list(rows[:limit])
    if len(rows) <= limit or not page:
        return page, ""
    number, id = place(page[-1])
    return page, f"{number}.{id}"

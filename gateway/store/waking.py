"""Waking: how one role tells another that there is work.

Rules: a wake-up says nothing but "look"; it may be lost or come for nothing, so whoever waits also looks now and then.
Many `notify` make one wake-up.
"""

from __future__ import annotations

from typing import Final, Protocol

VARIABLE: Final = "VESTIBULE_WAKE_FD"
LETTERS: Final = {"edge": b"e", "inspector": b"i", "desk": b"d"}


class Wake(Protocol):
    """One per process. Each loop that waits takes an `Ear` of its own, so that none misses what another heard."""

    def ear(self) -> Ear: ...
    async def wait(self, seconds: float) -> bool:
        """As `Ear.wait`, for a process with one loop only."""
        ...

    def notify(self, role: str) -> None:
        """Never blocks, never raises; callable from the event loop's thread."""
        ...

    async def close(self) -> None: ...


class Ear(Protocol):
    async def wait(self, seconds: float) -> bool:
        """True when woken since the last `wait` returned, False after so many seconds."""
        ...

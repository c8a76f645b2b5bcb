"""How much came of late, and which bodies came from whom. Keyed hashes only.

Rules: counts are kept in memory and merged into the store every second, so that no message costs a commit; a crash
loses a second of counts and no message.
"""

from __future__ import annotations

from channels.contract import Pace
from gateway.ids import Clock
from gateway.store.database import Database
from keys.secret import Secret


class Rates:
    """`channels.contract.Paces` over a running window."""

    def __init__(self, db: Database, *, key: Secret[bytes], clock: Clock, window_seconds: int = 3600) -> None:
        """`key`: 32 bytes; peers and senders are stored as HMACs under it."""
        raise NotImplementedError

    async def note(self, *, peer: str, sender: str) -> Pace:
        """Counts this one in."""
        raise NotImplementedError

    async def run(self) -> None:
        """Merges with the store every second, until cancelled (then once more)."""
        raise NotImplementedError


class Bodies:
    """`channels.contract.Seen`. Bodies are noted by `spool.put` with the row."""

    def __init__(self, db: Database, *, key: Secret[bytes]) -> None:
        raise NotImplementedError

    def sender_key(self, sender: str) -> bytes:
        """For `NewSpoolRow.sender_key`."""
        raise NotImplementedError

    async def elsewhere(self, *, body_key: bytes, sender: str) -> int:
        """How many other senders this body came from; questions asked at the same time share one query."""
        raise NotImplementedError


class Attempts:
    """Counts in the store at once: for sign-in attempts, where each counts."""

    def __init__(self, db: Database, *, clock: Clock, window_seconds: int) -> None:
        raise NotImplementedError

    async def count(self, key: bytes) -> int:
        """Counts this one and returns how many there were in the window, this one included. `key`: 32 bytes."""
        raise NotImplementedError

    async def clear(self, key: bytes) -> None:
        raise NotImplementedError

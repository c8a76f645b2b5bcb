"""Conversations as the desk changes them: claim, release, close, reopen. States by `gateway.states`, here and nowhere
else.

Rules: a claim is a lease with a fencing token; whoever acts under an old one gets `Fenced`. A lease that ran out counts
as released. The desk changes no stamped column.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.ids import Clock
from gateway.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """`until` in microseconds."""

    conversation: str
    person: str
    fence: int
    until: int


class Conversations:
    def __init__(self, db: Database, clock: Clock) -> None:
        raise NotImplementedError

    async def claim(self, conversation: str, person: str, seconds: float) -> Lease | None:
        """A new lease, or the person's own one made longer (same fence). None when somebody else has it, or when it is
        closed or unknown."""
        raise NotImplementedError

    async def take_over(self, conversation: str, person: str, seconds: float) -> Lease | None:
        """A supervisor takes it from whoever has it. None when it is closed or unknown."""
        raise NotImplementedError

    async def release(self, conversation: str, person: str, fence: int) -> None:
        """Raises Fenced."""
        raise NotImplementedError

    async def close(self, conversation: str, person: str, fence: int) -> None:
        """Raises Fenced."""
        raise NotImplementedError

    async def reopen(self, conversation: str, person: str) -> bool:
        """False when it isn't closed."""
        raise NotImplementedError

    async def holds(self, conversation: str, person: str, fence: int) -> bool:
        """Whether this lease is good now."""
        raise NotImplementedError

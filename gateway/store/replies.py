"""Replies: what agents wrote, boxed to the inspector and signed by the desk.

    waiting ──claim──► working ──► outbox (queue.record_sent) | stopped | waiting (retry)

Rules: serial within a conversation; attempts are counted before the work; the box is dropped when the reply is in the
outbox, and kept when it was stopped.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.ids import Clock
from gateway.rules import Decision
from gateway.store.database import Database
from keys.box import KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyClaim:
    id: str
    conversation: str
    author: str
    box: bytes = field(repr=False)
    attempts: int
    fence: int
    lease_until: int
    created_at: int


class Replies:
    def __init__(self, db: Database, clock: Clock) -> None:
        raise NotImplementedError

    async def put(self, *, id: str, conversation: str, author: str, box: bytes) -> bool:
        """The desk's. Wakes the inspector. False if this id is there already."""
        raise NotImplementedError

    async def claim(self, limit: int, lease_seconds: float) -> list[ReplyClaim]:
        raise NotImplementedError

    async def retry(self, claim: ReplyClaim, delay: float, *, counted: bool = True) -> None:
        """Raises Fenced."""
        raise NotImplementedError

    async def stop(self, claim: ReplyClaim, reason: str, decision: Decision | None = None) -> None:
        """OUTBOUND said no, or it can't be protected. `reason` is a fixed token. Raises Fenced."""
        raise NotImplementedError

    async def key_ids_in_use(self) -> frozenset[KeyId]:
        raise NotImplementedError

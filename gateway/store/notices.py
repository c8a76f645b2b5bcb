"""Notices that are still to be written: put down in the transaction that gives the reason, claimed by the inspector.

Kinds: first-contact (by `Queue.put`), held, refused (by `Spool.hold`), expired (by `Spool.expire`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.ids import Clock
from gateway.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeClaim:
    """`id` serves as the outbox row's id and as Message-ID, so that a repeat is recognised. `for_inspector` is what
    `Spool.hold` was given; for "first-contact" there is a conversation instead."""

    id: str
    kind: str
    conversation: str | None
    spool_id: str | None
    for_inspector: bytes | None = field(repr=False)
    attempts: int
    fence: int
    lease_until: int
    created_at: int


class Notices:
    def __init__(self, db: Database, clock: Clock) -> None:
        raise NotImplementedError

    async def claim(self, limit: int, lease_seconds: float) -> list[NoticeClaim]:
        raise NotImplementedError

    async def retry(self, claim: NoticeClaim, delay: float) -> None:
        """Raises Fenced."""
        raise NotImplementedError

    async def finish(self, claim: NoticeClaim, reason: str = "") -> None:
        """It is in the outbox, or it isn't to be sent (`reason`, a fixed token). Raises Fenced."""
        raise NotImplementedError

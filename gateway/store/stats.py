"""Numbers for metrics and health: ages, counts, failures. No customer data, no ids."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.store.database import Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Counts by state; ages in seconds, 0.0 when there is none."""

    spool: dict[str, int]
    spool_age: float
    spool_retrying: int
    held_age: float
    held_next_expiry: float
    conversations: dict[str, int]
    unanswered: int
    unanswered_age: float
    replies: dict[str, int]
    replies_age: float
    requests: dict[str, int]
    notices: int
    outbox: dict[str, int]
    outbox_age: float
    dedupe: int


async def stats(db: Database) -> Stats:
    """What this role may see; the rest stays empty. The edge: backlog and outbox; the desk: no spool but held ones."""
    raise NotImplementedError

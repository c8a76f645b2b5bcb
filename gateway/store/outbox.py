"""The outbox: what is to leave, boxed to the edge. Rows carry the box and facts that say nothing of the route.

    ready ──claim──► sending ──► sent | refused | ready (retry) | doubt | expired
                                 doubt, refused, expired ──resend──► ready

Rules:
1. The attempt is on record before the first byte leaves: `attempting`. If the process dies after it, the row ends in
   doubt, for a person to decide; nothing is sent twice by itself.
2. If it dies before, the lease runs out and the row is claimed again.
3. The box is dropped when it was sent.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from channels.contract import Receipt
from gateway.ids import Clock
from gateway.store.database import Database
from keys.box import KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class NewOutboxRow:
    """`id` is the row that the box is bound to. `lane`: rows of one lane leave in order (a keyed hash of the recipient,
    or the conversation's id). `kind` is "reply" or a notice's kind. Times in microseconds."""

    id: str
    channel: str
    lane: bytes
    kind: str
    box: bytes = field(repr=False)
    conversation: str | None
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxClaim:
    id: str
    channel: str
    kind: str
    box: bytes = field(repr=False)
    conversation: str | None
    attempts: int
    fence: int
    lease_until: int
    created_at: int
    expires_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the desk sees of it. `state` is `gateway.states.Sending`'s value."""

    id: str
    kind: str
    conversation: str | None
    state: str
    attempts: int
    reason: str
    code: int
    tls: str
    created_at: int
    changed_at: int


class Outbox:
    def __init__(self, db: Database, clock: Clock) -> None:
        raise NotImplementedError

    async def put(self, row: NewOutboxRow) -> bool:
        """For what belongs to no conversation (a notice about a held message). False if this id is there already.
        Replies come in by `Queue.record_sent`. The inspector's."""
        raise NotImplementedError

    async def claim(self, limit: int, lease_seconds: float) -> list[OutboxClaim]:
        """The edge's. First of all moves rows whose sender died after `attempting` into doubt."""
        raise NotImplementedError

    async def attempting(self, claim: OutboxClaim) -> None:
        """Right before the first byte leaves. Raises Fenced."""
        raise NotImplementedError

    async def settle(self, claim: OutboxClaim, receipt: Receipt, *, delay: float = 0.0) -> str:
        """What `Channel.send` came to: sent, refused, doubt, or ready again after `delay` seconds (expired when that
        is too late). Returns the new state. Raises Fenced."""
        raise NotImplementedError

    async def give_back(self, claim: OutboxClaim) -> None:
        """We are stopped before anything was attempted. Raises Fenced."""
        raise NotImplementedError

    async def expire(self) -> int:
        """Rows that waited too long."""
        raise NotImplementedError

    async def resend(self, id: str, by: str, *, expires_at: int) -> bool:
        """An agent's word on a row in doubt (its box is kept): send it again. The inspector's, on request."""
        raise NotImplementedError

    async def key_ids_in_use(self) -> frozenset[KeyId]:
        raise NotImplementedError

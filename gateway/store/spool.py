"""The spool: what has been acknowledged and not yet queued. Boxes only; nobody reads them here.

    put ──► waiting ──claim──► working ──► (queue.put deletes the row in its own transaction)
               ▲ ▲                │ retry
               │ └────────────────┤
               └── release ── held ◄ hold

Rules:
1. `put` returns after the commit. One dedupe key, one row; a repeat gets the first row's id.
2. Claims are serial within a lane, in the order of acknowledgement; a held row doesn't block those behind it.
3. Attempts are counted before the work starts: a claim with `attempts > limits.ATTEMPTS` is to be held, not worked on.
4. What is done with a claim is fenced: it raises `Fenced` when the lease has gone to somebody else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.ids import Clock
from gateway.rules import Code, Decision
from gateway.store.database import Database
from keys.box import KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSpoolRow:
    """`id` is the ULID that the box is bound to and that the sender is told. `received_at` in microseconds.
    `body_key` and `sender_key` (keyed hashes, or b"") feed `rates.Bodies`. `findings`: codes that did not stop it."""

    id: str
    channel: str
    lane: bytes
    dedupe_key: bytes
    box: bytes
    received_at: int
    body_key: bytes = b""
    sender_key: bytes = b""
    findings: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """`id` is the row's, or, `repeated`, that of the row which had the same dedupe key before."""

    id: str
    repeated: bool


async def put(db: Database, row: NewSpoolRow) -> Put:
    """Rows handed in at the same time share one statement and one commit. Wakes the inspector.
    Raises StoreDown (also when more than limits.INTAKE_WAITING rows wait), StoreFull."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A leased row. `lease_until` in microseconds; `waived` are findings that a reviewer let pass."""

    id: str
    channel: str
    lane: bytes
    box: bytes = field(repr=False)
    attempts: int
    fence: int
    lease_until: int
    waived: frozenset[Code]
    received_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """`for_desk` and `for_inspector` are what `hold` was given. `box` is filled in by `Spool.expire` alone."""

    id: str
    channel: str
    mailbox: str
    queue: str
    received_at: int
    held_at: int
    expires_at: int
    attempts: int
    octets: int
    refused: bool
    decision: Decision
    for_desk: bytes | None = field(repr=False)
    for_inspector: bytes | None = field(repr=False)
    box: bytes = field(default=b"", repr=False)


class Spool:
    def __init__(self, db: Database, clock: Clock) -> None:
        raise NotImplementedError

    async def claim(self, limit: int, lease_seconds: float) -> list[Claim]:
        """At most one per lane; attempts and fence already counted up and committed."""
        raise NotImplementedError

    async def hold(
        self,
        claim: Claim,
        decision: Decision,
        box: bytes | None,
        *,
        expires_at: int,
        mailbox: str = "",
        queue: str = "",
        for_desk: bytes | None = None,
        for_inspector: bytes | None = None,
        notice: bool = False,
    ) -> None:
        """Stops it for a reviewer. `box` replaces the row's box (sealed to its own key), None keeps it. `for_desk` and
        `for_inspector` are sealed by the caller: what a reviewer may see; what a notice will need (the address).
        With `notice` the customer will be told (kind "held", or "refused" when the decision was REJECT).
        Raises Fenced."""
        raise NotImplementedError

    async def retry(self, claim: Claim, delay: float, *, counted: bool = True) -> None:
        """Back to waiting, claimable after `delay` seconds. `counted=False` takes the attempt back: we were stopped,
        the message isn't to blame. Raises Fenced."""
        raise NotImplementedError

    async def held(self, cursor: str = "", limit: int = 100) -> tuple[list[HeldRow], str]:
        """Oldest first, and the cursor of the next page ("" at the end)."""
        raise NotImplementedError

    async def release(self, id: str, waived: frozenset[Code], by: str) -> bool:
        """Back to waiting, with a waiver of these findings and fresh attempts. False when it isn't held any more."""
        raise NotImplementedError

    async def reject(self, id: str, by: str) -> bool:
        """Deletes it for good. False when it isn't held any more."""
        raise NotImplementedError

    async def expire(self, *, notice: bool = False, limit: int = 100) -> list[HeldRow]:
        """Deletes what was held too long, and returns it. With `notice` the customer will be told (kind "expired")."""
        raise NotImplementedError

    async def key_ids_in_use(self) -> frozenset[KeyId]:
        """Box keys that some row still bears: these must not be destroyed."""
        raise NotImplementedError

    async def backlog(self) -> int:
        """Rows in the spool, held ones too; the edge may ask this."""
        raise NotImplementedError

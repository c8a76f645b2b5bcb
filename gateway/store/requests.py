"""Requests: what the desk asks of the inspector in a signed box (`gateway.requests`): release, reject, send again.

Rules: claimed and counted as the spool is; the box is dropped when the request is done or failed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.ids import Clock
from gateway.store.database import Database
from keys.box import KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestClaim:
    id: str
    kind: str
    object_id: str | None
    author: str
    box: bytes = field(repr=False)
    attempts: int
    fence: int
    lease_until: int
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """`state` is `gateway.states.Asked`'s value; `answer` is sealed for the desk, or None."""

    id: str
    kind: str
    object_id: str | None
    author: str
    state: str
    reason: str
    answer: bytes | None = field(repr=False)
    created_at: int


class Requests:
    def __init__(self, db: Database, clock: Clock) -> None:
        raise NotImplementedError

    async def put(self, *, id: str, kind: str, object_id: str | None, author: str, box: bytes) -> bool:
        """The desk's. `kind` is a fixed token ("release", "reject", "resend" …). False if this id is there already."""
        raise NotImplementedError

    async def claim(self, limit: int, lease_seconds: float) -> list[RequestClaim]:
        raise NotImplementedError

    async def retry(self, claim: RequestClaim, delay: float) -> None:
        """Raises Fenced."""
        raise NotImplementedError

    async def finish(self, claim: RequestClaim, *, done: bool, reason: str = "", answer: bytes | None = None) -> None:
        """Raises Fenced."""
        raise NotImplementedError

    async def find(self, id: str) -> Asked | None:
        raise NotImplementedError

    async def pending(self, object_id: str) -> list[Asked]:
        """What is asked for about an object and not yet done."""
        raise NotImplementedError

    async def key_ids_in_use(self) -> frozenset[KeyId]:
        raise NotImplementedError

"""DNS for sender authentication: bounded, cached, time-limited, and never raising.

Rules:
1. A failure is an answer (`Status.FAILED`); nobody may take it for "there is none".
2. All checks of one message share one `Lookups`: a budget of questions, a deadline, a memory of what was asked.
3. Answers are capped in number and size before a check sees them.
4. Negative answers are remembered too, by the zone's own time to live, within bounds (RFC 2308).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class Status(Enum):
    """FOUND: records. EMPTY: the name has no such records. MISSING: no such name (RFC 8020). FAILED: not known."""

    FOUND = "found"
    EMPTY = "empty"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """Records of one type. TXT as bytes, its strings joined; A, AAAA as text; PTR, CNAME as names; MX as "10 name"."""

    status: Status
    records: tuple[bytes | str, ...] = ()
    authentic: bool = False
    ttl: float = 0.0


class Resolver(Protocol):
    async def query(self, name: str, kind: str) -> Answer:
        """`kind` is A, AAAA, MX, PTR, TXT or TLSA. Never raises but for cancellation."""
        ...

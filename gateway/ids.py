"""Clock, ids, randomness: passed in, so that behaviour is deterministic given them.

Ids are ULIDs (github.com/ulid/spec): 48 bits of milliseconds, 80 random bits, 26 characters of Crockford's base 32;
they sort by time and say nothing else.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from datetime import UTC, datetime
from typing import Protocol

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Clock(Protocol):
    def now(self) -> datetime:
        """UTC, with its time zone."""
        ...

    def monotonic(self) -> float:
        """Seconds, never stepping back; for leases and windows inside one process."""
        ...


class Ids(Protocol):
    def new(self) -> str: ...


class SystemClock:
    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class FixedClock:
    """For `--at` and for tests: stands still until told."""

    def __init__(self, at: datetime) -> None:
        if at.tzinfo is None:
            raise ValueError("a time without a time zone is no time")
        self.at = at
        self.ticks = 0.0

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.ticks


class Ulids:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self) -> str:
        return _written(int(self._clock.now().timestamp() * 1000) << 80 | secrets.randbits(80))


def id_of(*parts: str) -> str:
    """The same id for the same parts, whoever asks and when: for what is asked for again after a crash and must be one.
    It doesn't sort by time."""
    encoded = (part.encode("utf-8", "surrogatepass") for part in parts)
    digest = hashlib.sha256(b"".join(len(part).to_bytes(4) + part for part in encoded)).digest()
    return _written(int.from_bytes(digest[:16]))


def _written(value: int) -> str:
    value &= (1 << 128) - 1
    return "".join(_ALPHABET[value >> shift & 31] for shift in range(125, -5, -5))


def micros(at: datetime) -> int:
    """Microseconds since 1970-01-01 UTC: how every time stands in the store."""
    return int(at.timestamp() * 1_000_000)


def from_micros(value: int) -> datetime:
    return datetime.fromtimestamp(value / 1_000_000, UTC)

"""What can go wrong in the gateway. `str(error)` is safe to log: it is never built from a message's content.

    VestibuleError
    ├── ConfigError      a setting is wrong: names the field, the problem and the way out
    ├── StoreError       the database refuses or is away
    │   ├── StoreDown    away or locked: try again; senders hear 451
    │   ├── StoreFull    no space; senders hear 452
    │   ├── Unsafe       a durability setting isn't what the promise needs: we don't start
    │   └── Fenced       somebody else holds the lease by now: this result is void
    └── WorkerError      a parser worker was killed at a limit, or answered nonsense
"""

from __future__ import annotations


class VestibuleError(Exception):
    """Something went wrong."""


class ConfigError(VestibuleError):
    """A setting is wrong."""

    def __init__(self, field: str, problem: str, hint: str = "") -> None:
        super().__init__(f"{field}: {problem}" + (f" ({hint})" if hint else ""))
        self.field, self.problem, self.hint = field, problem, hint


class StoreError(VestibuleError):
    """The database refuses."""


class StoreDown(StoreError):
    """The database is away or locked; try again."""


class StoreFull(StoreError):
    """There is no space left."""


class Unsafe(StoreError):
    """A durability setting isn't what the promise needs."""


class Fenced(StoreError):
    """Somebody else holds the lease by now."""


class WorkerError(VestibuleError):
    """A parser worker was stopped at a limit. `limit` is a fixed token: cpu, memory, time, answer, crash."""

    def __init__(self, limit: str) -> None:
        super().__init__(limit)
        self.limit = limit

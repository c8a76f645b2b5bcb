"""Secret: a value that is printed by nothing and pickled by nothing.

`str()`, `format()` and pickling raise; `repr()` shows only the length. The one way to the value is `reveal()`,
which is easy to find and whose callers are listed in a test.
"""

from __future__ import annotations

import hmac
from typing import Generic, NoReturn, TypeVar, final

T = TypeVar("T", str, bytes)


@final
class Secret(Generic[T]):
    """A `str` or `bytes` that must not reach a log, an exception, a metric or a temporary file."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        """The value. Every caller is listed in `tests/test_architecture.py`."""
        return self._value

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return f"Secret(<{len(self)}>)"

    def __str__(self) -> NoReturn:
        raise TypeError("a Secret has no text form; call .reveal() if you mean it")

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a Secret cannot be formatted into text")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled")

    def __copy__(self) -> Secret[T]:
        return self

    def __deepcopy__(self, memo: object) -> Secret[T]:
        return self

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_octets(self._value), _octets(other._value))

    __hash__ = None  # type: ignore[assignment]


def _octets(value: str | bytes) -> bytes:
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value

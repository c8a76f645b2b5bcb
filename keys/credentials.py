"""Credentials that the edge checks: logins for submission, and shared secrets with overlap.

Rules:
1. Passwords are kept as Argon2id hashes (RFC 9106) only; checking one costs the same whether the name exists or not.
2. A shared secret has a current and a previous value, so that it can be changed without a moment of failure.
3. Files are read again when they change. A file that can't be read lets nobody in.
4. Checking a password takes some 50 ms and 64 MiB: call it off the event loop, a few at a time.
"""

from __future__ import annotations

import hmac
import re
import threading
from pathlib import Path
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from keys.secret import Secret

_HASHER: Final = PasswordHasher()  # RFC 9106's second recommended option: 64 MiB, three passes, four lanes
_NAME: Final = re.compile(r"[A-Za-z0-9._@+-]{1,254}")
PASSWORD_BYTES: Final = 1_024
"""Longer ones are refused unread."""


def hash_password(password: Secret[str]) -> str:
    """For a line NAME:HASH of a users file."""
    return _HASHER.hash(password.reveal())


class Users:
    """Logins in a file, NAME:ARGON2-HASH a line; empty lines and lines that begin with # don't count."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._seen: tuple[int, int] | None = None
        self._hashes: dict[str, str] = {}
        self._nobody = _HASHER.hash("nobody has this password")

    def verify(self, name: str, password: Secret[str]) -> bool:
        """Thread-safe; never raises."""
        known = self._read().get(name)
        if len(password) > PASSWORD_BYTES:
            return False
        try:
            _HASHER.verify(known or self._nobody, password.reveal())
        except (VerificationError, InvalidHashError, UnicodeError):
            return False
        return known is not None

    def _read(self) -> dict[str, str]:
        with self._lock:
            try:
                found = self._file.stat()
                seen = (found.st_mtime_ns, found.st_size)
                if seen != self._seen:
                    self._hashes = dict(_lines(self._file.read_text("utf-8")))
                    self._seen = seen
            except (OSError, UnicodeDecodeError):
                self._hashes, self._seen = {}, None
            return self._hashes


def _lines(text: str) -> list[tuple[str, str]]:
    pairs = (line.strip().partition(":") for line in text.splitlines() if line.strip() and not line.startswith("#"))
    return [(name, hashed) for name, _, hashed in pairs if _NAME.fullmatch(name) and hashed.startswith("$argon2id$")]


class SharedSecret:
    """A secret that another machine knows too: the first line of its file is the current value, the second, if there is
    one, the previous."""

    def __init__(self, current: Secret[bytes], previous: Secret[bytes] | None = None) -> None:
        if not current:
            raise ValueError("an empty secret is none")
        self._values = (current, previous) if previous else (current,)

    @classmethod
    def load(cls, file: Path) -> SharedSecret:
        """Raises OSError, ValueError."""
        lines = [line.strip() for line in file.read_bytes().splitlines() if line.strip()]
        if not 1 <= len(lines) <= 2:
            raise ValueError("one or two lines: the current secret and the previous one")
        return cls(*(Secret(line) for line in lines))

    @property
    def current(self) -> Secret[bytes]:
        return self._values[0]

    def matches(self, candidate: bytes) -> bool:
        """In constant time, over both values."""
        found = [hmac.compare_digest(value.reveal(), candidate) for value in self._values]
        return any(found)

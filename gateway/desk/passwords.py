"""Passwords: Argon2id (RFC 9106) and nothing else.

Rules:
1. A wrong name costs what a wrong password costs: `check(None, …)` verifies against a hash that nobody has.
2. No composition rules (NIST SP 800-63B-4, section 3.1.1.2); at least 15 characters, at most 256, no well-known ones.
3. Work happens in a small pool of threads, so that hashing never stops the desk, and a flood of sign-ins can't take
   more than `AT_ONCE` times the memory of one.
"""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from argon2 import PasswordHasher, Type
from argon2.exceptions import Argon2Error, InvalidHashError

from keys.secret import Secret

MIN_CHARACTERS: Final = 15
MAX_CHARACTERS: Final = 256
AT_ONCE: Final = 2

HASHER: Final = PasswordHasher(time_cost=3, memory_cost=65_536, parallelism=1, type=Type.ID)
"""RFC 9106, section 4, second recommended option (64 MiB, three passes), with one lane: more would be threads."""

WELL_KNOWN: Final = ("password", "passwort", "contraseña", "123456789012345", "qwertyuiop", "correcthorse", "vestibule")


def problem(password: Secret[str]) -> str | None:
    """Why a new password won't do, as a fixed token; None when it will."""
    text = password.reveal()
    if len(text) < MIN_CHARACTERS:
        return "too-short"
    if len(text) > MAX_CHARACTERS:
        return "too-long"
    folded = text.casefold()
    if len(set(folded)) < 5 or any(folded.strip("0123456789!.-_ ") == word for word in WELL_KNOWN):
        return "well-known"
    return None


def hashed(password: Secret[str]) -> str:
    """In PHC string format."""
    return HASHER.hash(password.reveal())


class Passwords:
    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="argon2")
        self._nobody = HASHER.hash(secrets.token_hex(32))

    async def check(self, stored: str | None, password: Secret[str]) -> bool:
        """Takes the same time whether there is such a person or not."""
        loop = asyncio.get_running_loop()
        good = await loop.run_in_executor(self._pool, _verify, stored or self._nobody, password)
        return good and stored is not None

    def stale(self, stored: str) -> bool:
        """Made with weaker parameters than today's; to be hashed again at the next sign-in."""
        return HASHER.check_needs_rehash(stored)

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _verify(stored: str, password: Secret[str]) -> bool:
    try:
        return HASHER.verify(stored, password.reveal()[:MAX_CHARACTERS])
    except (Argon2Error, InvalidHashError):
        return False

from __future__ import annotations

import statistics
import time

import pytest

from gateway.desk.passwords import HASHER, Passwords, hashed, problem
from keys.secret import Secret

GOOD = Secret("a long walk by the sea")


@pytest.mark.parametrize(
    ("text", "why"),
    [("short", "too-short"), ("x" * 257, "too-long"), ("a" * 20, "well-known"), ("Contraseña12345", "well-known"),
     ("a long walk by the sea", None), ("ünïcödé söme wörds", None)],
)  # fmt: skip
def test_a_new_password_is_long_and_not_well_known(text: str, why: str | None) -> None:
    assert problem(Secret(text)) == why


async def test_a_password_verifies_against_its_own_hash_only() -> None:
    passwords = Passwords()
    stored = hashed(GOOD)
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=1$")
    assert await passwords.check(stored, GOOD)
    assert not await passwords.check(stored, Secret("a long walk by the lake"))
    assert not await passwords.check(None, GOOD)
    assert not await passwords.check("not a hash", GOOD)
    assert not passwords.stale(stored)
    passwords.close()


async def test_an_unknown_name_takes_as_long_as_a_wrong_password() -> None:
    passwords = Passwords()
    stored = HASHER.hash("something else entirely")

    async def seconds(of: str | None) -> float:
        start = time.perf_counter()
        await passwords.check(of, GOOD)
        return time.perf_counter() - start

    pairs = [(await seconds(stored), await seconds(None)) for _ in range(6)]
    wrong, unknown = (statistics.median(column) for column in zip(*pairs, strict=True))
    assert 0.5 < unknown / wrong < 2
    passwords.close()

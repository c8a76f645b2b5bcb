"""Logins and shared secrets."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from keys.credentials import SharedSecret, Users, hash_password
from keys.secret import Secret


def test_a_login_takes_its_own_password(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"# comment\n\nrelay:{hash_password(Secret('pw'))}\nold:$1$md5hash\nbad line\n")
    users = Users(file)
    assert users.verify("relay", Secret("pw"))
    assert not users.verify("relay", Secret("PW"))
    assert not users.verify("nobody", Secret("pw"))
    assert not users.verify("nobody", Secret("nobody has this password"))
    assert not users.verify("old", Secret("x"))
    assert not users.verify("relay", Secret("x" * 2000))
    assert not users.verify("relay", Secret("\udc80"))


def test_a_changed_file_counts_at_once_and_a_lost_one_lets_nobody_in(tmp_path: Path) -> None:
    file = tmp_path / "users"
    users = Users(file)
    assert not users.verify("relay", Secret("pw"))
    file.write_text(f"relay:{hash_password(Secret('pw'))}\n")
    assert users.verify("relay", Secret("pw"))
    file.write_text(f"relay:{hash_password(Secret('new password'))}\n")
    os.utime(file, ns=(time.time_ns(), time.time_ns() + 10**9))
    assert users.verify("relay", Secret("new password"))
    assert not users.verify("relay", Secret("pw"))
    file.unlink()
    assert not users.verify("relay", Secret("new password"))


def test_an_unknown_name_costs_as_much_as_a_known_one(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"relay:{hash_password(Secret('pw'))}\n")
    users = Users(file)

    def seconds(name: str) -> float:
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            users.verify(name, Secret("x"))
            best = min(best, time.process_time() - start)
        return best

    assert 0.3 < seconds("nobody") / seconds("relay") < 3


def test_a_shared_secret_has_a_current_and_a_previous_value(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("new\nold\n")
    secret = SharedSecret.load(file)
    assert secret.matches(b"new")
    assert secret.matches(b"old")
    assert not secret.matches(b"older")
    assert not secret.matches(b"")
    assert secret.current == Secret(b"new")
    assert "new" not in repr(vars(secret))


@pytest.mark.parametrize("text", ["", "\n\n", "a\nb\nc\n"])
def test_a_secret_file_holds_one_or_two_lines(tmp_path: Path, text: str) -> None:
    file = tmp_path / "secret"
    file.write_text(text)
    with pytest.raises(ValueError):
        SharedSecret.load(file)

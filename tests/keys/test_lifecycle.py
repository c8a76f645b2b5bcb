"""Backups open with their passphrase and not otherwise; what is due is said in time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from keys import keyring, lifecycle
from keys.box import Purpose
from keys.errors import BadData, CannotDecrypt
from keys.lifecycle import CHUNK_BYTES, What, backup, restore
from keys.openpgp import Certificate, Fingerprint, OwnKey
from keys.secret import Secret

PASSPHRASE = Secret("correct horse battery staple ñ")


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "COSTS", (1, 1, 64))


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys") / "keys"
    keyring.generate(folder)
    return folder


def snapshot_of(tmp_path: Path, size: int) -> Callable[[], Mapping[str, Path]]:
    database = tmp_path / "copy.sqlite"
    database.write_bytes(os.urandom(size))
    return lambda: {"vestibule.sqlite": database}


def files(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 3 * CHUNK_BYTES + 17])
def test_what_was_backed_up_is_restored_bit_for_bit(tmp_path: Path, keys: Path, size: int) -> None:
    snapshot, sealed = snapshot_of(tmp_path, size), tmp_path / "backup"
    assert backup(sealed, PASSPHRASE, keys=keys, snapshot=snapshot) == sealed.stat().st_size
    assert sealed.stat().st_mode & 0o777 == 0o600
    made = restore(sealed, tmp_path / "new", PASSPHRASE)
    assert all(path.exists() for path in made)
    restored = files(tmp_path / "new")
    assert restored.pop("vestibule.sqlite") == (tmp_path / "copy.sqlite").read_bytes()
    assert restored == {f"keys/{name}": content for name, content in files(keys).items()}
    assert keyring.generate(tmp_path / "new" / "keys") == ()
    for path in (tmp_path / "new").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_backup_shows_nothing_of_what_is_in_it(tmp_path: Path, keys: Path) -> None:
    backup(tmp_path / "backup", PASSPHRASE, keys=keys, snapshot=snapshot_of(tmp_path, 1000))
    sealed = (tmp_path / "backup").read_bytes()
    for name, content in files(keys).items():
        assert name.encode() not in sealed
        assert not content or content.strip() not in sealed


def test_a_wrong_passphrase_is_told_from_a_changed_file(tmp_path: Path, keys: Path) -> None:
    sealed = tmp_path / "backup"
    backup(sealed, PASSPHRASE, keys=keys, snapshot=snapshot_of(tmp_path, 2 * CHUNK_BYTES))
    with pytest.raises(CannotDecrypt):
        restore(sealed, tmp_path / "new", Secret("correct horse battery stable"))
    good = sealed.read_bytes()
    for at in (0, 3, *range(50, len(good), len(good) // 40), len(good) - 1):
        sealed.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        with pytest.raises((BadData, CannotDecrypt)):
            restore(sealed, tmp_path / "new", PASSPHRASE)
        assert not (tmp_path / "new").exists(), "nothing is shown before all of it has opened"
    head, chunk = 6 + 12 + 16 + 16, CHUNK_BYTES + 16
    first, second, rest = good[head : head + chunk], good[head + chunk : head + 2 * chunk], good[head + 2 * chunk :]
    for content in (
        b"", good[:40], good[:head], good[:-1], good[: head + chunk], good + b"x", good + good[head:],
        good[:head] + second + first + rest, good[:head] + second + rest, good[:head] + first + first + second + rest,
    ):  # fmt: skip
        sealed.write_bytes(content)
        with pytest.raises(BadData):
            restore(sealed, tmp_path / "new", PASSPHRASE)
    sealed.write_bytes(good)
    assert restore(sealed, tmp_path / "new", PASSPHRASE)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_forged_head_buys_no_memory(tmp_path: Path, keys: Path) -> None:
    sealed = tmp_path / "backup"
    backup(sealed, PASSPHRASE, keys=keys, snapshot=dict)
    good = sealed.read_bytes()
    for costs in ((0, 1, 64), (17, 1, 64), (1, 17, 64), (1, 1, 2**31), (1, 16, 64), (2**32 - 1,) * 3):
        sealed.write_bytes(good[:6] + lifecycle._COSTS.pack(*costs) + good[18:])
        with pytest.raises(BadData):
            restore(sealed, tmp_path / "new", PASSPHRASE)


def test_nothing_is_overwritten(tmp_path: Path, keys: Path) -> None:
    backup(tmp_path / "backup", PASSPHRASE, keys=keys, snapshot=dict)
    with pytest.raises(FileExistsError):
        backup(tmp_path / "backup", PASSPHRASE, keys=keys, snapshot=dict)
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(FileExistsError):
        restore(tmp_path / "backup", tmp_path / "used", PASSPHRASE)
    (tmp_path / "empty").mkdir()
    assert restore(tmp_path / "backup", tmp_path / "empty", PASSPHRASE)


def test_a_key_made_while_the_database_is_copied_is_in_the_backup(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keyring.generate(keys)
    later = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    rotation = keyring.Rotation(keys, now=lambda: later, clock=iter(range(0, 10**9, 10**6)).__next__)
    old = keyring.current(keys, Purpose.SPOOL)[0]
    new = []

    def snapshot() -> Mapping[str, Path]:
        new.append(rotation.rotate(Purpose.SPOOL))
        assert rotation.retire(Purpose.SPOOL, set(), 0.0) == (old,)
        return {}

    backup(tmp_path / "backup", PASSPHRASE, keys=keys, snapshot=snapshot)
    restore(tmp_path / "backup", tmp_path / "new", PASSPHRASE)
    assert set(keyring.BoxKeys(tmp_path / "new" / "keys", Purpose.SPOOL)) == {old, *new}


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "", "a\x00b"])
def test_a_path_cannot_leave_the_folder(name: str) -> None:
    with pytest.raises(BadData):
        lifecycle._inside(name)


def test_what_is_due_is_said_in_time(keys: Path) -> None:
    now = datetime.now(UTC)
    periods = {Purpose.SPOOL: 600.0, Purpose.OUTBOX: 86_400.0}
    assert lifecycle.box_keys_due(keys, periods, now) == ()
    (due,) = lifecycle.box_keys_due(keys, periods, now + timedelta(seconds=700))
    assert (due.what, due.name) == (What.BOX_KEY, "spool")
    assert len(lifecycle.box_keys_due(keys / "none", periods, now)) == 2

    def own(days: float | None, *, revoked: bool = False) -> OwnKey:
        return OwnKey(
            fingerprint=Fingerprint("A" * 40), addresses=(), created_at=now, revoked=revoked, can_sign=True,
            can_decrypt=True, expires_at=None if days is None else now + timedelta(days=days),
        )  # fmt: skip

    found = lifecycle.mailbox_keys_due([own(None), own(31), own(29), own(-1), own(-1, revoked=True)], now)
    assert [one.what for one in found] == [What.MAILBOX_KEY_EXPIRES, What.MAILBOX_KEY_EXPIRED]
    certificate = Certificate(
        fingerprint=Fingerprint("B" * 40), addresses=(), created_at=now, expires_at=now, revoked=False, can_encrypt=True
    )
    assert [one.what for one in lifecycle.certificates_due([certificate], now)] == [What.CERTIFICATE_EXPIRED]

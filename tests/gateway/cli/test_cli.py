"""The `vestibule` command, as a person calls it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CODE = "from gateway.cli import main; main()"
PASSWORD = "nine-lamps-over-the-river"


def vestibule(*arguments: str, cwd: Path, text: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "200"}
    environment.pop("VESTIBULE_CONFIG", None)
    return subprocess.run(
        [sys.executable, "-c", CODE, *arguments], cwd=cwd, input=text, capture_output=True, text=True, check=False,
        timeout=100, env=environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `init`, `db upgrade` and `keys new` leave it."""
    folder = tmp_path_factory.mktemp("v")
    made = vestibule("init", ".", "--company", "Acme", "--address", "support@acme.example", cwd=folder)
    assert made.returncode == 0, made.stderr
    for arguments in (("db", "upgrade"), ("keys", "new", "support@acme.example")):
        done = vestibule(*arguments, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_init_makes_a_configuration_that_loads_and_explains_itself(home: Path) -> None:
    text = (home / "vestibule.toml").read_text("utf-8")
    assert tomllib.loads(text)["mailboxes"][0]["address"] == "support@acme.example"
    assert "# how customers know the company" in text


def test_init_never_overwrites(home: Path) -> None:
    before = (home / "vestibule.toml").read_bytes()
    done = vestibule("init", ".", cwd=home)
    assert done.returncode == 2
    assert "exists already" in done.stderr
    assert (home / "vestibule.toml").read_bytes() == before


def test_secrets_are_readable_by_their_owner_alone(home: Path) -> None:
    for path in (home / "keys").rglob("*"):
        if path.is_file() and "public" not in path.parts and "gnupg" not in path.parts:
            assert path.stat().st_mode & 0o077 == 0, path.name


def test_check_says_ready_and_names_what_is_not(home: Path) -> None:
    assert "ready" in vestibule("check", cwd=home).stdout
    key = home / "keys" / "edge" / "sign.key"
    key.chmod(0o644)
    done = vestibule("check", cwd=home)
    key.chmod(0o600)
    assert done.returncode == 1
    assert "edge/sign.key is open to others" in done.stdout


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("[edge]\nhostnam = 'x'\n", "edge"),
        ("[[edge.listeners]]\nport = 99999\n", "edge.listeners[0].port"),
        ("[[edge.trusted_hops]]\nname = 'cloud'\naddress = '192.0.2.0/24'\n", "edge.trusted_hops.cloud.address"),
        ("[policy.actions]\n'tls.clear' = 'shrug'\n", "policy.actions.tls.clear"),
        ("[desk]\nhost = '0.0.0.0'\n", "desk.certificate_file"),
        ("[edge\n", "vestibule.toml"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(tmp_path: Path, change: str, field: str) -> None:
    base = "" if "listeners" in change else "[[edge.listeners]]\nstarttls = 'none'\n"
    (tmp_path / "vestibule.toml").write_text(change + base if change.startswith("[edge]") else base + change)
    done = vestibule("db", "current", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("vestibule: ")
    assert field in done.stderr
    assert "Traceback" not in done.stderr


def test_people_are_added_and_their_password_never_stands_on_the_command_line(home: Path) -> None:
    short = vestibule("user", "add", "ann", "--password-stdin", cwd=home, text="short\n")
    assert short.returncode == 2
    assert "15 characters" in short.stderr
    done = vestibule("user", "add", "ann", "--role", "agent", "--password-stdin", cwd=home, text=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    again = vestibule("user", "add", "ann", "--password-stdin", cwd=home, text=PASSWORD + "\n")
    assert again.returncode == 2
    assert "taken" in again.stderr
    assert "ann  agent" in vestibule("user", "list", cwd=home).stdout


def test_layers_prints_every_rule_with_its_action_in_force(home: Path) -> None:
    rows = json.loads(vestibule("layers", "--json", cwd=home).stdout)
    assert {row["layer"] for row in rows} == {"admission", "inspection", "release", "outbound"}
    assert all(row["plain"] for row in rows)
    other = home / "other.toml"
    shutil.copy(home / "vestibule.toml", other)
    other.write_text(other.read_text().replace("[policy.actions]", "") + "\n[policy.actions]\n'tls.clear' = 'hold'\n")
    changed = json.loads(vestibule("layers", "--json", "--config", str(other), cwd=home).stdout)
    assert {row["action"] for row in changed if row["code"] == "tls.clear"} == {"hold"}


@pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not here")
def test_the_public_part_of_a_key_is_exported_and_gpg_reads_it(home: Path, tmp_path: Path) -> None:
    armored = vestibule("keys", "export", "support@acme.example", cwd=home).stdout
    assert "PRIVATE" not in armored
    shown = subprocess.run(
        ["gpg", "--homedir", str(tmp_path), "--with-colons", "--show-keys"], input=armored.encode(),
        capture_output=True, check=False,
    )  # fmt: skip
    assert b"support@acme.example" in shown.stdout


def test_rotating_publishes_new_keys_and_keeps_the_old_ones(home: Path) -> None:
    before = set((home / "keys" / "public").glob("spool.*.pub"))
    done = vestibule("keys", "rotate", cwd=home)
    assert done.returncode == 0, done.stderr
    after = set((home / "keys" / "public").glob("spool.*.pub"))
    assert before < after
    assert "ready" in vestibule("check", cwd=home).stdout


def test_the_audit_verifies_and_a_changed_leaf_is_found(home: Path) -> None:
    told = json.loads(vestibule("audit", "verify", "--json", cwd=home).stdout)
    assert told["sound"]
    assert told["heads"]
    assert vestibule("audit", "verify", "--known", told["heads"][0], cwd=home).returncode == 0
    chain, seq, digest = told["heads"][0].split(":")
    forged = f"{chain}:{seq}:{'0' * len(digest)}"
    assert vestibule("audit", "verify", "--known", forged, cwd=home).returncode == 1


def test_held_says_when_there_is_nothing_and_what_is_not_held(home: Path) -> None:
    assert "nothing is held" in vestibule("held", "list", cwd=home).stdout
    done = vestibule("held", "reject", "01ARZ3NDEKTSV4RRFFQ69G5FAV", cwd=home)
    assert done.returncode == 1
    assert "isn't held" in done.stdout


def test_a_backup_restores_whole_under_its_passphrase_alone(home: Path, tmp_path: Path) -> None:
    file, phrase = tmp_path / "all.bak", "a-long-passphrase-of-words\n"
    made = vestibule("backup", str(file), "--passphrase-stdin", cwd=home, text=phrase)
    assert made.returncode == 0, made.stderr
    assert b"acme.example" not in file.read_bytes()
    wrong = vestibule(
        "restore", str(file), str(tmp_path / "a"), "--passphrase-stdin", cwd=home, text="another-phrase\n"
    )
    assert wrong.returncode == 2
    assert not (tmp_path / "a").exists()
    back = vestibule("restore", str(file), str(tmp_path / "b"), "--passphrase-stdin", cwd=home, text=phrase)
    assert back.returncode == 0, back.stderr
    assert "ready" in vestibule("check", cwd=tmp_path / "b").stdout
    assert vestibule("audit", "verify", cwd=tmp_path / "b").returncode == 0
    here = vestibule("keys", "list", cwd=home).stdout
    assert vestibule("keys", "list", cwd=tmp_path / "b").stdout == here
    occupied = vestibule("restore", str(file), str(tmp_path / "b"), "--passphrase-stdin", cwd=home, text=phrase)
    assert occupied.returncode == 2


def test_an_unforeseen_error_shows_its_class_and_nothing_else(home: Path) -> None:
    code = (
        "import gateway.cli as c\n"
        "def boom(): raise RuntimeError('4111 1111 1111 1111')\n"
        "c._assemble = lambda: c.app.command('x')(boom)\n"
        "import sys; sys.argv = ['vestibule']\n"
        "c.app.info.no_args_is_help = False\n"
        "c.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "4111" not in done.stdout + done.stderr
    assert "RuntimeError" in done.stderr


def test_help_imports_nothing_heavy(home: Path) -> None:
    code = """
import sys
from gateway.cli import main
sys.argv = ['vestibule', '--help']
try:
    main()
except SystemExit:
    pass
print('sqlalchemy' in sys.modules, 'aiohttp' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "False False", done.stderr

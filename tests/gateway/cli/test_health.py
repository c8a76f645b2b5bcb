"""`vestibule health`: it says of each role whether it is at work, and that only."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from roles import Gateway

CODE = "from gateway.cli import main; main()"


@dataclass
class Fixed(Gateway):
    """Ports that a configuration names, as in production."""

    def _toml(self) -> str:
        if not hasattr(self, "_ports"):
            self._ports = [_free(), _free()]
        smtp, desk = self._ports
        text = super()._toml().replace("[[edge.listeners]]\nport = 0", f"[[edge.listeners]]\nport = {smtp}")
        return text.replace("[desk]\nport = 0", f"[desk]\nport = {desk}")


def _free() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def health(gateway: Gateway, *words: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, "health", "--config", str(gateway.file), *words],
        capture_output=True, text=True, check=False, timeout=60, cwd=gateway.folder,
        env={"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout.splitlines()


@pytest.fixture
def gateway(tmp_path: Path, store_url: str) -> Iterator[Fixed]:
    with Fixed(tmp_path / "g", url=store_url, roles=["inspector", "edge", "desk"]) as running:
        running.wait_for_log("edge.listening", channel="desk")
        yield running


def test_all_is_well_and_then_each_role_that_is_gone_is_named(gateway: Fixed) -> None:
    assert health(gateway) == (0, ["healthy"])
    gateway.stop()
    smtp, desk = gateway._ports
    assert health(gateway) == (1, [f"edge listener.silent mx {smtp}", f"desk listener.silent desk {desk}"])
    assert health(gateway, "--role", "inspector") == (0, ["healthy"])


def test_an_inspector_that_renews_no_key_is_not_well(tmp_path: Path) -> None:
    gateway = Fixed(tmp_path / "g", settings={"inspector": "spool_key_seconds = 1.0"})
    try:
        gateway.prepare()
        assert health(gateway, "--role", "inspector") == (0, ["healthy"])
        for path in (gateway.keys / "public").glob("spool.*.pub"):
            stamp = path.name.split(".")[1]
            path.rename(path.with_name(path.name.replace(stamp, "20200101T000000" + stamp[15:])))
        assert health(gateway, "--role", "inspector") == (1, ["inspector keys.not-renewed"])
    finally:
        gateway.close()


def test_mail_that_waits_too_long_to_be_opened_is_told(tmp_path: Path, sqlite_url: str) -> None:
    import sqlite3

    with Fixed(tmp_path / "g", url=sqlite_url, roles=["edge"]) as gateway:
        gateway.submit(b"From: alice@example.org\r\nTo: support@acme.example\r\nSubject: x\r\n\r\nx\r\n")
        assert health(gateway, "--role", "inspector") == (0, ["healthy"])
        gateway.stop()
        with sqlite3.connect(sqlite_url.removeprefix("sqlite:///")) as connection:
            connection.execute("UPDATE spool SET received_at = received_at - 600000000")
        assert health(gateway, "--role", "inspector") == (1, ["inspector spool.waiting"])


def test_a_store_that_is_away_or_empty_is_told_without_its_name(tmp_path: Path) -> None:
    gateway = Fixed(tmp_path / "g")
    try:
        gateway.prepare()
        (gateway.folder / "var" / "vestibule.db").unlink()
        code, said = health(gateway, "--role", "desk")
        assert (code, said[0]) == (1, "desk store.absent")
        assert not (gateway.folder / "var" / "vestibule.db").exists()
        gateway.url = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"
        gateway.file.write_text(gateway._toml(), "utf-8")
        assert health(gateway, "--role", "inspector") == (1, ["inspector store.away"])
    finally:
        gateway.close()


def test_one_role_started_by_hand_offers_the_same_key_exchange_groups(tmp_path: Path) -> None:
    """OpenSSL reads its configuration at a process's start: `up --role` starts as the supervisor does."""
    gateway = Fixed(tmp_path / "g")
    gateway.prepare()
    port = gateway._ports[0]
    command = [sys.executable, "-c", CODE, "up", "--role", "edge", "--config", str(gateway.file)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": "/usr/bin:/bin"}
    edge = subprocess.Popen(command, cwd=gateway.folder, env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if health(gateway, "--role", "edge")[0] == 0:
                break
        asked = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp"]
        done = subprocess.run(
            [*asked, "-groups", "X25519"], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
            timeout=30,
        )  # fmt: skip
        assert "Server Temp Key: X25519" in done.stdout
    finally:
        edge.terminate()
        edge.wait(30)
        gateway.close()

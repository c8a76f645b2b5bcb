"""The desk as a process of its own: what it serves, and what it has not got."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from desk_seed import configuration

from gateway.desk import role
from keys.keyring import generate

FORBIDDEN = {
    "keys.unbox", "keys.stamping", "keys.openpgp", "keys.gnupg", "keys.smime", "keys.keyring", "keys.agent",
    "gateway.opened", "gateway.opening", "gateway.mime", "gateway.sanitizing", "gateway.worker", "gateway.checks",
    "gateway.crossing", "gateway.policy", "gateway.reply", "gnupg",
}  # fmt: skip

STARTER = """
import asyncio, json, sys
from pathlib import Path
from gateway.config import load
from gateway.desk import role

async def main(running):
    async def ask():
        await asyncio.sleep(0.5)
        Path(sys.argv[2]).write_text(json.dumps(sorted(sys.modules)))
        await asyncio.sleep(0.5)
        running.stopping.set()
    task = asyncio.create_task(ask())
    await role.serve(config, running)
    await task

config = load(Path(sys.argv[1]))
from gateway.role import run
from gateway.store.database import Role
sys.exit(run(Role.DESK, config.store_url, main))
"""


def toml(folder: Path, url: str) -> Path:
    file = folder / "vestibule.toml"
    file.write_text(f'[store]\nurl = "{url}"\n[keys]\nfolder = "keys"\n[desk]\nport = 0\n[edge]\nlisteners = []\n')
    return file


def test_a_running_desk_has_nothing_in_it_that_opens_a_message(tmp_path: Path, sqlite_url: str) -> None:
    generate(tmp_path / "keys")
    seen = tmp_path / "modules.json"
    done = subprocess.run(
        [sys.executable, "-c", STARTER, str(toml(tmp_path, sqlite_url)), str(seen)],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    modules = set(json.loads(seen.read_text()))
    assert "gateway.desk.application" in modules
    assert not {name for name in modules if name in FORBIDDEN or name.startswith("gateway.checks")}


def test_a_desk_runs_with_its_own_keys_alone(tmp_path: Path, sqlite_url: str) -> None:
    """Mounts: without the inspector's and the edge's folders it starts, serves, and stops when it is told."""
    generate(tmp_path / "keys")
    for other in ("inspector", "edge"):
        (tmp_path / "keys" / other).rename(tmp_path / f"elsewhere-{other}")
    script = "import sys; from pathlib import Path; from gateway.config import load; from gateway.desk.role import run;"
    file = toml(tmp_path, sqlite_url)
    port = free_port()
    file.write_text(file.read_text().replace("port = 0", f"port = {port}"))
    process = subprocess.Popen(
        [sys.executable, "-c", script + f"sys.exit(run(load(Path({str(file)!r}))))"], stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    try:
        page = ""
        for _ in range(100):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/sign-in", timeout=2) as answer:
                    page = answer.read().decode()
                    break
            except OSError:
                time.sleep(0.1)
        assert "Sign in" in page
        process.terminate()
        _, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert all(json.loads(line)["event"].startswith(("role.", "edge.", "desk.")) for line in errors.splitlines())
    finally:
        process.kill()


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def test_loopback_names_are_served_and_only_them_without_a_public_name(tmp_path: Path) -> None:
    found = role.site(configuration(tmp_path, "sqlite:///x.db"), 8443)
    assert found.hosts == {"127.0.0.1:8443", "localhost:8443", "[::1]:8443"}
    assert not found.secure

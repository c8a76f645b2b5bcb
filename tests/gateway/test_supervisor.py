"""The supervisor: real processes that do what a test's roles do, and nothing else."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROLE = """
import os, signal, socket, sys, time
name, folder = sys.argv[-1], sys.argv[1]
line = socket.socket(fileno=int(os.environ["VESTIBULE_WAKE_FD"]))
open(f"{folder}/{name}.{os.getpid()}", "w").write(os.environ.get("OPENSSL_CONF", ""))
"""
WAIT = "signal.pause()"
SUPERVISE = """
import sys
from gateway.ids import SystemClock
from gateway.log import Log
from gateway.supervisor import Supervisor
sys.exit(Supervisor([sys.executable, *sys.argv[2:]], Log("supervisor", SystemClock()), sys.argv[1].split(",")).run())
"""


@contextmanager
def supervised(folder: Path, role: str, roles: str = "edge,inspector") -> Iterator[subprocess.Popen[str]]:
    script = folder / "role.py"
    script.write_text(ROLE + role)
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, roles, str(script), str(folder)],
        stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent.parent,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def events(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """Everything it wrote; when it has ended."""
    assert process.stderr is not None
    return [json.loads(line) for line in io.StringIO(process.stderr.read()) if line.startswith("{")]


def pids(folder: Path, name: str) -> list[int]:
    return sorted(int(path.suffix[1:]) for path in folder.glob(f"{name}.[0-9]*"))


def wait(look: Any, seconds: float = 15) -> Any:
    until = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)
    return found


def test_it_starts_every_role_with_a_line_and_our_tls_policy(tmp_path: Path) -> None:
    with supervised(tmp_path, WAIT) as process:
        for role in ("edge", "inspector"):
            (pid,) = wait(lambda role=role: pids(tmp_path, role))
            wait(lambda pid=pid, role=role: (tmp_path / f"{role}.{pid}").read_text().endswith("openssl.cnf"))
        process.terminate()
        assert process.wait(10) == 0


def test_a_role_that_dies_is_started_again_after_a_growing_pause(tmp_path: Path) -> None:
    with supervised(tmp_path, "sys.exit(3)", "edge") as process:
        wait(lambda: len(pids(tmp_path, "edge")) >= 3)
        process.terminate()
        process.wait(10)
        ended = [line for line in events(process) if line["event"] == "child.ended"]
        assert [line["status"] for line in ended[:2]] == [3, 3]
    with supervised(tmp_path, WAIT, "inspector") as process:
        (first,) = wait(lambda: pids(tmp_path, "inspector"))
        os.kill(first, signal.SIGKILL)
        wait(lambda: len(pids(tmp_path, "inspector")) == 2)


def test_a_role_that_says_it_must_not_be_started_again_ends_everything(tmp_path: Path) -> None:
    role = f"if name == 'edge': time.sleep(0.3); sys.exit({os.EX_CONFIG})\n{WAIT}"
    with supervised(tmp_path, role) as process:
        assert process.wait(10) == os.EX_CONFIG
        assert len(pids(tmp_path, "edge")) == 1


def test_wake_ups_are_handed_on_to_the_role_that_they_name(tmp_path: Path) -> None:
    role = (
        "if name == 'edge':\n    time.sleep(0.5); [line.send(letter) for letter in (b'i', b'i', b'd', b'x')]\n"
        "else:\n    open(f'{folder}/{name}.woken', 'wb').write(line.recv(16))\n" + WAIT
    )
    with supervised(tmp_path, role, "edge,inspector,desk"):
        wait(lambda: (tmp_path / "inspector.woken").exists() and (tmp_path / "inspector.woken").read_bytes() == b"i")
        wait(lambda: (tmp_path / "desk.woken").exists() and (tmp_path / "desk.woken").read_bytes() == b"d")


def test_the_first_signal_lets_roles_finish_and_the_second_ends_them_at_once(tmp_path: Path) -> None:
    stubborn = f"signal.signal(signal.SIGTERM, lambda *_: open(f'{{folder}}/asked.{{name}}', 'w'))\nwhile True: {WAIT}"
    with supervised(tmp_path, stubborn) as process:
        wait(lambda: pids(tmp_path, "edge") and pids(tmp_path, "inspector"))
        time.sleep(0.3)
        process.terminate()
        wait(lambda: (tmp_path / "asked.edge").exists() and (tmp_path / "asked.inspector").exists())
        assert process.poll() is None
        process.terminate()
        assert process.wait(5) == 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_roles_do_not_outlive_it(tmp_path: Path, number: int) -> None:
    with supervised(tmp_path, WAIT) as process:
        (pid,) = wait(lambda: pids(tmp_path, "edge"))
        time.sleep(0.2)
        process.send_signal(number)
        process.wait(10)
        wait(lambda: not Path(f"/proc/{pid}").exists() or " Z " in Path(f"/proc/{pid}/stat").read_text())

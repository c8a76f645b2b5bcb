"""No core, no ptrace by equals, no child without its parent; places are given back by the kernel."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from keys.errors import TooLarge, TooSlow, Unavailable
from keys.process import Places
from keys.running import Ran, run


def python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    return done.stdout.strip()


def test_a_hardened_process_leaves_no_core_and_its_children_neither() -> None:
    assert python(
        "import os, resource\nfrom keys.process import harden, is_hardened\nprint(is_hardened()); harden(); harden()\n"
        "print(is_hardened())\nif os.fork() == 0:\n print(is_hardened(), flush=True); os._exit(0)\nos.wait()"
    ).split() == ["False", "True", "True"]


def test_a_child_dies_with_its_parent() -> None:
    code = (
        "import os, time\nfrom keys.process import die_with_parent\nus = os.getpid()\npid = os.fork()\n"
        "if pid == 0:\n die_with_parent(us)\n time.sleep(60)\nprint(pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.1)
        parent.kill()
    for _ in range(100):
        if not child.is_running() or child.status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    pytest.fail("the child lives on")


def test_places_are_few_and_come_back_however_their_holder_ends() -> None:
    places = Places(2)
    ready, told = os.pipe()
    holders = []
    for _ in range(2):
        pid = os.fork()
        if pid == 0:
            with places.taken(5.0):
                os.write(told, b"x")
                time.sleep(60)
            os._exit(0)
        holders.append(pid)
    assert os.read(ready, 1) + os.read(ready, 1) == b"xx"
    with pytest.raises(Unavailable), places.taken(0.05):
        pass
    os.kill(holders[0], signal.SIGKILL)
    with places.taken(5.0):
        pass
    os.kill(holders[1], signal.SIGKILL)
    for pid in holders:
        os.waitpid(pid, 0)
    os.close(ready)
    os.close(told)


class Program:
    """A script in gpg's place: it is told `--status-fd N`."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "program"

    def __call__(self, code: str, *, max_bytes: int = 1_000_000, seconds: float = 10.0, stdin: bytes = b"") -> Ran:
        self._path.write_text(f"#!{sys.executable}\nimport os, sys, time\nstatus = int(sys.argv[2])\n{code}\n")
        self._path.chmod(0o700)
        return run(
            (str(self._path),), stdin=stdin, files=(), max_bytes=max_bytes, seconds=seconds, own_group=True,
            environment=dict(os.environ),
        )  # fmt: skip


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_input_output_status_and_code_come_through(program: Program) -> None:
    ran = program("os.write(1, sys.stdin.buffer.read()); os.write(status, b'said'); sys.exit(3)", stdin=bytes(500_000))
    assert (ran.code, ran.output, ran.status) == (3, bytes(500_000), b"said")


def test_an_endless_program_is_killed_with_its_group(program: Program) -> None:
    start = time.monotonic()
    with pytest.raises(TooSlow):
        program("if os.fork():\n time.sleep(60)\ntime.sleep(61.5)", seconds=0.3)
    assert time.monotonic() - start < 2.0
    time.sleep(0.1)
    assert not [one for one in psutil.process_iter(["cmdline"]) if str(program._path) in (one.info["cmdline"] or [])]


def test_an_endless_output_is_stopped_while_it_comes(program: Program) -> None:
    with pytest.raises(TooLarge):
        program("while True: os.write(1, bytes(1_000_000))", max_bytes=5_000_000)
    with pytest.raises(TooLarge):
        program("while True: os.write(status, bytes(10_000))")
    with pytest.raises(TooLarge):
        program("os.write(1, bytes(11))", max_bytes=10)


def test_a_program_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        run(("/nowhere/gpg",), stdin=b"", files=(), max_bytes=1, seconds=1.0, own_group=True, environment={})

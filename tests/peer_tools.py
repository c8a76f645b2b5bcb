"""Foreign programs in an environment of their own, `.venv-peers`, which `make test-peers` sets up: run, never imported.
Which they are says `tests/peers/requirements.in`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROGRAMS = Path(os.environ.get("VESTIBULE_PEERS", ROOT / ".venv-peers")) / "bin"


def needs(program: str) -> Any:
    """Marks tests that run a program of the peers' environment."""
    there = (PROGRAMS / program).exists()
    return pytest.mark.skipif(not there, reason=f"{program} is not in .venv-peers (make test-peers sets it up)")


def run(program: str, *words: str, text: str = "", seconds: float = 240) -> subprocess.CompletedProcess[str]:
    command = [str(PROGRAMS / program), *words]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=seconds)

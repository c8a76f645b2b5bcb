"""Dockerfile and compose file as others' linters see them."""

from __future__ import annotations

import pytest
from peer_tools import needs, run
from recipe import DOCKER

pytestmark = pytest.mark.peers


@needs("hadolint")
def test_hadolint_finds_nothing() -> None:
    done = run("hadolint", "--no-color", str(DOCKER / "Dockerfile"))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs("hadolint")
def test_hadolint_would_find_something() -> None:
    done = run("hadolint", "--no-color", "-", text="FROM debian\nRUN cd /tmp && sudo pip install x\n")
    assert done.returncode == 1
    assert "DL3006" in done.stdout


@needs("check-jsonschema")
def test_the_compose_file_keeps_the_compose_specification() -> None:
    done = run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", str(DOCKER / "compose.yaml"))
    assert done.returncode == 0, done.stdout

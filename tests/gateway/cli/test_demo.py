"""`make demo`, as a newcomer lives it: a queue that fills by itself, and a reply that Alice's own gpg opens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from desk_client import Visitor

pytestmark = pytest.mark.skipif(shutil.which("gpg") is None, reason="gpg is not here")


class Demo:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", "from gateway.cli import main; main()", "demo"],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
            env={**os.environ, "COLUMNS": "200"},
        )  # fmt: skip
        self.output = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line

    def wait_for(self, pattern: str, seconds: float) -> re.Match[str]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = re.search(pattern, self.output)
            if found:
                return found
            assert self.process.poll() is None, self.output
            time.sleep(0.2)
        raise AssertionError(f"{pattern} did not come:\n{self.output}")


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    running = Demo()
    yield running
    running.process.send_signal(signal.SIGINT)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.process.wait(30)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.process.pid, signal.SIGKILL)


async def conversation(ann: Visitor, subject: str) -> str:
    for _ in range(200):
        page = await ann.read("/api/conversations?limit=100")
        for one in page["items"]:
            message = (one["inbound"] or {}).get("content") or {}
            if message.get("subject") == subject and len(page["items"]) >= 17:
                return str(one["conversation"]["id"])
        await asyncio.sleep(0.2)
    raise AssertionError("the queue did not fill")


@pytest.mark.timeout(180)
async def test_the_demonstration_ends_with_a_reply_that_gpg_opens(demo: Demo) -> None:
    url = demo.wait_for(r"http://127\.0\.0\.1:\d+/", 60)[0]
    password = demo.wait_for(r"ann\s+(\S+)\s+\(agent\)", 5)[1]
    demo.wait_for("all sent", 60)
    assert demo.output.count("250 2.0.0") == 20
    ann = Visitor(cast(Any, SimpleNamespace(base=url.rstrip("/"))))
    try:
        assert (await ann.sign_in("ann", password)).status == 303
        first = await conversation(ann, "Charged twice for order 5521")
        status, told = await ann.send(
            "POST", f"/api/conversations/{first}/replies", {"text": "We have refunded the second payment."}
        )
        assert status in (201, 202), told
    finally:
        await ann.close()
    demo.wait_for("GOODSIG", 40)
    demo.wait_for("DECRYPTION_OKAY", 5)
    demo.wait_for("We have refunded the second payment", 5)
    for number in ("4111 1111", "5555-5555", "12345678-Z", "3782 822463"):
        assert number not in demo.output

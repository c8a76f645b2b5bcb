"""How long a sender waits for the answer to the final dot, and an agent for what was acknowledged.

The sender offers mails at fixed times whether or not the last was answered; time counts from the final dot, and for the
`due` line from when the mail should have been sent.
"""

from __future__ import annotations

import http.client
import json
import os
import secrets
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from bench_gateway import HARNESS, Measured, Posting, median, percentile, post
from bench_letters import Letters
from bench_table import Say
from clients import DeskClient

from gateway.cli.user import add_user
from keys.secret import Secret

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]

OFFERED = 500
SECONDS = 10
GOAL = 250.0
CALM = 20
"""Mails per second while an agent looks on: a busy company's."""


@pytest.fixture(params=["strict", "fast"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Measured]:
    os.sched_setaffinity(0, {HARNESS})
    with Measured(tmp_path / "g", recycling=request.param, roles=("inspector", "edge", "desk")) as running:
        yield running


def test_the_final_dot_is_answered_soon_at_500_mails_a_second(gateway: Measured, say: Say) -> None:
    """The inspector works meanwhile on the same core: the edge must not suffer from it."""
    post(gateway.smtp_port, Letters("plain").make(100), sessions=30)
    mails = Letters("plain").make(OFFERED * SECONDS)
    posted = post(gateway.smtp_port, mails, sessions=45, rate=OFFERED)
    rate = len(mails) / (posted.ended - posted.began)
    high = percentile(posted.dots, 0.99)
    say(
        f"final dot at {OFFERED}/s offered ({rate:.0f}/s taken), {gateway.recycling}",
        f"p50 {median(posted.dots):.1f} ms, p99 {high:.1f} ms",
        goal=f"p99 < {GOAL:.0f} ms", met=high < GOAL and rate > OFFERED * 0.98,
    )  # fmt: skip
    say("    from when it was due", f"p50 {median(posted.waits):.1f} ms, p99 {percentile(posted.waits, 0.99):.1f} ms")


@pytest.mark.parametrize("kind", ["plain", "pgp"])
def test_an_agent_sees_it_soon_after_the_250(gateway: Measured, say: Say, kind: str) -> None:
    password = secrets.token_urlsafe(16)
    assert add_user(
        gateway.config, login="ann", name="Ann", role="agent", password=Secret(password), queues=(), language="en"
    )
    desk = DeskClient(gateway.desk_port, "ann", password)
    post(gateway.smtp_port, Letters(kind).make(10), sessions=5)
    gateway.until(10)
    with Screen(desk) as screen:
        mails = Letters(kind).make(CALM * 5)
        posted = Posting(gateway.smtp_port, mails, sessions=10, rate=CALM).result()
        screen.wait_for(set(posted.taken))
    told = [(screen.told[id] - at) * 1e3 for id, at in posted.taken.items()]
    shown = [(screen.shown[id] - at) * 1e3 for id, at in posted.taken.items()]
    for what, times in (("event at the desk", told), ("read by the API", shown)):
        say(
            f"250 to {what}, {kind}, {gateway.recycling}, {CALM}/s",
            f"p50 {median(times):.0f} ms, p95 {percentile(times, 0.95):.0f} ms",
        )


class Screen:
    """An agent's open console: listens to events and reads each conversation that it hears of, on kept connections.
    `told` and `shown`: message id to CLOCK_MONOTONIC."""

    def __init__(self, desk: DeskClient) -> None:
        self._desk = desk
        self.told: dict[str, float] = {}
        self.shown: dict[str, float] = {}
        self._events, self._reads = self._line(), self._line()
        self._over = False
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Screen:
        self._events.request("GET", "/api/events", headers={"Cookie": self._desk.cookie, "Accept": "text/event-stream"})
        self._stream = self._events.getresponse()
        assert self._stream.status == 200
        while not self._stream.readline().startswith(b"event: hello"):
            pass
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over = True
        self._events.close()
        self._reads.close()

    def wait_for(self, ids: set[str], seconds: float = 60) -> None:
        until = time.monotonic() + seconds
        while not ids <= self.shown.keys():
            assert time.monotonic() < until, f"{len(ids - self.shown.keys())} of {len(ids)} never came"
            time.sleep(0.01)

    def _line(self) -> http.client.HTTPSConnection:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self._desk.port, context=context, timeout=60)

    def _listen(self) -> None:
        while not self._over:
            try:
                line = self._stream.readline()
            except (OSError, ValueError, AttributeError, http.client.HTTPException):
                return
            if not line.startswith(b"data: "):
                continue
            facts = json.loads(line[6:])
            if facts.get("kind") != "message":
                continue
            self.told.setdefault(facts["object"], time.monotonic())
            path = f"/api/conversations/{facts['conversation']}"
            self._reads.request("GET", path, headers={"Cookie": self._desk.cookie})
            answer = self._reads.getresponse()
            body = answer.read()
            assert answer.status == 200, body[:200]
            self.shown.setdefault(facts["object"], time.monotonic())

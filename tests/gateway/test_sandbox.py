"""The sandbox: real zygotes, real workers, and a service in them that does its worst."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import pytest

from gateway import limits, sandbox
from gateway.errors import WorkerError
from gateway.ids import SystemClock
from gateway.jobs import Job, JobKind, Report, Setup
from gateway.sandbox import Sandbox
from gateway.workshop import Workshop
from keys.agent_client import AgentClient
from keys.box import Binding, Purpose
from keys.protocol import Kind
from keys.secret import Secret


@pytest.fixture(autouse=True)
def _hostile_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@asynccontextmanager
async def running(jobs: int = 1, workers: int = 2, service: str = "hostile:Hostile") -> AsyncIterator[Sandbox]:
    box = Sandbox(Setup(), workers=workers, jobs=jobs, service=service)
    await box.start()
    try:
        yield box
    finally:
        await box.close()


async def do(box: Sandbox, crime: str, seconds: float = limits.WORKER_SECONDS) -> Report:
    ours, theirs = socket.socketpair()
    with theirs:
        job = Job(kind=JobKind.MESSAGE, row=crime, channel="", key=Secret(bytes(32)), at=datetime.now(UTC))
        return await box.run(job, ours, seconds=seconds)


async def test_a_strict_worker_serves_one_message_and_is_gone() -> None:
    async with running() as box:
        first, second = (await do(box, "pid")).why.split(), (await do(box, "pid")).why.split()
        assert first[0] != second[0]
        assert first[1] == second[1] == "1"
        async with asyncio.timeout(5):
            while int(first[0]) in box.worker_pids:
                await asyncio.sleep(0.01)


async def test_workers_give_way_to_those_whom_somebody_waits_for() -> None:
    async with running() as box:
        pid = int((await do(box, "pid")).why.split()[0])
        others = [other for other in box.worker_pids if other != pid]
        assert {os.getpriority(os.PRIO_PROCESS, other) for other in others} == {
            min(os.getpriority(os.PRIO_PROCESS, 0) + limits.WORKER_NICENESS, 19)
        }


async def test_a_fast_worker_serves_as_many_as_it_may_and_is_gone() -> None:
    async with running(jobs=3, workers=1) as box:
        served = [(await do(box, "pid")).why.split() for _ in range(7)]
        assert [count for _, count in served] == ["1", "2", "3", "1", "2", "3", "1"]
        assert len({pid for pid, _ in served}) == 3


async def test_a_worker_has_no_way_out() -> None:
    async with running() as box:
        assert (await do(box, "break_out")).why == ""
        assert box.confined is not None
        assert box.confined.filtered
        assert box.confined.fixed
        assert box.confined.hidden


async def test_outside_the_sandbox_the_same_attempts_do_work() -> None:
    code = (
        "from hostile import Hostile, _works; from gateway.jobs import Setup;"
        "print(*(name for name, attempt in Hostile(Setup()).harmless().items() if _works(attempt)))"
    )
    worked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert {"read-file", "list-folder", "inet", "unix", "kill-parent", "shared-memory"} <= set(worked)


async def test_a_worker_holds_nothing_but_what_it_needs() -> None:
    async with running() as box:
        # standard input and output (nowhere), its line and its opener
        assert int((await do(box, "descriptors")).why) == 5


@pytest.mark.parametrize(
    ("crime", "limit"),
    [("eat", "memory"), ("crash", "crash"), ("leave", "crash"), ("boast", "answer")],
)
async def test_a_worker_that_breaks_a_limit_is_stopped_and_says_which(crime: str, limit: str) -> None:
    async with running() as box:
        with pytest.raises(WorkerError) as caught:
            await do(box, crime)
        assert caught.value.limit == limit
        assert (await do(box, "pid")).why


async def test_a_worker_that_computes_without_end_is_stopped_by_the_kernel() -> None:
    async with running() as box:
        started = time.monotonic()
        with pytest.raises(WorkerError) as caught:
            await do(box, "spin")
        assert caught.value.limit == "cpu"
        assert time.monotonic() - started < limits.WORKER_SECONDS


async def test_a_worker_that_waits_without_end_is_killed_by_the_parent() -> None:
    async with running() as box:
        with pytest.raises(WorkerError) as caught:
            await do(box, "sleep", seconds=0.3)
        assert caught.value.limit == "time"
        async with asyncio.timeout(5):
            while len(box.worker_pids) > 2:
                await asyncio.sleep(0.01)


async def test_a_fault_is_told_by_class_and_place_and_never_by_text() -> None:
    async with running() as box:
        report = await do(box, "fail")
        assert report.fault == "LookupError"
        assert "4111" not in repr(report)


async def test_a_dead_zygote_is_replaced_and_work_goes_on() -> None:
    async with running() as box:
        before = box.zygote_pid
        os.kill(before, signal.SIGKILL)
        async with asyncio.timeout(10):
            assert (await do(box, "pid")).why
        assert box.zygote_pid != before


async def test_workers_end_with_their_parent() -> None:
    async with running() as box:
        await do(box, "pid")
        pids = box.worker_pids
        assert pids
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        await asyncio.sleep(0.02)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


async def test_many_jobs_at_once_each_get_their_own_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "READY_SECONDS", 30)
    async with running(workers=3) as box:
        reports = await asyncio.gather(*(do(box, "pid") for _ in range(12)))
        assert len({report.why for report in reports}) == 12


async def test_a_worker_ends_unless_the_announced_filter_of_system_calls_holds_in_it() -> None:
    async with running(service="hostile:Unfiltered") as box:
        assert box.confined is not None
        assert box.confined.filtered
        with pytest.raises(WorkerError):
            await do(box, "pid", seconds=3)


async def test_a_filter_that_does_not_hold_is_never_announced() -> None:
    async with running(service="hostile:Unfilterable") as box:
        assert box.confined is not None
        assert not box.confined.filtered
        assert (await do(box, "pid")).why


async def test_an_opener_starts_only_when_a_worker_is_at_hand() -> None:
    kept: list[socket.socket] = []

    class Agent:
        def begin(self, fd: socket.socket, box: bytes, binding: Binding, kind: Kind) -> bool:
            kept.append(fd.dup())
            return True

    binding = Binding(purpose=Purpose.SPOOL, row="pid", channel="email")
    async with running(workers=1) as box:
        shop = Workshop(box, cast(AgentClient, Agent()), SystemClock())
        async with box.place():
            waiting = asyncio.create_task(shop.read_request(b"", binding))
            await asyncio.sleep(0.2)
            assert not kept
        assert (await waiting).why
        assert len(kept) == 1
        shop.close()
    for end in kept:
        end.close()

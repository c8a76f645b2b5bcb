"""The zygote and the parser workers: `python -m gateway.sandbox_worker FD`.

    parent ──"a worker, please" + socket──► zygote ──fork──► worker ◄──job + opener's socket── parent
                                                                  └──report──►

Rules:
1. The zygote imports and warms everything up, then shuts itself in (`gateway.confinement`); it never sees a message.
2. A worker serves one job (strict) or a few (fast) and is gone; process exit is what wipes Python's memory.
3. A worker that ends without a report is the parent's finding (`gateway.limit`); nothing passes by dying.
4. A worker in which the announced filter of system calls doesn't hold ends before it has seen a job.
5. No text of an exception leaves a worker: only its class and a line of ours.
"""

from __future__ import annotations

import asyncio
import gc
import os
import select
import selectors
import signal
import socket
import struct
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from typing import Final, NoReturn, Protocol

from gateway import confinement, limits
from gateway.codec import pack, unpack
from gateway.confinement import Confined
from gateway.jobs import Job, Report, Setup
from gateway.log import place

HEAD: Final = struct.Struct(">I")
JOB_BYTES: Final = 1_048_576


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """From the parent: fork a worker that serves `jobs` jobs over the socket that came along."""

    number: int
    jobs: int


class Word(StrEnum):
    READY = "ready"
    BORN = "born"
    DEAD = "dead"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """To the parent. READY: `confined` is set. BORN: a pidfd comes along. DEAD: `status` is waitpid's."""

    kind: Word
    number: int = 0
    pid: int = 0
    status: int = 0
    confined: Confined | None = None


class Service(Protocol):
    """What a worker does with a job; made once, in the zygote (`gateway.serving.Service`)."""

    def warm_up(self) -> None: ...
    async def serve(self, job: Job, opener: socket.socket, /) -> Report: ...


def main(descriptor: int, name: str) -> None:
    """The zygote's life: until the parent closes its end. `name` is the service's class, as module:class."""
    control = socket.socket(fileno=descriptor)
    setup = unpack(Setup, control.recv(JOB_BYTES))
    module, _, kind = name.partition(":")
    service: Service = getattr(import_module(module), kind)(setup)
    service.warm_up()
    loop = _bare_loop()
    gc.collect()
    gc.freeze()
    _hush()
    os.nice(limits.WORKER_NICENESS)
    confinement.close_all_but(0, 1, 2, control.fileno())
    memory = confinement.address_space() + limits.WORKER_MEMORY_BYTES
    confined = confinement.shut_in()
    _tell(control, Notice(kind=Word.READY, confined=confined))
    _Zygote(control, service, memory, loop, filtered=confined.filtered).run()


class _Zygote:
    def __init__(
        self,
        control: socket.socket,
        service: Service,
        memory: int,
        loop: asyncio.AbstractEventLoop,
        *,
        filtered: bool,
    ) -> None:
        self._filtered = filtered
        self._control, self._service, self._memory, self._loop = control, service, memory, loop
        self._numbers: dict[int, int] = {}
        self._wake, woken = os.pipe()
        for end in (self._wake, woken):
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the parent's end of the socket says when
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)

    def run(self) -> None:
        while True:
            readable, _, _ = select.select([self._control.fileno(), self._wake], [], [])
            if self._wake in readable:
                self._bury()
            if self._control.fileno() in readable and not self._obey():
                return

    def _obey(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 4_096, 1)
        except ConnectionError:
            return False
        if not data:
            return False
        order = unpack(Order, data)
        pid = os.fork()
        if pid == 0:
            _live(descriptors[0], order.jobs, self._service, self._memory, self._loop, filtered=self._filtered)
        os.close(descriptors[0])
        self._numbers[pid] = order.number
        pidfd = os.pidfd_open(pid)
        try:
            _tell(self._control, Notice(kind=Word.BORN, number=order.number, pid=pid), pidfd)
        finally:
            os.close(pidfd)
        return True

    def _bury(self) -> None:
        try:
            while os.read(self._wake, 4_096):
                pass
        except BlockingIOError:
            pass
        while self._numbers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            _tell(self._control, Notice(kind=Word.DEAD, number=self._numbers.pop(pid), pid=pid, status=status))


def _live(
    descriptor: int, jobs: int, service: Service, memory: int, loop: asyncio.AbstractEventLoop, *, filtered: bool
) -> NoReturn:
    """A worker's life, from the fork on. Ends the process, whatever happens."""
    status = 70
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        confinement.close_all_but(0, 1, 2, descriptor)
        line = socket.socket(fileno=descriptor)
        in_all = jobs * (limits.WORKER_CPU_SECONDS + 1) + 1
        confinement.limit(cpu_seconds=limits.WORKER_CPU_SECONDS, cpu_seconds_in_all=in_all, memory_bytes=memory)
        if not confinement.filter_calls() and filtered:
            os._exit(70)
        for _ in range(jobs):
            confinement.more_cpu(cpu_seconds=limits.WORKER_CPU_SECONDS, cpu_seconds_in_all=in_all)
            if not _serve_one(line, loop, service):
                break
        status = 0
    except BaseException:  # noqa: BLE001 - a worker says nothing of how it failed; the parent sees that it did
        status = 70
    finally:
        os._exit(status)


def _serve_one(line: socket.socket, loop: asyncio.AbstractEventLoop, service: Service) -> bool:
    head, descriptors, _, _ = socket.recv_fds(line, HEAD.size, 1)
    if not head:
        return False
    job = unpack(Job, _exactly(line, HEAD.unpack(head)[0]))
    opener = socket.socket(fileno=descriptors[0])
    try:
        report = loop.run_until_complete(service.serve(job, opener))
    except MemoryError:
        report = Report(limit="memory")
    except Exception as error:  # noqa: BLE001 - whatever it was, the message is held and its text stays here
        report = Report(fault=type(error).__name__, where=place(error.__traceback__))
    finally:
        opener.close()
    data = pack(report).reveal()
    if len(data) > limits.WORKER_ANSWER_BYTES:
        data = pack(Report(limit="answer")).reveal()
    line.sendall(HEAD.pack(len(data)) + data)
    return True


def _exactly(line: socket.socket, size: int) -> bytes:
    if size > JOB_BYTES:
        raise EOFError
    data = b""
    while len(data) < size:
        more = line.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _bare_loop() -> asyncio.AbstractEventLoop:
    """An event loop that children can inherit: it asks by poll(2), so that nothing of it is in the kernel for them to
    share, and has no socket to itself, for nobody calls from another thread. A tenth of a worker's time is saved."""
    loop = asyncio.SelectorEventLoop(selectors.PollSelector())
    loop.run_until_complete(asyncio.sleep(0))
    loop._close_self_pipe()  # type: ignore[attr-defined]
    return loop


def _tell(control: socket.socket, notice: Notice, *descriptors: int) -> None:
    socket.send_fds(control, [pack(notice).reveal()], list(descriptors))


def _hush() -> None:
    """Standard input and output lead nowhere: what is printed can't reach a log, or a socket that took the number."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])

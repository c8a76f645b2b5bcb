"""The sandbox, seen from the parent: jobs go to parser workers that the zygote forks, reports come back.

Rules:
1. A worker gets one job at a time, over a socket of its own; strict recycling gives it no second one.
2. Time is the parent's to keep: a worker that overruns is killed through its pidfd, so never a stranger.
3. A worker that was stopped or died raises `WorkerError` with a fixed token; its message is neither lost nor passed.
4. When the zygote dies, another takes its place; workers under way finish.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final

from gateway import limits
from gateway.codec import BadFrame, pack, unpack
from gateway.confinement import Confined
from gateway.errors import WorkerError
from gateway.jobs import Job, Report, Setup
from gateway.sandbox_worker import HEAD, Notice, Order, Word

FAST_JOBS: Final = 50
"""So many messages does a worker serve under fast recycling."""
SERVICE: Final = "gateway.serving:Service"
READY_SECONDS: Final = 30.0
FLIGHT_BYTES: Final = 4_096


@dataclass(slots=True, eq=False)
class _Worker:
    number: int
    line: socket.socket
    jobs: int
    pid: int = 0
    pidfd: int = -1
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    status: int = 0

    def kill(self) -> None:
        if self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def close(self) -> None:
        self.line.close()
        self.forget()

    def forget(self) -> None:
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class Sandbox:
    """`workers`: how many jobs run at once; as many more stand ready. `jobs`: how many one worker serves."""

    def __init__(
        self,
        setup: Setup,
        *,
        workers: int,
        jobs: int = 1,
        on_lost: Callable[[], None] = lambda: None,
        service: str = SERVICE,
    ) -> None:
        self._service = service
        self._setup, self._jobs, self._on_lost = setup, jobs, on_lost
        self._slots = asyncio.Semaphore(workers)
        self._spare = workers
        self._numbers = 0
        self._known: dict[int, _Worker] = {}
        self._ready: asyncio.Queue[_Worker] = asyncio.Queue()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._keeper: asyncio.Task[None] | None = None
        self.confined: Confined | None = None

    @property
    def zygote_pid(self) -> int:
        return self._process.pid if self._process else 0

    @property
    def worker_pids(self) -> tuple[int, ...]:
        """Workers that are alive, for tests and figures."""
        return tuple(worker.pid for worker in self._known.values() if worker.pid and not worker.ended.is_set())

    async def start(self) -> Confined:
        """Raises WorkerError when no zygote comes up."""
        confined = await self._start()
        self._keeper = asyncio.create_task(self._keep())
        return confined

    async def close(self) -> None:
        """Workers under way are killed: their messages are claimed again after the lease."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        for worker in tuple(self._known.values()):
            worker.kill()
            worker.close()
        self._known.clear()
        self._stop()

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[Place]:
        """Waits for a worker and holds it for one job: whatever has a time limit of its own begins after this."""
        async with self._slots:
            place = Place(self, await self._take())
            try:
                yield place
            finally:
                if not place.used:
                    self._ready.put_nowait(place.worker)

    async def run(self, job: Job, opener: socket.socket, *, seconds: float = limits.WORKER_SECONDS) -> Report:
        """A place and its one job. Takes over `opener`. Raises as `Place.run`."""
        with opener:
            async with self.place() as place:
                return await place.run(job, opener, seconds=seconds)

    async def _work(self, worker: _Worker, job: Job, opener: socket.socket, seconds: float) -> Report:
        try:
            async with asyncio.timeout(seconds):
                report = await self._exchange(worker, job, opener)
        except TimeoutError:
            self._discard(worker)
            raise WorkerError("time") from None
        except BaseException:
            self._discard(worker)
            raise
        self._put_back(worker)
        if report.limit:
            raise WorkerError(report.limit)
        return report

    async def _take(self) -> _Worker:
        while True:
            worker = await self._ready.get()
            if not worker.ended.is_set():
                return worker
            worker.close()
            self._order()

    def _put_back(self, worker: _Worker) -> None:
        worker.jobs -= 1
        if worker.jobs > 0 and not worker.ended.is_set():
            self._ready.put_nowait(worker)
        else:
            self._dismiss(worker)

    def _dismiss(self, worker: _Worker) -> None:
        worker.line.close()
        if worker.ended.is_set():
            worker.forget()
        self._order()

    def _discard(self, worker: _Worker) -> None:
        worker.kill()
        self._dismiss(worker)

    async def _exchange(self, worker: _Worker, job: Job, opener: socket.socket) -> Report:
        loop = asyncio.get_running_loop()
        data = pack(job).reveal()
        try:
            socket.send_fds(worker.line, [HEAD.pack(len(data))], [opener.fileno()])
            await loop.sock_sendall(worker.line, data)
            opener.close()
            head = await _exactly(loop, worker.line, HEAD.size)
            size = HEAD.unpack(head)[0]
            if size > limits.WORKER_ANSWER_BYTES:
                raise WorkerError("answer")
            return unpack(Report, bytes(await _exactly(loop, worker.line, size)))
        except BadFrame:
            raise WorkerError("answer") from None
        except (EOFError, OSError):
            raise WorkerError(await self._cause(worker)) from None

    async def _cause(self, worker: _Worker) -> str:
        """Why a worker fell silent."""
        try:
            async with asyncio.timeout(2):
                await worker.ended.wait()
        except TimeoutError:
            return "crash"
        killed = os.WTERMSIG(worker.status) if os.WIFSIGNALED(worker.status) else 0
        return "cpu" if killed in (signal.SIGXCPU, signal.SIGKILL) else "crash"

    # --- the zygote

    async def _start(self) -> Confined:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(  # noqa: ASYNC220 - starts in a millisecond, lives as long as we do
                [sys.executable, "-m", "gateway.sandbox_worker", str(theirs.fileno()), self._service],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**_environment()},
            )
        ours.setblocking(False)
        self._control = ours
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, pack(self._setup).reveal())
        try:
            async with asyncio.timeout(READY_SECONDS):
                notice = unpack(Notice, await loop.sock_recv(ours, FLIGHT_BYTES))
        except (TimeoutError, OSError, BadFrame):
            self._stop()
            raise WorkerError("start") from None
        if notice.confined is None:
            raise WorkerError("start")
        self.confined = notice.confined
        loop.add_reader(ours.fileno(), self._read)
        for _ in range(self._spare):
            self._order()
        return notice.confined

    async def _keep(self) -> None:
        """Puts another zygote in the place of one that died."""
        pause = 0.1
        while True:
            await asyncio.sleep(0.2)
            if self._control is not None:
                pause = 0.1
                continue
            self._on_lost()
            try:
                await self._start()
            except (WorkerError, OSError):
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)

    def _stop(self) -> None:
        if self._control is not None:
            with contextlib.suppress(ValueError, OSError):
                asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None

    def _order(self) -> None:
        """Asks for one more worker; without a zygote nothing: the next one starts with a full set."""
        if self._control is None:
            return
        self._numbers += 1
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        worker = _Worker(self._numbers, ours, self._jobs)
        self._known[worker.number] = worker
        try:
            with theirs:
                order = Order(number=worker.number, jobs=self._jobs)
                socket.send_fds(self._control, [pack(order).reveal()], [theirs.fileno()])
        except OSError:
            self._known.pop(worker.number)
            worker.close()

    def _read(self) -> None:
        """What the zygote tells."""
        if self._control is None:
            return
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, FLIGHT_BYTES, 1)
        except BlockingIOError:
            return
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._lost()
            return
        notice = unpack(Notice, data)
        worker = self._known.get(notice.number)
        if notice.kind is Word.BORN and worker is not None:
            worker.pid, worker.pidfd = notice.pid, descriptors[0]
            self._ready.put_nowait(worker)
        elif notice.kind is Word.BORN:
            os.close(descriptors[0])
        elif notice.kind is Word.DEAD and worker is not None:
            worker.status = notice.status
            worker.ended.set()
            worker.forget()
            self._known.pop(notice.number)

    def _lost(self) -> None:
        """Those under way answer over their own sockets; how they end nobody will tell. Idle ones are let go."""
        self._stop()
        while not self._ready.empty():
            self._ready.get_nowait().close()
        for worker in tuple(self._known.values()):
            worker.ended.set()
            self._known.pop(worker.number)


class Place:
    """A worker that stands ready for one job (`Sandbox.place`)."""

    def __init__(self, sandbox: Sandbox, worker: _Worker) -> None:
        self._sandbox, self.worker = sandbox, worker
        self.used = False

    async def run(self, job: Job, opener: socket.socket, *, seconds: float = limits.WORKER_SECONDS) -> Report:
        """Once only; takes over `opener`. Raises WorkerError (limit: cpu, memory, time, answer, crash)."""
        self.used = True
        with opener:
            return await self._sandbox._work(self.worker, job, opener, seconds)


async def _exactly(loop: asyncio.AbstractEventLoop, line: socket.socket, size: int) -> bytearray:
    data = bytearray()
    while len(data) < size:
        more = await loop.sock_recv(line, min(size - len(data), 262_144))
        if not more:
            raise EOFError
        data += more
    return data


def _environment() -> dict[str, str]:
    """As little as Python needs: a worker has no business with the rest."""
    kept = ("PATH", "PYTHONPATH", "LANG", "LC_ALL", "TZ", "VIRTUAL_ENV", "PYTHONMALLOC")
    return {name: os.environ[name] for name in kept if name in os.environ}

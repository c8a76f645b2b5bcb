"""Running a program on memory files, within limits of time, output and status lines. Knows nothing of gpg.

Rules:
1. Input, output and status descriptor only; standard error is nobody's.
2. The output is looked at while the program writes, and released only after it has ended.
3. What passes a limit is killed with its process group; the kernel's own limits hold even if we die meanwhile.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Final

from keys.errors import TooLarge, TooSlow, Unavailable
from keys.limits import STATUS_BYTES

LOOK_SECONDS: Final = 0.05
SPILL_BYTES: Final = 2_097_152  # between noticing and killing


@dataclass(frozen=True, slots=True)
class Ran:
    """`code` is negative for a signal."""

    code: int
    output: bytes
    status: bytes


def run(
    arguments: Sequence[str], *, stdin: bytes, files: tuple[int, ...], max_bytes: int, seconds: float, own_group: bool,
    environment: Mapping[str, str],
) -> Ran:  # fmt: skip
    """`--status-fd` and a number are put after the program's name. Raises TooLarge, TooSlow, Unavailable."""
    with memory_file(stdin) as source, memory_file(b"") as sink:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        try:
            try:
                process = subprocess.Popen(
                    [arguments[0], "--status-fd", str(writer), *arguments[1:]],
                    stdin=source, stdout=sink, stderr=subprocess.DEVNULL, pass_fds=(writer, *files),
                    env=environment, process_group=0 if own_group else None,
                )  # fmt: skip
            except OSError:
                raise Unavailable from None
            finally:
                os.close(writer)
            try:
                _limit(process.pid, seconds, max_bytes)
                said = _watch(process, reader, sink, max_bytes, seconds)
            finally:
                _end(process, own_group)
        finally:
            os.close(reader)
        size = os.fstat(sink).st_size
        if size > max_bytes:
            raise TooLarge
        return Ran(process.returncode, os.pread(sink, size, 0) if size else b"", said)


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """A descriptor at the start of `data`, in memory only."""
    file = os.memfd_create("vestibule", os.MFD_CLOEXEC)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.lseek(file, 0, os.SEEK_SET)
        yield file
    finally:
        os.close(file)


def _limit(pid: int, seconds: float, max_bytes: int) -> None:
    with suppress(ProcessLookupError):
        cpu = int(seconds) + 2
        resource.prlimit(pid, resource.RLIMIT_CPU, (cpu, cpu))
        resource.prlimit(pid, resource.RLIMIT_CORE, (0, 0))
        size = max(max_bytes, 16_777_216) + SPILL_BYTES
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))


def _watch(process: subprocess.Popen[bytes], reader: int, sink: int, max_bytes: int, seconds: float) -> bytes:
    """Until the program has ended; what it said on its status descriptor."""
    until = time.monotonic() + seconds
    said = bytearray()
    os.set_blocking(reader, False)
    ended = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        poll.register(ended, select.POLLIN)
        while True:
            events = dict(poll.poll(LOOK_SECONDS * 1000))
            gone = ended in events
            if reader in events and _drain(reader, said):
                poll.unregister(reader)
            if len(said) > STATUS_BYTES or os.fstat(sink).st_size > max_bytes + SPILL_BYTES:
                raise TooLarge
            if gone:
                _drain(reader, said)
                return bytes(said)
            if time.monotonic() > until:
                raise TooSlow
    finally:
        os.close(ended)


def _drain(reader: int, said: bytearray) -> bool:
    """Whether the other end is closed."""
    while len(said) <= STATUS_BYTES:
        try:
            piece = os.read(reader, 65_536)
        except BlockingIOError:
            return False
        if not piece:
            return True
        said += piece
    return False


def _end(process: subprocess.Popen[bytes], own_group: bool) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            if own_group:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()
    process.wait()

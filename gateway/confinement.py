"""Confinement: what a parser worker may still ask of the kernel once it has been shut in.

    zygote, after its imports   no new privileges, not dumpable, no core, an empty network, no file at all (Landlock)
    worker, after its fork      rlimits, every other descriptor closed, an allow-list of system calls (seccomp)

Rules:
1. Everything here is inherited and none of it can be undone; what a kernel doesn't offer is reported, never assumed.
2. The system calls are an allow-list: what isn't on it fails with EPERM. No open, no socket, no exec, no fork, no
   kill, and no new code in memory (mmap and mprotect refuse PROT_EXEC).
3. Numbers come from the kernel's tables (arch/*/entry/syscalls); only x86-64 and arm64 are known here. On others the
   filter is left out and `Confined.filtered` says so.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import signal
import struct
import sys
from dataclasses import dataclass
from functools import cache
from typing import Final

from gateway import limits

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38
_SECCOMP_MODE_FILTER: Final = 2
_CLONE_NEWUSER: Final = 0x1000_0000
_CLONE_NEWNET: Final = 0x4000_0000
_FIONBIO: Final = 0x5421
_PROT_EXEC: Final = 4
_EPERM: Final = 1

# linux/landlock.h: the rights that each version of the interface added
_LANDLOCK_FS: Final = ((1, 0x1FFF), (2, 1 << 13), (3, 1 << 14), (5, 1 << 15))
_LANDLOCK_NET: Final = ((4, 0b11),)
_LANDLOCK_SCOPED: Final = ((6, 0b11),)
_LANDLOCK_CREATE: Final = 444
_LANDLOCK_RESTRICT: Final = 446

_CALLS_X86_64: Final = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "poll": 7, "lseek": 8, "mmap": 9, "mprotect": 10, "munmap": 11,
    "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "ioctl": 16, "readv": 19, "writev": 20,
    "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "sendto": 44, "recvfrom": 45,
    "sendmsg": 46, "recvmsg": 47, "shutdown": 48, "getsockname": 51, "getsockopt": 55, "exit": 60, "fcntl": 72,
    "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sigaltstack": 131, "gettid": 186, "time": 201,
    "futex": 202, "restart_syscall": 219, "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230,
    "exit_group": 231, "epoll_wait": 232, "epoll_ctl": 233, "ppoll": 271, "set_robust_list": 273, "epoll_pwait": 281,
    "prlimit64": 302, "getrandom": 318, "membarrier": 324, "rseq": 334,
}  # fmt: skip
_CALLS_ARM64: Final = {
    "epoll_ctl": 21, "epoll_pwait": 22, "fcntl": 25, "ioctl": 29, "close": 57, "lseek": 62, "read": 63, "write": 64,
    "readv": 65, "writev": 66, "ppoll": 73, "fstat": 80, "exit": 93, "exit_group": 94, "futex": 98,
    "set_robust_list": 99, "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115,
    "sched_yield": 124, "restart_syscall": 128, "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135,
    "rt_sigreturn": 139, "getrlimit": 163, "getrusage": 165, "gettimeofday": 169, "getpid": 172, "gettid": 178,
    "getsockname": 204, "sendto": 206, "recvfrom": 207, "getsockopt": 209, "shutdown": 210, "sendmsg": 211,
    "recvmsg": 212, "brk": 214, "munmap": 215, "mremap": 216, "mmap": 222, "mprotect": 226, "madvise": 233,
    "prlimit64": 261, "getrandom": 278, "membarrier": 283, "rseq": 293,
}  # fmt: skip
_ARCHITECTURES: Final = {
    "x86_64": (0xC000_003E, _CALLS_X86_64),
    "aarch64": (0xC000_00B7, _CALLS_ARM64),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """What holds. `landlock` is its version, 0 without it; `own_network`: an empty network namespace; `fixed`: no new
    privileges; `hidden`: its memory can't be dumped; `filtered`: a child took on the filter of system calls, so every
    worker must."""

    landlock: int
    own_network: bool
    fixed: bool
    hidden: bool
    filtered: bool


def no_core() -> bool:
    """No core dump, and no reading of this process's memory by others of its user. False when the kernel refuses."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    return _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    """Between fork and exec: when whoever started this process dies, it is asked to end."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def shut_in() -> Confined:
    """For the zygote, when everything is imported: its children inherit all of it."""
    hidden = no_core()
    fixed = _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return Confined(
        own_network=_leave_network(),
        landlock=_deny_files(),
        fixed=fixed,
        hidden=hidden,
        filtered=_filter_holds(),
    )


def limit(*, cpu_seconds: int, cpu_seconds_in_all: int, memory_bytes: int) -> None:
    """For a worker: a message may use so much CPU time, the process so much in all."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft, cpu_seconds_in_all), cpu_seconds_in_all))
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits.WORKER_FILES, limits.WORKER_FILES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def more_cpu(*, cpu_seconds: int, cpu_seconds_in_all: int) -> None:
    """For a worker that takes another message: moves the soft limit on, never the hard one."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + 1 + cpu_seconds
    resource.setrlimit(resource.RLIMIT_CPU, (min(soft, cpu_seconds_in_all), cpu_seconds_in_all))


def address_space() -> int:
    """Bytes of address space that this process has taken up; ask before files are denied."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()


def close_all_but(*kept: int) -> None:
    """Closes every file descriptor that isn't named."""
    low = 0
    for descriptor in sorted(kept):
        if low < descriptor:  # an empty range would close them all (Python 3.11)
            os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 4_096))


def filter_calls() -> bool:
    """From here on this process may only read, write and think. False when the kernel or the machine has no filter."""
    prepared = _prepared_filter()
    return prepared is not None and _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(prepared[0]))


def _filter_holds() -> bool:
    """Tried in a child, for whoever has the filter can't be rid of it and could fork no workers."""
    if _prepared_filter() is None:
        return False
    pid = os.fork()
    if pid == 0:
        os._exit(0 if filter_calls() else 1)
    return os.waitpid(pid, 0)[1] == 0


@cache
def _prepared_filter() -> tuple[ctypes.Array[ctypes.c_char], ctypes.Array[ctypes.c_char]] | None:
    """struct sock_fprog (a count of 8-byte instructions and where they stand) and the instructions; made in the zygote,
    for all of its workers."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None or sys.byteorder != "little":
        return None
    program = _program(*known)
    code = ctypes.create_string_buffer(program, len(program))
    prog = struct.pack("HxxxxxxQ", len(program) // 8, ctypes.addressof(code))
    return ctypes.create_string_buffer(prog, len(prog)), code


def _program(architecture: int, calls: dict[str, int]) -> bytes:
    """Classic BPF over struct seccomp_data (nr at 0, arch at 4, arguments of 8 bytes from 16)."""
    load, jump_equal, jump_set, jump_least, answer = 0x20, 0x15, 0x45, 0x35, 0x06
    kill, allow, refuse = 0x8000_0000, 0x7FFF_0000, 0x0005_0000 | _EPERM

    def step(code: int, k: int, yes: int = 0, no: int = 0) -> bytes:
        return struct.pack("<HBBI", code, yes, no, k)

    lines = [step(load, 4), step(jump_equal, architecture, 1, 0), step(answer, kill), step(load, 0)]
    lines += [step(jump_least, 0x4000_0000, 0, 1), step(answer, kill)]  # the x32 table of x86-64
    for name, number in calls.items():
        if name in ("mmap", "mprotect"):
            lines += [step(jump_equal, number, 0, 4), step(load, 16 + 8 * 2), step(jump_set, _PROT_EXEC, 0, 1)]
            lines += [step(answer, refuse), step(answer, allow)]
        elif name == "ioctl":
            lines += [step(jump_equal, number, 0, 4), step(load, 16 + 8), step(jump_equal, _FIONBIO, 1, 0)]
            lines += [step(answer, refuse), step(answer, allow)]
        else:
            lines += [step(jump_equal, number, 0, 1), step(answer, allow)]
    lines.append(step(answer, refuse))
    return b"".join(lines)


def _deny_files() -> int:
    """An empty Landlock ruleset: every right that this kernel knows is handled, and none is granted."""
    libc = _libc()
    version = int(libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))
    if version < 1:
        return 0

    def rights(table: tuple[tuple[int, int], ...]) -> int:
        return sum(bits for since, bits in table if version >= since)

    attributes = struct.pack("QQQ", rights(_LANDLOCK_FS), rights(_LANDLOCK_NET), rights(_LANDLOCK_SCOPED))
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = int(libc.syscall(_LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)))
    if ruleset < 0:
        return 0
    try:
        return version if libc.syscall(_LANDLOCK_RESTRICT, ruleset, ctypes.c_uint32(0)) == 0 else 0
    finally:
        os.close(ruleset)


def _leave_network() -> bool:
    """An empty network namespace; without root by way of a user namespace, where the kernel allows it."""
    libc = _libc()
    return any(libc.unshare(flags) == 0 for flags in (_CLONE_NEWNET, _CLONE_NEWUSER | _CLONE_NEWNET))


def _prctl(option: int, value: int, more: int = 0) -> bool:
    zero = ctypes.c_ulong(0)
    return bool(_libc().prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(more), zero, zero) == 0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)

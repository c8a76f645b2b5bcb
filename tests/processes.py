"""Looking into processes from outside, as root can: who there is, what they hold open, what lies in their memory."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

PIECE: Final = 4_194_304
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")


def below(pid: int) -> dict[int, str]:
    """The process and all that descend from it, with their command lines."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = {}, [pid]
    while waiting:
        one = waiting.pop()
        waiting += parents.get(one, [])
        found |= dict(_line(one))
    return found


def children(pid: int) -> set[int]:
    """Its own, not theirs."""
    found: set[int] = set()
    for entry in Path(f"/proc/{pid}/task").iterdir():
        found |= {int(one) for one in (entry / "children").read_text().split()}
    return found


def commands() -> dict[int, str]:
    """Every process's command line."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return {pid: line for one in pids for pid, line in _line(one)}


def _line(pid: int) -> Iterator[tuple[int, str]]:
    try:
        yield pid, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return


def descriptors(pid: int) -> list[str]:
    """What its descriptors lead to."""
    found = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found.append(os.readlink(entry))
        except OSError:
            continue
    return found


def internet_sockets(pid: int) -> set[str]:
    """Which of its sockets are of the Internet's kinds, as `table inode`; in its own network namespace's tables."""
    mine = {found[1] for name in descriptors(pid) if (found := _SOCKET.fullmatch(name))}
    return {f"{table} {inode}" for table, inode in _tables(pid) if inode in mine}


def _tables(pid: int) -> Iterator[tuple[str, str]]:
    for table in ("tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6"):
        try:
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
        except OSError:
            continue
        yield from ((table, line.split()[9]) for line in lines)


def can_look_into_memory() -> bool:
    """Processes that can't be dumped are root's to read, and only with CAP_SYS_PTRACE."""
    capabilities = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return os.geteuid() == 0 and capabilities is not None and bool(int(capabilities[1], 16) >> 19 & 1)


def memory_holds(pid: int, needles: Iterable[bytes]) -> set[bytes]:
    """Which of these stand in what the process can write. Raises ProcessLookupError when it is gone."""
    wanted = set(needles)
    longest = max(map(len, wanted), default=0)
    found: set[bytes] = set()
    try:
        regions = [
            tuple(int(end, 16) for end in line.split()[0].split("-"))
            for line in Path(f"/proc/{pid}/maps").read_text().splitlines()
            if line.split()[1].startswith("rw")
        ]
        memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    except FileNotFoundError:
        raise ProcessLookupError from None
    try:
        for start, end in regions:
            before = b""
            for at in range(start, end, PIECE):
                try:
                    piece = before + os.pread(memory, min(PIECE, end - at), at)
                except OSError:  # a region that went meanwhile, or that has nothing behind it
                    break
                found |= {needle for needle in wanted - found if needle in piece}
                before = piece[-longest:]
    finally:
        os.close(memory)
    return found

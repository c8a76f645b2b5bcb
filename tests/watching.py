"""Looking at processes from outside, by /proc: descendants, memory, sockets. For root on Linux."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psutil


def family(pid: int) -> list[psutil.Process]:
    """The process and all of its descendants."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def adopted(pid: int, marker: str) -> list[psutil.Process]:
    """Processes that belong to a gateway but were handed to init (gpg-agent): by a word of their command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if process.pid != pid and any(marker in word for word in process.info["cmdline"] or ()):
            found.append(process)
    return found


def memory(pid: int) -> Iterator[bytes]:
    """Everything that is readable and writable in a process, region by region."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        found = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line)
        if not found or not found[3].startswith("rw"):
            continue
        start, end = int(found[1], 16), int(found[2], 16)
        with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
            try:
                file.seek(start)
                left = end - start
                while left > 0:
                    piece = file.read(min(left, 16_777_216))
                    if not piece:
                        break
                    left -= len(piece)
                    yield piece
            except (OSError, ValueError, OverflowError):
                continue


def remembers(pid: int, *canaries: bytes) -> bool:
    return any(canary in piece for piece in memory(pid) for canary in canaries)


def network_sockets(pid: int) -> list[str]:
    """Sockets of the Internet families, and listening ones of any, that a process holds."""
    inodes = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except OSError:
            continue
        if match := re.fullmatch(r"socket:\[(\d+)\]", target):
            inodes.add(match[1])
    found = []
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6", "packet", "unix"):
        file = Path(f"/proc/{pid}/net/{table}")
        for line in file.read_text().splitlines()[1:] if file.exists() else ():
            words = line.split()
            if table == "unix":
                listening = int(words[3], 16) & 0x10000
                if words[6] in inodes and listening:
                    found.append("unix listening")
            elif len(words) > 9 and words[9] in inodes:
                found.append(table)
    return found

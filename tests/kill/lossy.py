"""A file system that forgets what was not synced, as a disk does when the power fails: `python lossy.py MOUNTPOINT`.

One flat folder, in memory. A write is kept when its file is synced, a name when its folder is. On `cut` everything
fails from one operation to the next, and after the next `mount` there is only what was kept (and, torn, some 512-byte
sectors of what wasn't, in any order: POSIX promises none).

Commands are JSON lines on standard input; each is answered by one line on standard output:

    {"do": "mount"}                       answered when it is mounted (the caller unmounts)
    {"do": "cut", "torn": seed or null}   the power fails
    {"do": "set", "lie": true}            fsync does nothing and says that it did
    {"do": "set", "quota": bytes}         no more than this fits (ENOSPC); "free": what statfs says, null: the truth
    {"do": "set", "eio": n}               the n-th fsync from now on fails, and so does everything after it
    {"do": "counts"}                      how many fsyncs there were, how many writes they kept
"""

from __future__ import annotations

import errno
import json
import os
import queue
import random
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SECTOR = 512
HUGE = 1 << 38


@dataclass(eq=False)
class File:
    """`kept` survives the power's failing, `now` is what is read; `pending` leads from one to the other."""

    kept: bytearray = field(default_factory=bytearray)
    now: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)
    mode: int = stat.S_IFREG | 0o600
    at: float = field(default_factory=time.time)


def apply(data: bytearray, at: int, content: bytes | None) -> None:
    """A write at `at`; or, without content, a cut to the length `at`."""
    if content is None:
        if at < len(data):
            del data[at:]
        else:
            data.extend(bytes(at - len(data)))
        return
    if at > len(data):
        data.extend(bytes(at - len(data)))
    data[at : at + len(content)] = content


class Disk:
    """The operations, as mfusepy calls them."""

    use_ns = True

    def __init__(self) -> None:
        self.guard = threading.RLock()
        self.names: dict[str, File] = {}
        self.kept_names: dict[str, File] = {}
        self.open_files: dict[int, File] = {}
        self.handles = 0
        self.dead = False
        self.lie = False
        self.quota: int | None = None
        self.free: int | None = None
        self.eio = 0
        self.syncs = self.saved = 0

    # --- the power

    def cut(self, torn: int | None) -> None:
        with self.guard:
            self.dead = True
            chance = random.Random(torn)
            files = {id(file): file for file in (*self.names.values(), *self.kept_names.values())}
            for file in files.values():
                if torn is not None:
                    self._tear(file, chance)
                file.now, file.pending = bytearray(file.kept), []
            if torn is not None and chance.random() < 0.5:  # the folder, too, may have been written
                self.kept_names = dict(self.names)
            self.names = dict(self.kept_names)
            self.open_files.clear()

    @staticmethod
    def _tear(file: File, chance: random.Random) -> None:
        likely = chance.choice((0.0, 0.2, 0.5, 0.9, 1.0))
        size = chance.choice((SECTOR, 4_096))
        for at, content in file.pending:
            if content is None:
                if chance.random() < likely:
                    apply(file.kept, at, None)
                continue
            start = at
            while start < at + len(content):
                end = min((start // size + 1) * size, at + len(content))
                if chance.random() < likely:
                    apply(file.kept, start, content[start - at : end - at])
                start = end

    def back(self) -> None:
        with self.guard:
            self.dead, self.eio = False, 0

    # --- files

    def _alive(self) -> None:
        if self.dead:
            raise OSError(errno.EIO, "")

    def _file(self, path: str, fh: int | None = None) -> File:
        self._alive()
        file = self.open_files.get(fh) if fh else None
        file = file or self.names.get(path)
        if file is None:
            raise OSError(errno.ENOENT, "")
        return file

    def _used(self) -> int:
        return sum(len(file.now) for file in self.names.values())

    def _fits(self, more: int) -> None:
        if self.quota is not None and more > 0 and self._used() + more > self.quota:
            raise OSError(errno.ENOSPC, "")

    def _open(self, file: File) -> int:
        self.handles += 1
        self.open_files[self.handles] = file
        return self.handles

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        with self.guard:
            self._alive()
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2, "st_uid": os.getuid(), "st_gid": os.getgid()}
            file = self._file(path, fh)
            at = int(file.at * 10**9)
            return {
                "st_mode": file.mode, "st_nlink": 1, "st_size": len(file.now), "st_blocks": len(file.now) // SECTOR + 1,
                "st_uid": os.getuid(), "st_gid": os.getgid(), "st_mtime": at, "st_ctime": at, "st_atime": at,
            }  # fmt: skip

    def readdir(self, path: str, fh: int) -> list[str]:
        with self.guard:
            self._alive()
            return [".", "..", *(name[1:] for name in self.names)]

    def opendir(self, path: str) -> int:
        return 0

    def releasedir(self, path: str, fh: int) -> int:
        return 0

    def access(self, path: str, amode: int) -> int:
        return 0

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        with self.guard:
            self._alive()
            self._fits(1)
            file = self.names[path] = File(mode=stat.S_IFREG | mode & 0o777)
            return self._open(file)

    def open(self, path: str, flags: int) -> int:
        with self.guard:
            file = self._file(path)
            if flags & os.O_TRUNC:
                self.truncate(path, 0)
            return self._open(file)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self.guard:
            return bytes(self._file(path, fh).now[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self.guard:
            file = self._file(path, fh)
            self._fits(offset + len(data) - len(file.now))
            apply(file.now, offset, data)
            file.pending.append((offset, bytes(data)))
            file.at = time.time()
            return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self.guard:
            file = self._file(path, fh)
            self._fits(length - len(file.now))
            apply(file.now, length, None)
            file.pending.append((length, None))
            return 0

    def fallocate(self, path: str, mode: int, offset: int, size: int, fh: int) -> int:
        with self.guard:
            file = self._file(path, fh)
            if mode:
                return -errno.EOPNOTSUPP
            if offset + size > len(file.now):
                return self.truncate(path, offset + size, fh)
            return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        with self.guard:
            file = self._file(path, fh)
            self.syncs += 1
            if self.eio:
                self.eio -= 1
                if not self.eio:
                    self.dead = True
                    raise OSError(errno.EIO, "")
            if not self.lie:
                for at, content in file.pending:
                    apply(file.kept, at, content)
                self.saved += len(file.pending)
                file.pending.clear()
            return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        with self.guard:
            self._alive()
            if not self.lie:
                self.kept_names = dict(self.names)
            return 0

    def unlink(self, path: str) -> int:
        with self.guard:
            self._file(path)
            del self.names[path]
            return 0

    def rename(self, old: str, new: str, flags: int = 0) -> int:
        with self.guard:
            self.names[new] = self._file(old)
            del self.names[old]
            return 0

    def chmod(self, path: str, mode: int) -> int:
        with self.guard:
            if path != "/":
                self._file(path).mode = stat.S_IFREG | mode & 0o777
            return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: Any = None) -> int:
        return 0

    def flush(self, path: str, fh: int) -> int:
        return 0

    def release(self, path: str, fh: int) -> int:
        with self.guard:
            self.open_files.pop(fh, None)
            return 0

    def statfs(self, path: str) -> dict[str, int]:
        with self.guard:
            room = HUGE if self.quota is None else self.quota
            free = max(0, room - self._used()) if self.free is None else self.free
            return {
                "f_bsize": 4_096, "f_frsize": 4_096, "f_blocks": room // 4_096, "f_bfree": free // 4_096,
                "f_bavail": free // 4_096, "f_files": 1_000, "f_ffree": 1_000, "f_namemax": 255,
            }  # fmt: skip


def obey(disk: Disk, mounts: queue.Queue[bool], say: Callable[[object], None]) -> None:
    """Commands, until standard input ends."""
    for line in sys.stdin:
        order = json.loads(line)
        match order.pop("do"):
            case "mount":
                disk.back()
                mounts.put(True)
                continue
            case "cut":
                disk.cut(order["torn"])
            case "set":
                with disk.guard:
                    for name, value in order.items():
                        setattr(disk, name, value)
            case "counts":
                say({"syncs": disk.syncs, "saved": disk.saved})
                continue
        say("done")
    os._exit(0)


def main(mountpoint: str) -> None:
    import mfusepy

    disk, mounts = Disk(), queue.Queue[bool]()

    def say(answer: object) -> None:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()

    class Operations(Disk, mfusepy.Operations):  # type: ignore[misc]
        init = None

    operations = Operations()
    disk = operations

    def mounted(path: str) -> None:
        say("mounted")

    operations.init = mounted  # type: ignore[method-assign,assignment]
    threading.Thread(target=obey, args=(disk, mounts, say), daemon=True).start()
    while mounts.get():
        mfusepy.FUSE(operations, mountpoint, foreground=True, nothreads=True, fsname="lossy", default_permissions=False)


if __name__ == "__main__":
    main(sys.argv[1])

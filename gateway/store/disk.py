"""The disk under an SQLite store: what it must be, and what is done when it is full.

Rules:
1. Not on a network file system: their locks and their fsync don't keep SQLite's promises.
2. A file that was made is only there after its folder was synced.
3. On a full disk SQLite can't even delete. A ballast file, given up then, lets the inspector work the spool off.
4. Writers of several processes take turns (`Turnstile`): SQLite's own waiting is by sleeping longer and longer, and a
   busy edge would starve the inspector.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Final

from gateway import limits
from gateway.errors import StoreDown, Unsafe

NETWORK: Final = frozenset(
    {
        "nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "9p", "afs", "ceph", "gfs2", "lustre", "ocfs2", "beegfs",
        "fuse.sshfs", "fuse.glusterfs", "fuse.s3fs", "fuse.rclone", "fuse.ceph", "fuse.gcsfuse", "virtiofs",
    }
)  # fmt: skip


def file_system(path: Path, mountinfo: Path = Path("/proc/self/mountinfo")) -> str:
    """The type of the file system that the path is on (proc(5), mountinfo); "" where that can't be told."""
    try:
        lines = mountinfo.read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    wanted = path.resolve()
    best, kind = -1, ""
    for line in lines:
        left, _, right = line.partition(" - ")
        words = left.split()
        if len(words) < 5 or not right:
            continue
        point = Path(words[4].encode().decode("unicode_escape"))
        if (wanted == point or point in wanted.parents) and len(point.parts) >= best:
            best, kind = len(point.parts), right.split()[0]
    return kind


def refuse_network(path: Path) -> None:
    """Raises Unsafe."""
    kind = file_system(path.parent)
    if kind in NETWORK:
        raise Unsafe(f"the store stands on a network file system ({kind}); put it on a local disk, or use PostgreSQL")


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(path: Path) -> None:
    """Makes an empty file of mode 0600 (and its folder, 0700) if there is none, and syncs the folder."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    sync_folder(path.parent)


def free(path: Path) -> int:
    """Bytes that are left for us on the path's file system."""
    return shutil.disk_usage(path.parent).free


class Ballast:
    """A file that takes up space until it is needed."""

    def __init__(self, path: Path, octets: int = limits.BALLAST_BYTES) -> None:
        self._path, self._octets = path, octets

    def take(self) -> bool:
        """Takes the space up, if more than the reserve is left. False if not."""
        try:
            if self._path.exists() and self._path.stat().st_size >= self._octets:
                return True
            if free(self._path) < limits.DISK_RESERVE_BYTES + self._octets:
                return False
            descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._octets)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return True

    def give(self) -> bool:
        """Gives the space free. False if there was none."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


class Turnstile:
    """Lets writers of several processes in one after the other, in turn.

    Two locks: who wants to write waits for the first while holding nothing, then for the second while holding the
    first. Whoever has just written must queue at the first again, so the one waiting at the second is next. Locks go
    with their process, whatever ends it."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._seconds = seconds
        self._turn, self._write = (
            os.open(f"{path}{suffix}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600) for suffix in ("-turn", "-write")
        )

    def __enter__(self) -> None:
        """Raises StoreDown when it takes too long."""
        deadline = time.monotonic() + self._seconds
        self._lock(self._turn, deadline)
        try:
            self._lock(self._write, deadline)
        finally:
            fcntl.flock(self._turn, fcntl.LOCK_UN)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        fcntl.flock(self._write, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._turn)
        os.close(self._write)

    @staticmethod
    def _lock(descriptor: int, deadline: float) -> None:
        pause = 0.0002
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise StoreDown from None
            time.sleep(pause)
            pause = min(pause * 1.5, 0.002)

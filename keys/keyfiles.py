"""Key files on disk: made so that a crash leaves the old state or the new, and destroyed so that nothing is left.

    PURPOSE.YYYYMMDDTHHMMSSZ.ID.key / .pub     names sort by time; times only grow, whatever the clock does

Rules:
1. A file is written under a hidden name, synced, linked to its own, the folder synced: no half file has a real name.
2. Nothing is ever overwritten: a name that is there wins.
3. Destroying is renaming to a hidden name, overwriting, syncing, unlinking, syncing the folder; `sweep` finishes what a
   crash interrupted. (What a disk's own wear levelling or snapshots keep is beyond a program: the README says so.)
4. Writing, destroying and sweeping in one folder exclude each other (flock(2): given back however a process ends).
5. `reach` is told each point where a crash could fall between two effects: tests kill there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

Reach = Callable[[str], None]
Now = Callable[[], datetime]

NEW: Final = ".new"
DEAD: Final = ".dead"
_TIME: Final = "%Y%m%dT%H%M%SZ"

POINTS: Final = tuple(
    [f"keys.{what}.{step}" for what in ("private", "public") for step in ("created", "synced", "linked", "finished")]
    + ["keys.unpublished", "keys.destroy.renamed", "keys.destroy.overwritten", "keys.destroy.unlinked"]
)
"""Every point that `reach` is told."""


def nowhere(_: str) -> None:
    """No one waits at the points."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def folder(path: Path) -> Path:
    """Made with mode 0700 where it is missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_new(path: Path, text: str, what: str, reach: Reach = nowhere) -> bool:
    """Mode 0600. Whether it was written: False when the name is there already."""
    if path.exists():
        return False
    with _alone(path.parent):
        return _write(path, text, what, reach)


def _write(path: Path, text: str, what: str, reach: Reach) -> bool:
    hidden = path.with_name(f".{path.name}{NEW}")
    _discard(hidden)
    file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        reach(f"keys.{what}.created")
        os.write(file, text.encode("ascii"))
        os.fsync(file)
    finally:
        os.close(file)
    reach(f"keys.{what}.synced")
    try:
        os.link(hidden, path)
    except FileExistsError:
        _discard(hidden)
        return False
    reach(f"keys.{what}.linked")
    hidden.unlink()
    sync_folder(path.parent)
    reach(f"keys.{what}.finished")
    return True


def destroy(path: Path, reach: Reach = nowhere) -> None:
    """Nothing happens if it isn't there."""
    with _alone(path.parent):
        dead = path.with_name(f".{path.name}{DEAD}")
        try:
            os.replace(path, dead)
        except FileNotFoundError:
            return
        sync_folder(path.parent)
        reach("keys.destroy.renamed")
        _overwrite(dead)
        reach("keys.destroy.overwritten")
        dead.unlink()
        sync_folder(path.parent)
        reach("keys.destroy.unlinked")


def sweep(path: Path) -> None:
    """Finishes what a crash left in a folder: half-written files go, half-destroyed ones too."""
    if not path.is_dir():
        return
    with _alone(path):
        for left in (*path.glob(f".*{NEW}"), *path.glob(f".*{DEAD}")):
            _discard(left)
        sync_folder(path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def sync_folder(path: Path) -> None:
    file = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def stamped(prefix: str, name: str, suffix: str, at: datetime) -> str:
    return f"{prefix}.{at.strftime(_TIME)}.{name}{suffix}"


def made_at(path: Path) -> datetime:
    """From the file's name; the year 1 if it has none."""
    with suppress(ValueError, IndexError):
        return datetime.strptime(path.name.split(".")[-3], _TIME).replace(tzinfo=UTC)
    return datetime.min.replace(tzinfo=UTC)


def name_of(path: Path) -> str:
    """The key's id, from the file's name."""
    return path.name.split(".")[-2]


def later(at: datetime, paths: list[Path]) -> datetime:
    """`at`, or the next second after the newest of the paths: names must grow though the clock steps back."""
    newest = max((made_at(path) for path in paths), default=None)
    return at if newest is None or at.replace(microsecond=0) > newest else newest + timedelta(seconds=1)


def _discard(path: Path) -> None:
    """A link that is also a live file's is only unlinked."""
    with suppress(FileNotFoundError):
        if path.stat().st_nlink == 1:
            _overwrite(path)
        path.unlink()


def _overwrite(path: Path) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(file).st_size
        os.pwrite(file, os.urandom(size), 0)
        os.fsync(file)
    finally:
        os.close(file)

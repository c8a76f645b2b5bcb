"""gpg's folders: the one with our own keys, on disk, and a short-lived one in memory for what is the customers'.

    KEYS/inspector/gnupg/           GNUPGHOME: our own keys only
    /dev/shm/vestibule-…/           one per key process: `home`, a short name for GNUPGHOME, whose sockets must have
                                    paths below 108 bytes, and `customers.kbx`: certificates with their addresses

Rule: nothing of a customer is written to a disk. Without /dev/shm the folder lies where temporary files lie; a company
without a memory file system there is told so by `is_memory`.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

SOCKET_PATH_BYTES: Final = 80  # 108 by unix(7), less the longest socket name

AGENT_CONF: Final = """\
# written by vestibule; see keys/home.py
# without it one decryption in three fails at 32 at once, as "No secret key"
auto-expand-secmem 0x30000
# a passphrase of a key that the agent keeps costs 5 ms, not 417 ms
s2k-count 65536
no-allow-external-cache
no-allow-mark-trusted
disable-scdaemon
"""

GPG_CONF: Final = """\
# written by vestibule for whoever calls gpg by hand here; the program itself passes every option and reads no file
batch
no-tty
no-auto-key-retrieve
no-auto-key-locate
disable-dirmngr
no-emit-version
no-comments
trust-model always
personal-digest-preferences SHA512 SHA384 SHA256
personal-cipher-preferences AES256 AES192 AES
"""


def prepare(home: Path) -> None:
    """Makes GNUPGHOME (0700) and its files where they are missing; a file that is there is left alone."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    # an empty common.conf keeps gpg 2.4 from a keyboxd of its own
    for name, text in (("gpg-agent.conf", AGENT_CONF), ("gpg.conf", GPG_CONF), ("common.conf", "")):
        try:
            file = os.open(home / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            continue
        with os.fdopen(file, "w") as out:
            out.write(text)


class RunFolder:
    """Made at the start, gone at the end; what killed predecessors of this user left is removed. A lock on the folder
    says that its process, or a child of it, lives."""

    def __init__(self, home: Path) -> None:
        prepare(home)
        base = _memory() or Path(tempfile.gettempdir())
        prefix = f"vestibule-{os.getuid()}-"
        _sweep(base, prefix)
        self.path, self._lock = _make(base, f"{prefix}{os.getpid()}-")
        self._shared = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._shared, fcntl.LOCK_SH)
        self.customers = self.path / "customers.kbx"
        self.home = home
        if len(os.fsencode(home)) > SOCKET_PATH_BYTES:
            self.home = self.path / "home"
            self.home.symlink_to(home.resolve())

    def is_last(self) -> bool:
        """Whether no other process has a run folder for this GNUPGHOME."""
        try:
            fcntl.flock(self._shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    @property
    def is_memory(self) -> bool:
        return _memory() is not None

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def _memory() -> Path | None:
    shared = Path("/dev/shm")  # noqa: S108 - mkdtemp makes the name and the mode
    return shared if os.access(shared, os.W_OK | os.X_OK) else None


def _make(base: Path, prefix: str) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:  # swept by another before it was locked
            continue
        fcntl.flock(lock, fcntl.LOCK_SH)
        if path.exists():
            return path, lock
        os.close(lock)


def _sweep(base: Path, prefix: str) -> None:
    for path in base.glob(f"{prefix}*"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            if os.fstat(lock).st_uid == os.getuid():
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:  # it lives
            continue
        finally:
            os.close(lock)

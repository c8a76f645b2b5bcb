"""A disk whose syncs take longer: `environment(folder, 4.0)` has fsync and fdatasync take 4 ms more in a program that
is started with it (LD_PRELOAD). Compiled when asked for; None where there is no compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
static int slowed(const char *name, int fd) {
    struct timespec wait = {0, EXTRA_NS};
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    nanosleep(&wait, 0);
    return real(fd);
}
int fsync(int fd) { return slowed("fsync", fd); }
int fdatasync(int fd) { return slowed("fdatasync", fd); }
"""


def environment(folder: Path, milliseconds: float) -> dict[str, str] | None:
    compiler = shutil.which("cc")
    if compiler is None:
        return None
    source, library = folder / "slow.c", folder / "slow.so"
    source.write_text(SOURCE)
    extra = f"-DEXTRA_NS={int(milliseconds * 1e6)}L"
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", extra, "-o", library, source, "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}

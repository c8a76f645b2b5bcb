"""`one_role.py FOLDER --role ROLE`: one role of a test gateway, by its own configuration; at its end it leaves behind
which modules were loaded."""

from __future__ import annotations

import atexit
import sys
from pathlib import Path

from gateway.config import load
from gateway.starting import start

if __name__ == "__main__":
    here, role = Path(sys.argv[1]), sys.argv[3]
    atexit.register(lambda: (here / f"{role}.modules").write_text("\n".join(sys.modules)))
    sys.exit(start(role, load(here / f"{role}.toml")))

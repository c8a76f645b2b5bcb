"""`all_roles.py FOLDER ROLE…`: the supervisor over roles that have a configuration of their own each."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway.ids import SystemClock
from gateway.log import Log
from gateway.supervisor import Supervisor

if __name__ == "__main__":
    log = Log("supervisor", SystemClock())
    log.capture()
    one = Path(__file__).parent / "one_role.py"
    sys.exit(Supervisor([sys.executable, str(one), sys.argv[1]], log, sys.argv[2:]).run())

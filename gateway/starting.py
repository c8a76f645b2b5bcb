"""Starting one role: `python -m gateway.starting --config FILE --role NAME`, as the supervisor does, or from the CLI.

Each role's code is imported only in its own process: what the desk must not reach isn't there to be reached.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from gateway.config import Config, load
from gateway.errors import ConfigError
from gateway.ids import SystemClock
from gateway.log import Log, LogEvent
from gateway.rules import Token

ROLES = ("edge", "inspector", "desk")


def start(role: str, config: Config) -> int:
    """The exit status, when the role has ended. Raises ConfigError for a role there isn't."""
    if role == "edge":
        from gateway.edge import run

        return run(config)
    if role == "inspector":
        from gateway.inspector import run

        return run(config)
    if role == "desk":
        from gateway.desk.role import run

        return run(config)
    raise ConfigError("--role", "isn't a role", "edge, inspector or desk")


def main(arguments: list[str]) -> int:
    """`--config FILE --role NAME`."""
    given = dict(zip(arguments[::2], arguments[1::2], strict=False))
    role = given.get("--role", "")
    log = Log(role if role in ROLES else "none", SystemClock())
    log.capture()
    try:
        return start(role, load(Path(given.get("--config", ""))))
    except ConfigError as error:
        log.write(LogEvent.UNUSABLE, kind=Token("ConfigError"), field=Token(error.field))
        return os.EX_CONFIG


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

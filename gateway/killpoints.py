"""Kill points: named places at which a test ends the process, to prove that nothing is lost or doubled there.

Rules: each await or commit in intake, worker and outbox stands beside one; `reach` costs a look into one variable when
no point is armed. A point is armed by the environment: VESTIBULE_KILL_AT=NAME, or NAME:3 for the third time it is
reached.
"""

from __future__ import annotations

import os
import signal
from enum import Enum, auto
from functools import cache
from itertools import count
from typing import Final


class Point(Enum):
    """Where a process may die in a test, in the order of a message's way."""

    INTAKE_BEFORE_COMMIT = auto()
    INTAKE_AFTER_COMMIT = auto()
    INTAKE_ANSWERED = auto()
    CLAIM_BEFORE_COMMIT = auto()
    CLAIMED = auto()
    WORKER_STARTED = auto()
    WORKER_DONE = auto()
    HOLD_BEFORE_COMMIT = auto()
    HOLD_AFTER_COMMIT = auto()
    RETRY_BEFORE_COMMIT = auto()
    RETRY_AFTER_COMMIT = auto()
    QUEUE_BEFORE_COMMIT = auto()
    QUEUE_AFTER_COMMIT = auto()
    RELEASE_BEFORE_COMMIT = auto()
    RELEASE_AFTER_COMMIT = auto()
    EXPIRE_BEFORE_COMMIT = auto()
    EXPIRE_AFTER_COMMIT = auto()
    NOTICE_CLAIMED = auto()
    NOTICE_AFTER_COMMIT = auto()
    REQUEST_CLAIMED = auto()
    REQUEST_AFTER_COMMIT = auto()
    REPLY_PUT_BEFORE_COMMIT = auto()
    REPLY_PUT_AFTER_COMMIT = auto()
    REPLY_CLAIMED = auto()
    REPLY_SEALED = auto()
    REPLY_BEFORE_COMMIT = auto()
    REPLY_AFTER_COMMIT = auto()
    OUTBOX_CLAIMED = auto()
    OUTBOX_ATTEMPTING = auto()
    OUTBOX_SENT = auto()
    OUTBOX_BEFORE_COMMIT = auto()
    OUTBOX_AFTER_COMMIT = auto()
    ROTATE_GENERATED = auto()
    ROTATE_PUBLISHED = auto()
    ROTATE_RETIRING = auto()
    ROTATE_RETIRED = auto()


VARIABLE: Final = "VESTIBULE_KILL_AT"


@cache
def _armed() -> tuple[Point | None, count[int]]:
    name, _, turn = os.environ.get(VARIABLE, "").partition(":")
    return (Point[name], count(int(turn or 1) - 1, -1)) if name else (None, count())


def reach(point: Point) -> None:
    """Ends the process by SIGKILL when this point is armed and its turn has come; otherwise does nothing."""
    armed, left = _armed()
    if point is armed and next(left) <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

"""Logs: one JSON object a line on standard error, with an event's name and facts, and nothing that anybody wrote.

Rules:
1. An event is a member of `LogEvent`; a fact is a number, a truth, a time, an enum's value or an id. No message.
2. A text that isn't shaped like an id or a token is written as "?": a slip shows in the log, its content doesn't.
3. What libraries log is reduced to the logger's name and the level: their texts quote what they choke on.
4. An exception is its class and the line of ours where it came from; its text, its arguments and its locals stay out.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import sys
import threading
import warnings
from datetime import UTC, datetime
from enum import Enum, StrEnum
from types import TracebackType
from typing import Any, Final, TextIO

from gateway.ids import Clock
from gateway.rules import Token

Fact = int | float | bool | Enum | datetime | Token | None

_TOKEN: Final = re.compile(r"[A-Za-z0-9_.:/+<>-]{0,80}")
_DIGITS: Final = re.compile(r"\d{12}")
_OURS: Final = ("gateway", "channels", "keys")


class LogEvent(StrEnum):
    """Everything that is ever logged."""

    STARTED = "role.started"
    STOPPING = "role.stopping"
    STOPPED = "role.stopped"
    FAULT = "role.fault"
    UNUSABLE = "role.unusable"
    DISK_FAILED = "disk.failed"
    CHILD_STARTED = "child.started"
    CHILD_ENDED = "child.ended"
    LIBRARY = "library"
    SANDBOX_READY = "sandbox.ready"
    SANDBOX_LOST = "sandbox.lost"
    WORKER_ENDED = "sandbox.worker-ended"
    KEYS_UNAVAILABLE = "keys.unavailable"
    KEYS_ROTATED = "keys.rotated"
    KEYS_DESTROYED = "keys.destroyed"
    CERTIFICATE_UNUSABLE = "keys.certificate-unusable"
    MESSAGE_QUEUED = "message.queued"
    MESSAGE_HELD = "message.held"
    MESSAGE_RETRIED = "message.retried"
    MESSAGE_FAULT = "message.fault"
    MESSAGE_EXPIRED = "message.expired"
    REPLY_BOXED = "reply.boxed"
    REPLY_STOPPED = "reply.stopped"
    REPLY_RETRIED = "reply.retried"
    REQUEST_DONE = "request.done"
    SEND_ATTEMPTED = "send.attempted"
    SEND_ENDED = "send.ended"
    LISTENING = "edge.listening"
    STORE_DOWN = "store.down"
    STORE_BACK = "store.back"
    HOUSEKEEPING = "housekeeping.done"


class Log:
    """One role's log."""

    def __init__(self, role: str, clock: Clock, stream: TextIO | None = None) -> None:
        self._role, self._clock, self._stream = role, clock, stream
        self._lock = threading.Lock()

    def write(self, event: LogEvent, /, **facts: Fact) -> None:
        line = {"at": _time(self._clock.now()), "role": self._role, "pid": os.getpid(), "event": event.value}
        line |= {name: value_of(value) for name, value in facts.items()}
        text = json.dumps(line, separators=(",", ":"))
        stream = self._stream or sys.stderr
        with self._lock:
            try:
                stream.write(text + "\n")
                stream.flush()
            except (OSError, ValueError):
                pass  # a log that can't be written must not stop the mail

    def fault(self, error: BaseException, event: LogEvent = LogEvent.FAULT, /, **facts: Fact) -> None:
        """An error of ours or of a library: its class, and where."""
        self.write(event, kind=Token(type(error).__name__), where=Token(place(error.__traceback__)), **facts)

    def capture(self) -> None:
        """Takes over everything that would otherwise write text to standard error in this process."""
        root = logging.getLogger()
        root.handlers = [_Reduced(self)]
        root.setLevel(logging.WARNING)
        logging.captureWarnings(True)
        warnings.simplefilter("ignore")
        sys.excepthook = lambda kind, error, trace: self.fault(error.with_traceback(trace))
        sys.unraisablehook = lambda raised: self.fault(raised.exc_value or Exception())
        threading.excepthook = lambda raised: self.fault(raised.exc_value or Exception())

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """What a task raised and nobody awaited."""

        def handler(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception")
            self.fault(error if isinstance(error, BaseException) else Exception())

        loop.set_exception_handler(handler)


class _Reduced(logging.Handler):
    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        facts: dict[str, Fact] = {"logger": Token(record.name), "level": Token(record.levelname)}
        if record.exc_info and record.exc_info[1] is not None:
            facts["kind"] = Token(type(record.exc_info[1]).__name__)
            facts["where"] = Token(place(record.exc_info[2]))
        self._log.write(LogEvent.LIBRARY, **facts)


def value_of(value: Fact) -> int | float | bool | str | None:
    """A fact as it stands in the log."""
    if isinstance(value, Enum):
        value = Token(value.value if isinstance(value.value, str) else value.name.lower())
    if isinstance(value, datetime):
        return _time(value)
    if isinstance(value, str):
        return value if _TOKEN.fullmatch(value) and not _DIGITS.search(value) else "?"
    if isinstance(value, (bool, int, float)) or value is None:
        return value
    return "?"  # type: ignore[unreachable]


def place(trace: TracebackType | None) -> str:
    """The innermost line of ours, as package/file:line; "" when there is none."""
    found = ""
    while trace is not None:
        module = trace.tb_frame.f_globals.get("__name__", "")
        if isinstance(module, str) and module.split(".")[0] in _OURS:
            found = f"{module.replace('.', '/')}.py:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def _time(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

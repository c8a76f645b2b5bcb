"""Logs: events and facts, and nothing that anybody wrote."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.config import build
from gateway.errors import ConfigError
from gateway.ids import FixedClock
from gateway.log import Log, LogEvent, place
from gateway.rules import Action, Token

CANARY = "4111 1111 1111 1111 alice@example.org"


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> Log:
    return Log("inspector", FixedClock(datetime(2026, 11, 25, 10, 0, tzinfo=UTC)), stream)


@pytest.fixture
def captured(log: Log, stream: io.StringIO) -> Iterator[io.StringIO]:
    """With everything taken over, and given back afterwards."""
    root = logging.getLogger()
    kept = root.handlers, root.level, sys.excepthook, sys.unraisablehook, threading.excepthook
    with warnings.catch_warnings():
        log.capture()
        root.setLevel(logging.DEBUG)
        yield stream
        logging.captureWarnings(False)
    root.handlers, sys.excepthook, sys.unraisablehook, threading.excepthook = kept[0], *kept[2:]
    root.setLevel(kept[1])


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_an_event_and_its_facts(log: Log, stream: io.StringIO) -> None:
    log.write(LogEvent.MESSAGE_QUEUED, message=Token("01ABC"), attempt=1, action=Action.HOLD, ok=True, size=None)
    (line,) = lines(stream)
    assert line | {"pid": 0} == {
        "at": "2026-11-25T10:00:00.000000Z", "role": "inspector", "pid": 0, "event": "message.queued",
        "message": "01ABC", "attempt": 1, "action": "hold", "ok": True, "size": None,
    }  # fmt: skip


@pytest.mark.parametrize("slip", [CANARY, "a b", "x" * 81, "line\nbreak", "411111111111", "ü", "'; --"])
def test_what_is_not_shaped_like_a_token_is_not_written(log: Log, stream: io.StringIO, slip: str) -> None:
    log.write(LogEvent.FAULT, kind=Token(slip))
    assert lines(stream)[0]["kind"] == "?"


def test_an_exception_is_its_class_and_a_line_of_ours(log: Log, stream: io.StringIO) -> None:
    try:
        Token(1 / 0)  # type: ignore[arg-type]
    except ZeroDivisionError as error:
        error.add_note(CANARY)
        log.fault(error)
    with pytest.raises(ConfigError) as caught:
        build({"company": {"name": 4111111111111111}}, base=Path())
    log.fault(caught.value)
    assert place(caught.value.__traceback__).startswith("gateway/config.py:")
    assert [line["kind"] for line in lines(stream)] == ["ZeroDivisionError", "ConfigError"]
    assert "4111" not in stream.getvalue()


def test_what_libraries_say_is_reduced_to_name_and_level(captured: io.StringIO) -> None:
    logging.getLogger("aiohttp.access").warning("GET /%s", CANARY)
    logging.getLogger("deep").debug("%s", CANARY)
    try:
        raise ValueError(CANARY)
    except ValueError:
        logging.getLogger("asyncio").exception(CANARY)
    warnings.warn(CANARY, stacklevel=1)
    found = lines(captured)
    assert [(line["logger"], line["level"]) for line in found[:3]] == [
        ("aiohttp.access", "WARNING"), ("deep", "DEBUG"), ("asyncio", "ERROR"),
    ]  # fmt: skip
    assert found[2]["kind"] == "ValueError"
    assert "4111" not in captured.getvalue()
    assert "alice" not in captured.getvalue()


def test_what_threads_hooks_and_tasks_raise_leaves_no_text(captured: io.StringIO, log: Log) -> None:
    def fail() -> None:
        raise LookupError(CANARY)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    try:
        fail()
    except LookupError as error:
        sys.excepthook(type(error), error, error.__traceback__)

    async def lose() -> None:
        log.watch(asyncio.get_running_loop())
        asyncio.get_running_loop().call_soon(fail)
        await asyncio.sleep(0.01)

    asyncio.run(lose())
    assert [line["kind"] for line in lines(captured) if "kind" in line] == ["LookupError"] * 3
    assert "4111" not in captured.getvalue()


def test_a_log_that_cannot_be_written_stops_nothing(log: Log, stream: io.StringIO) -> None:
    stream.close()
    log.write(LogEvent.STARTED)


def test_every_event_has_a_name_of_its_own() -> None:
    names = [event.value for event in LogEvent]
    assert len(names) == len(set(names))
    assert all(name == name.lower() and " " not in name for name in names)

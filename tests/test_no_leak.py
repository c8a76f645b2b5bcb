"""The canary sweep itself: it finds what is planted, in every place it looks at and in every form it knows.

A sweep that finds nothing proves nothing unless it would have found something: each probe has its planted canary.
"""

from __future__ import annotations

import base64
import json
import logging
import quopri
import sqlite3
import subprocess
import sys
import urllib.parse
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from leaks import Disk, forms, occurrences, sweep
from sink import Sink
from vector_letters import person
from whole import Whole

from keys.testing import encrypted

CARD = "4539 5787 6362 1486"
WORD = "kanari-planted-here"
SAID = b"From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: %s\r\n\r\n%s\r\n"


ENCODINGS: dict[str, Callable[[str], bytes]] = {
    "text": str.encode,
    "UTF-16 LE": lambda text: text.encode("utf-16-le"),
    "UTF-16 BE": lambda text: text.encode("utf-16-be"),
    "hexadecimal": lambda text: text.encode().hex().encode(),
    "HEXADECIMAL": lambda text: text.encode().hex().upper().encode(),
    "quoted-printable": lambda text: quopri.encodestring(text.encode(), quotetabs=True),
    "URL": lambda text: urllib.parse.quote(text).encode(),
    "JSON": lambda text: json.dumps({"x": text}).encode(),
    "base64": lambda text: base64.b64encode(text.encode()),
    "base64, shifted by one": lambda text: base64.b64encode(b"x" + text.encode() + b"more"),
    "base64, shifted by two": lambda text: base64.b64encode(b"xy" + text.encode() + b"and more"),
    "base64url": lambda text: base64.urlsafe_b64encode(b"?" + text.encode() + b"?"),
    "without its blanks": lambda text: text.replace(" ", "").replace("-", "").encode(),
}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("canary", [CARD, "tarjeta número ñandú"])
def test_every_form_is_found(encoding: str, canary: str) -> None:
    if encoding == "without its blanks" and canary != CARD:
        pytest.skip("only numbers are looked for without their blanks")
    content = b"\x00\x01 before " + ENCODINGS[encoding](canary) + b" after"
    assert list(occurrences([canary], content))
    with pytest.raises(AssertionError, match="canary 0"):
        sweep([canary], {"there": content})


def test_what_is_not_there_is_not_found() -> None:
    sweep([CARD, WORD], {"elsewhere": b"4539 5787 6362 1487 kanari-elsewhere" * 100})


def test_the_report_does_not_repeat_the_canary() -> None:
    with pytest.raises(AssertionError) as caught:
        sweep([CARD], {"there": CARD.encode()})
    assert "4539" not in str(caught.value)


def test_a_canary_that_means_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="more characters"):
        forms("abc")


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file, disk = tmp_path / "f", Disk((tmp_path,))
    file.write_bytes(b"nothing")
    disk.sweep([CARD])
    file.write_bytes(b"now: " + CARD.encode())
    with pytest.raises(AssertionError, match="file f"):
        disk.sweep([CARD])


# --- where it looks, in a running gateway


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Whole]:
    with Sink() as sink, Whole(tmp_path_factory.mktemp("n") / "g", smarthost_port=sink.port) as running:
        yield running


def test_a_canary_planted_in_the_database_is_found_in_its_log_and_in_its_file(whole: Whole) -> None:
    """Beside the sealed rows, so that it goes the same way to the disk; first in the WAL, then in the file."""
    disk = Disk((whole.folder,))
    disk.sweep([CARD])
    file = whole.folder / "var" / "vestibule.db"
    connection = sqlite3.connect(file, timeout=20)
    try:
        connection.execute("CREATE TABLE planted (x TEXT)")
        connection.execute("INSERT INTO planted VALUES (?)", (CARD,))
        connection.commit()
        assert any(f"file {file.name}-wal" in place for place in hits(disk, CARD))
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        assert any(f"file {file.name} in" in place for place in hits(disk, CARD))
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("DROP TABLE planted")
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.close()


def hits(disk: Disk, canary: str) -> list[str]:
    return [place for place, content in disk.places().items() if list(occurrences([canary], content))]


def test_a_canary_planted_among_the_temporary_files_is_found(whole: Whole) -> None:
    planted = whole.temporary / "deep" / "left-over.tmp"
    planted.parent.mkdir()
    planted.write_text(f"left over: {WORD}")
    try:
        assert hits(Disk((whole.folder,)), WORD)
    finally:
        planted.unlink()


def test_a_canary_that_an_agent_may_see_is_found_in_the_desks_answers_and_nowhere_else(whole: Whole) -> None:
    """And one in a message that is held isn't found there either."""
    whole.hand_in(SAID % (b"seen", WORD.encode()))
    whole.hand_in(SAID % (b"not seen", b"kanari-of-the-held"), to=["billing@acme.example"])
    whole.wait_for_held(1)
    whole.wait_for_messages(1)
    whole.agent.all("/api/conversations?view=open")
    whole.supervisor.all("/api/held")
    heard = b"\0".join([*whole.agent.heard, *whole.supervisor.heard])
    assert list(occurrences([WORD], heard))
    assert not list(occurrences(["kanari-of-the-held"], heard))
    assert not hits(Disk((whole.folder,)), WORD)
    assert not list(occurrences([WORD], whole.written()))


def test_what_a_message_brings_up_in_a_customers_program_can_be_opened_for_the_sweep() -> None:
    alice = person("alice")
    sealed = encrypted(WORD.encode(), to=[alice.certificate], by=person("support"))
    assert not list(occurrences([WORD], sealed))
    assert list(occurrences([WORD], alice.gpg("--decrypt", stdin=sealed, check=False)))


LOGS = """
import logging, sys, warnings
from gateway.ids import SystemClock
from gateway.log import Log, LogEvent
from gateway.rules import Token
log = Log("edge", SystemClock())
log.capture()
logging.getLogger("somebody.elses").debug("a canary: %s", sys.argv[1])
logging.getLogger("asyncio").info(sys.argv[1])
warnings.warn(sys.argv[1])
log.write(LogEvent.STARTED, kind=Token(sys.argv[1]))
try:
    raise ValueError(sys.argv[1])
except ValueError as error:
    log.fault(error)
raise RuntimeError(sys.argv[1])
"""
ROOT = Path(__file__).parent.parent


def log_of(program: str, debugging: bool = True) -> str:
    path = [str(ROOT / "tests" / "debugging")] * debugging + [str(ROOT)]
    run = subprocess.run(
        [sys.executable, "-c", program, f"{WORD} {CARD}"], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": ":".join(path), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    return run.stdout + run.stderr


def test_whatever_is_logged_or_raised_comes_out_without_its_text() -> None:
    """All loggers on DEBUG, an uncaught exception, a warning, a fact that isn't one."""
    text = log_of(LOGS)
    sweep([WORD, CARD], {"log": text.encode()})
    lines = [json.loads(line) for line in text.splitlines()]
    assert {line.get("logger") for line in lines} >= {"somebody.elses", "asyncio"}
    assert "RuntimeError" in {line.get("kind") for line in lines}


def test_without_the_gateways_log_the_same_text_would_be_found() -> None:
    bare = LOGS.replace("log.capture()", "logging.basicConfig(level=0)")
    assert list(occurrences([WORD], log_of(bare).encode()))


def test_debugging_turns_every_logger_on() -> None:
    program = (
        "import logging, sys; logging.basicConfig(); x = logging.getLogger('x'); x.setLevel(50); x.debug(sys.argv[1])"
    )
    assert list(occurrences([WORD], log_of(program).encode()))
    assert not list(occurrences([WORD], log_of(program, debugging=False).encode()))
    assert logging.getLogger("x").getEffectiveLevel() != logging.DEBUG, "only in the gateway's processes"


def test_a_canary_planted_in_postgresql_is_found_in_its_data_directory(postgres_url: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as connection:
        data = Path(str(connection.execute("SHOW data_directory").fetchone()[0]))  # type: ignore[index]
        disk = Disk((data,))
        assert not hits(disk, "4556 7375 8689 9855")
        connection.execute("CREATE TABLE planted (x text)")
        connection.execute("INSERT INTO planted VALUES ('4556 7375 8689 9855')")
        assert any(hits(disk, "4556 7375 8689 9855"))

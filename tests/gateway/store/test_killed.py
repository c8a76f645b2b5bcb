"""A process that is killed at each named point of the store: nothing is lost, nothing is there twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, func, select

from gateway import audit
from gateway.killpoints import VARIABLE, Point
from gateway.store import schema

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
POINTS = [
    Point.INTAKE_BEFORE_COMMIT, Point.INTAKE_AFTER_COMMIT, Point.CLAIM_BEFORE_COMMIT, Point.CLAIMED,
    Point.HOLD_BEFORE_COMMIT, Point.HOLD_AFTER_COMMIT, Point.RELEASE_BEFORE_COMMIT, Point.RELEASE_AFTER_COMMIT,
    Point.RETRY_BEFORE_COMMIT, Point.RETRY_AFTER_COMMIT, Point.QUEUE_BEFORE_COMMIT, Point.QUEUE_AFTER_COMMIT,
    Point.REPLY_PUT_BEFORE_COMMIT, Point.REPLY_PUT_AFTER_COMMIT, Point.REPLY_CLAIMED, Point.REPLY_BEFORE_COMMIT,
    Point.REPLY_AFTER_COMMIT, Point.OUTBOX_CLAIMED, Point.OUTBOX_ATTEMPTING, Point.OUTBOX_BEFORE_COMMIT,
    Point.OUTBOX_AFTER_COMMIT, Point.REQUEST_CLAIMED, Point.REQUEST_AFTER_COMMIT, Point.NOTICE_CLAIMED,
    Point.NOTICE_AFTER_COMMIT, Point.EXPIRE_BEFORE_COMMIT, Point.EXPIRE_AFTER_COMMIT,
]  # fmt: skip
ON_POSTGRES = [
    Point.INTAKE_BEFORE_COMMIT,
    Point.INTAKE_AFTER_COMMIT,
    Point.QUEUE_BEFORE_COMMIT,
    Point.QUEUE_AFTER_COMMIT,
]


Run = Callable[[str, str, float], tuple[int, list[str]]]


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    """A process that forks one for each call."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{HERE}"}
    parent = subprocess.Popen(
        [sys.executable, str(HERE / "store_dying.py")],
        env=env, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def once(url: str, point: str, ahead: float) -> tuple[int, list[str]]:
        assert parent.stdin
        assert parent.stdout
        parent.stdin.write(json.dumps([url, "m", point, ahead]) + "\n")
        parent.stdin.flush()
        code, words = json.loads(parent.stdout.readline())
        return code, words

    yield once
    parent.communicate("")


def check(url: str, told: list[str]) -> None:
    engine = create_engine(url)
    accepted = {word.removeprefix("accepted:") for word in told if word.startswith("accepted:")}
    with engine.connect() as conn:
        report = audit.verify(conn)
        assert report.sound, report.findings
        for table in (schema.spool, schema.held, schema.notices):
            assert conn.execute(select(func.count()).select_from(table)).scalar_one() == 0, table.name
        inbound = schema.messages.c.direction == "in"
        (id,) = conn.execute(select(schema.messages.c.id).where(inbound)).scalars().all()
        assert accepted == {id}, "each retry was told the first one's id"
        assert conn.execute(select(schema.messages.c.id).where(~inbound)).scalars().all() == [f"{id}.reply"]
        states = conn.execute(select(schema.outbox.c.state)).scalars().all()
        assert told.count("leaves") <= 1, "nothing is sent twice by itself"
        assert states in (["sent"], ["doubt"])
        assert states == ["sent"] or "leaves" in told or told.count("end") == 1
        assert conn.execute(select(schema.requests.c.state)).scalars().all() == ["done"]
    engine.dispose()


def die_and_recover(run: Run, url: str, point: Point) -> None:
    code, told = run(url, point.name, 0)
    assert code == -9, told
    code, more = run(url, "", 300)
    assert code == 0, more
    check(url, told + more)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name.lower())
def test_nothing_is_lost_or_doubled_whenever_the_process_dies(run: Run, sqlite_url: str, point: Point) -> None:
    die_and_recover(run, sqlite_url, point)


@pytest.mark.parametrize("point", ON_POSTGRES, ids=lambda point: point.name.lower())
def test_nothing_is_lost_or_doubled_on_postgres(run: Run, postgres_url: str, point: Point) -> None:
    die_and_recover(run, postgres_url, point)


def test_an_unarmed_process_reaches_the_end(run: Run, sqlite_url: str) -> None:
    """The control: without a point the same program ends by itself, so that what dies above dies there."""
    code, told = run(sqlite_url, "", 0)
    assert (code, "end" in told) == (0, True), told
    check(sqlite_url, told)


def test_the_n_th_time_counts(run: Run, sqlite_url: str) -> None:
    assert run(sqlite_url, "CLAIMED:9", 0)[0] == 0
    assert run(sqlite_url, "INTAKE_AFTER_COMMIT:1", 0)[0] == -9


def test_a_misspelt_point_is_an_error_and_not_a_test_that_proves_nothing() -> None:
    env = {**os.environ, VARIABLE: "NO_SUCH_POINT"}
    code = "from gateway.killpoints import Point, reach; reach(Point.CLAIMED)"
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 1


def test_every_point_of_the_store_is_killed_at_here() -> None:
    """Points that stand in the store's own code."""
    text = "\n".join(path.read_text("utf-8") for path in (ROOT / "gateway" / "store").glob("*.py"))
    used = {point for point in Point if f"Point.{point.name}" in text}
    assert used == set(POINTS)

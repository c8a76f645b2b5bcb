"""The way into the store: durable or refused, one commit for many, errors without text."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, create_engine, event, insert, select, text
from store_rows import new_row

from gateway import limits, store
from gateway.audit import Event, note, record
from gateway.errors import StoreDown, StoreError, StoreFull, Unsafe
from gateway.ids import FixedClock, SystemClock
from gateway.store import disk, engines, schema
from gateway.store.database import Database, Role
from gateway.store.spool import Spool, put

RATES = schema.rates


def count_one(key: bytes, slot: int = 0) -> Callable[[Connection], None]:
    def job(conn: Connection) -> None:
        conn.execute(insert(RATES).values(key=key, slot=slot, count=1))

    return job


def keys(conn: Connection) -> set[bytes]:
    return {bytes(key) for key in conn.execute(select(RATES.c.key)).scalars()}


async def test_jobs_that_wait_share_a_commit_and_none_hears_before_it(inspector: Database) -> None:
    commits = []
    event.listen(inspector._write_engine, "commit", lambda conn: commits.append(1))
    gate = threading.Event()

    def slow(conn: Connection) -> int:
        gate.wait()
        return -1

    first = asyncio.create_task(inspector.write(slow))
    await asyncio.sleep(0.05)
    rest = [asyncio.create_task(inspector.write(count_one(bytes([number])))) for number in range(100)]
    await asyncio.sleep(0.05)
    assert not any(task.done() for task in (first, *rest))
    gate.set()
    await asyncio.gather(first, *rest)
    assert len(commits) == 2
    assert len(await inspector.read(keys)) == 100


async def test_a_job_that_fails_takes_nothing_along(inspector: Database) -> None:
    class Wrong(Exception):
        pass

    def fails(conn: Connection) -> None:
        count_one(b"half")(conn)
        raise Wrong

    def refused(conn: Connection) -> None:
        count_one(b"twice")(conn)
        count_one(b"twice")(conn)

    results = await asyncio.gather(
        *(inspector.write(job) for job in (count_one(b"a"), fails, count_one(b"b"), refused, count_one(b"c"))),
        return_exceptions=True,
    )
    assert [type(result) for result in results] == [type(None), Wrong, type(None), StoreError, type(None)]
    assert await inspector.read(keys) == {b"a", b"b", b"c"}
    with pytest.raises(Wrong):
        await inspector.write(fails)
    assert await inspector.read(keys) == {b"a", b"b", b"c"}


async def test_one_bad_item_of_many_is_refused_alone(inspector: Database) -> None:
    def bulk(conn: Connection, items: list[bytes]) -> list[int]:
        for item in items:
            count_one(item)(conn)
        return [len(items)] * len(items)

    await inspector.write(count_one(b"there"))
    results = await asyncio.gather(
        *(inspector.together(bulk, item) for item in (b"x", b"there", b"y")), return_exceptions=True
    )
    assert [isinstance(result, StoreError) for result in results] == [False, True, False]
    assert await inspector.read(keys) == {b"there", b"x", b"y"}


async def test_cancelling_does_not_cancel_the_commit(inspector: Database) -> None:
    task = asyncio.create_task(inspector.write(count_one(b"kept")))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await inspector.write(count_one(b"after"))
    assert b"kept" in await inspector.read(keys)


async def test_closing_commits_what_was_handed_in_and_then_says_no(store_url: str, clock: FixedClock) -> None:
    db = Database.open(store_url, Role.INSPECTOR, clock=clock)
    tasks = [asyncio.create_task(db.write(count_one(bytes([number])))) for number in range(50)]
    await asyncio.sleep(0)
    await db.close()
    await asyncio.gather(*tasks)
    for act in (db.write(keys), db.read(keys)):
        with pytest.raises(StoreDown):
            await act
    again = Database.open(store_url, Role.INSPECTOR, clock=clock)
    assert len(await again.read(keys)) == 50
    await again.close()


async def test_errors_carry_no_text_of_what_was_written(inspector: Database) -> None:
    def job(conn: Connection) -> None:
        conn.execute(insert(RATES).values(key=b"CANARY-7351", slot=1, count=None))

    def query(conn: Connection) -> None:
        conn.execute(text("SELECT * FROM nothing WHERE x = 'CANARY-7351'"))

    for act in (inspector.write(job), inspector.read(query)):
        with pytest.raises(StoreError) as caught:
            await act
        shown = f"{caught.value!r} {caught.value.__cause__!r}"
        assert "CANARY" not in shown
        assert str(caught.value).split()[0] in ("sqlite", "sqlstate")


def test_a_store_that_is_not_there_or_not_upgraded_is_refused(tmp_path: Path, clock: FixedClock) -> None:
    url = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(Unsafe):
        Database.open(url, Role.EDGE, clock=clock)
    assert store.current(url) == ""
    (tmp_path / "none.db").touch()
    with pytest.raises(Unsafe, match="upgrade"):
        Database.open(url, Role.EDGE, clock=clock)
    for wrong in ("mysql://x/y", "no url", "sqlite"):
        with pytest.raises(Unsafe):
            engines.make(wrong, role=None, reader=False)


# --- SQLite


def pragmas(conn: Connection) -> dict[str, object]:
    return {name: conn.exec_driver_sql(f"PRAGMA {name}").scalar() for name in (*engines.PRAGMAS, "busy_timeout")}


async def test_every_sqlite_connection_has_the_settings_of_the_promise(sqlite_url: str, clock: FixedClock) -> None:
    db = Database.open(sqlite_url, Role.EDGE, clock=clock)
    wanted = {name: expected for name, (_, expected) in engines.PRAGMAS.items()} | {"busy_timeout": 5000}
    assert await db.write(pragmas) == wanted
    assert await db.read(pragmas) == wanted
    assert wanted["synchronous"] == 2
    with pytest.raises(StoreError):
        await db.read(count_one(b"x"))
    await db.close()


def test_a_setting_that_does_not_stick_is_refused(
    sqlite_url: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engines.PRAGMAS, "synchronous", ("NORMAL", 2))
    with pytest.raises(Unsafe, match="synchronous is 1"):
        Database.open(sqlite_url, Role.EDGE, clock=clock)


async def test_a_locked_database_is_down_not_broken(
    sqlite_url: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "STORE_WAIT_SECONDS", 0.2)
    monkeypatch.setattr(engines, "_BUSY", "200")
    db = Database.open(sqlite_url, Role.EDGE, clock=clock)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreDown):
        await put(db, new_row(clock))
    other.execute("ROLLBACK")
    assert not (await put(db, new_row(clock))).repeated
    other.close()
    await db.close()


async def test_a_full_disk_refuses_before_it_writes(
    sqlite_url: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = Database.open(sqlite_url, Role.EDGE, clock=clock)
    monkeypatch.setattr(disk, "free", lambda path: limits.DISK_RESERVE_BYTES)
    with pytest.raises(StoreFull):
        await put(db, new_row(clock))
    await db.close()


async def test_a_full_database_says_so_and_the_ballast_lets_the_inspector_go_on(
    sqlite_url: str, clock: FixedClock
) -> None:
    edge = Database.open(sqlite_url, Role.EDGE, clock=clock)
    inspector = Database.open(sqlite_url, Role.INSPECTOR, clock=clock)
    ballast = Path(f"{inspector.file}-ballast")
    assert ballast.stat().st_size == limits.BALLAST_BYTES
    tried = []

    def full_at_first(conn: Connection) -> None:
        tried.append(ballast.exists())
        if len(tried) == 1:
            pages = conn.exec_driver_sql("PRAGMA page_count").scalar()
            conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        else:
            conn.exec_driver_sql("PRAGMA max_page_count = 1000000")
        for number in range(200):
            conn.execute(insert(RATES).values(key=bytes(4000), slot=number, count=1))

    await inspector.write(full_at_first)
    assert tried == [True, False], "given up, and tried again"

    def limit(conn: Connection) -> None:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar()
        conn.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    await edge.write(limit)
    results = await asyncio.gather(*(put(edge, new_row(clock)) for _ in range(30)), return_exceptions=True)
    assert any(isinstance(result, StoreFull) for result in results)
    stored = sum(not isinstance(result, BaseException) for result in results)
    assert await Spool(edge, clock).backlog() == stored
    for db in (edge, inspector):
        await db.close()


async def test_after_an_io_error_nothing_more_is_written(sqlite_url: str, clock: FixedClock) -> None:
    db = Database.open(sqlite_url, Role.EDGE, clock=clock)
    watching = asyncio.create_task(db.broken())
    await asyncio.sleep(0)

    def fails(conn: Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    with pytest.raises(StoreDown):
        await db.write(fails)
    async with asyncio.timeout(5):
        await watching
    with pytest.raises(StoreDown):
        await put(db, new_row(clock))
    await db.close()


async def test_the_write_ahead_log_is_emptied(
    sqlite_url: str, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CHECKPOINT_SECONDS", 0.05)
    db = Database.open(sqlite_url, Role.INSPECTOR, clock=clock)
    await db.write(count_one(b"x"))
    log = Path(f"{db.file}-wal")
    for _ in range(100):
        if log.stat().st_size == 0:
            break
        await asyncio.sleep(0.05)
    assert log.stat().st_size == 0
    assert await db.read(keys) == {b"x"}
    await db.close()


async def test_roles_take_turns_in_writing(sqlite_url: str, clock: FixedClock) -> None:
    """A busy edge doesn't starve the inspector."""
    edge = Database.open(sqlite_url, Role.EDGE, clock=clock)
    inspector = Database.open(sqlite_url, Role.INSPECTOR, clock=clock)
    stop = False
    written = 0

    async def flood() -> None:
        nonlocal written
        while not stop:
            await asyncio.gather(*(put(edge, new_row(clock)) for _ in range(20)))
            written += 20

    flooding = asyncio.create_task(flood())
    waits = []
    for number in range(20):
        began = SystemClock().monotonic()
        await inspector.write(count_one(bytes([number])))
        waits.append(SystemClock().monotonic() - began)
    stop = True
    await flooding
    assert written
    assert sorted(waits)[10] < 1.0
    for db in (edge, inspector):
        await db.close()


def test_network_file_systems_are_told_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"
        "40 22 0:40 / /srv rw shared:2 - nfs4 server:/export rw\n"
        "41 40 0:41 / /srv/my\\040disk rw - xfs /dev/sdb rw\n"
        "broken line\n"
    )
    for path, kind in (("/srv/a/b.db", "nfs4"), ("/srv/my disk/b.db", "xfs"), ("/home/x", "ext4"), ("/srvx", "ext4")):
        assert disk.file_system(Path(path), table) == kind
    assert disk.file_system(Path("/x"), tmp_path / "none") == ""
    monkeypatch.setattr(disk, "file_system", lambda path: "nfs4")
    with pytest.raises(Unsafe, match="network"):
        store.upgrade(f"sqlite:///{tmp_path}/x.db")


def test_a_new_file_is_ours_alone(tmp_path: Path) -> None:
    file = tmp_path / "var" / "vestibule.db"
    store.upgrade(f"sqlite:///{file}")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


# --- PostgreSQL


@pytest.mark.parametrize("setting", ["synchronous_commit = off", "synchronous_commit = local"])
def test_postgres_without_durability_is_refused(postgres_url: str, clock: FixedClock, setting: str) -> None:
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {conn.info.dbname} SET {setting}")
    with pytest.raises(Unsafe, match="synchronous_commit"):
        Database.open(postgres_url, Role.EDGE, clock=clock)


async def test_postgres_away_is_down_and_back_is_up(postgres_url: str, clock: FixedClock) -> None:
    db = Database.open(postgres_url, Role.EDGE, clock=clock)
    await put(db, new_row(clock))
    assert await Spool(db, clock).backlog() == 1
    with psycopg.connect(postgres_url.replace("+psycopg", ""), autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (conn.info.dbname,),
        )
    with pytest.raises(StoreDown):
        await put(db, new_row(clock))
    assert not (await put(db, new_row(clock))).repeated, "the next one connects again"
    with pytest.raises(StoreDown):
        await Spool(db, clock).backlog()
    assert await Spool(db, clock).backlog() == 2
    await db.close()
    with pytest.raises(StoreDown):
        Database.open(postgres_url.replace("store_", "no_such_"), Role.EDGE, clock=clock)


async def test_a_deadlock_is_tried_again_alone(postgres_url: str, clock: FixedClock) -> None:
    first = Database.open(postgres_url, Role.INSPECTOR, clock=clock)
    second = Database.open(postgres_url, Role.INSPECTOR, clock=clock)
    for key in (b"a", b"b"):
        await first.write(count_one(key))
    meet = threading.Barrier(2, timeout=5)

    def bump(*order: bytes) -> Callable[[Connection], None]:
        state = {"first": True}

        def job(conn: Connection) -> None:
            for number, key in enumerate(order):
                conn.execute(text("UPDATE rates SET count = count + 1 WHERE key = :key"), {"key": key})
                if number == 0 and state["first"]:
                    state["first"] = False
                    meet.wait()

        return job

    await asyncio.gather(first.write(bump(b"a", b"b")), second.write(bump(b"b", b"a")))
    counts = await first.read(lambda conn: conn.execute(select(RATES.c.count)).scalars().all())
    assert sorted(counts) == [3, 3]
    for db in (first, second):
        await db.close()


# --- both


async def test_the_audit_goes_on_after_a_lost_group(inspector: Database) -> None:
    def fails(conn: Connection) -> None:
        note(conn, record(Event.MESSAGE_HELD, object="lost"))
        raise sqlite3.OperationalError if inspector.dialect == "sqlite" else psycopg.OperationalError

    with pytest.raises(StoreDown):
        await inspector.write(fails)
    await inspector.write(lambda conn: note(conn, record(Event.MESSAGE_HELD, object="kept")))
    from gateway import audit

    leaves = await inspector.read(lambda conn: audit.read(conn))
    assert "lost" not in str(leaves)
    assert "kept" in str(leaves)


def test_migrated_tables_are_those_of_the_schema(store_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext

    engine = create_engine(store_url)
    with engine.connect() as conn:
        assert compare_metadata(MigrationContext.configure(conn), schema.metadata) == []
    engine.dispose()
    assert store.current(store_url) == schema.REVISION
    store.upgrade(store_url)


def test_claims_go_over_partial_indexes(sqlite_url: str) -> None:
    from gateway.states import Spooled
    from gateway.store.claiming import Claims

    sql, fixed = Claims(schema.spool, Spooled.WAITING, Spooled.WORKING, ["id"])._take._compile("sqlite")
    conn = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))
    plan = str(
        conn.execute(
            "EXPLAIN QUERY PLAN " + sql, {**fixed, "now": 1, "late": 2, "until": 3, "most": 4, "window": 5}
        ).fetchall()
    )
    for index in ("ix_spool_active", "ix_spool_lane", "ix_spool_working"):
        assert index in plan, plan
    conn.close()

"""Connections, and what must be true of each: settings are made, then read back; what differs is `Unsafe`.

Rules:
1. SQLite: write-ahead log with FULL synchronisation: an fsync at every commit (NORMAL loses acknowledged mail when the
   power fails). Deleted content is overwritten; nothing is written to temporary files.
2. PostgreSQL: fsync, synchronous_commit and full_page_writes must be on. The session takes the role's rights at once,
   whoever logged in.
3. No parameter and no row content ever gets into an error's text: `mapped` makes a driver's error one of ours.
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool

from gateway import limits
from gateway.errors import StoreDown, StoreError, StoreFull, Unsafe

PRAGMAS: Final[dict[str, tuple[str, object]]] = {
    "journal_mode": ("WAL", "wal"),
    "synchronous": ("FULL", 2),
    "secure_delete": ("ON", 1),
    "foreign_keys": ("ON", 1),
    "trusted_schema": ("OFF", 0),
    "temp_store": ("MEMORY", 2),
    "cell_size_check": ("ON", 1),
}
"""What each is set to, and what it must read afterwards."""

_BUSY: Final = str(int(limits.STORE_WAIT_SECONDS * 1000))

DURABLE: Final = {
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_apply"},
}

_PLANS_OFF: Final = ("seqscan", "bitmapscan", "material", "hashjoin", "mergejoin", "sort")
"""A writer's statements all go by an index, for a few rows. A table that was empty a minute ago has statistics that
say so, and by them the planner took 3.8 s for a claim of 20 among 3,000, against 0.7 ms by the indexes."""


def role_name(role: str) -> str:
    """The group role on PostgreSQL."""
    return f"vestibule_{role}"


def make(url: str, *, role: str | None, reader: bool) -> Engine:
    """An engine for one writer (no pool: the writer keeps its connection) or for a few readers. `role` None: the
    owner's rights. Raises Unsafe for a URL of another kind."""
    try:
        kind = make_url(url).get_backend_name()
    except (SQLAlchemyError, ValueError):
        raise Unsafe("the store's URL can't be read") from None
    pool: dict[str, Any] = (
        {"pool_size": limits.READERS, "max_overflow": 0, "pool_timeout": limits.STORE_WAIT_SECONDS}
        if reader
        else {"poolclass": NullPool}
    )
    if kind == "sqlite":
        return _sqlite(url, pool, reader=reader)
    if kind == "postgresql":
        return _postgres(url, pool, role=role, reader=reader)
    raise Unsafe("the store is SQLite or PostgreSQL")


def _sqlite(url: str, pool: dict[str, Any], *, reader: bool) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": limits.STORE_WAIT_SECONDS, "check_same_thread": False, "cached_statements": 256},
        **pool,
    )

    @event.listens_for(engine, "connect")
    def settle(connection: sqlite3.Connection, _: object) -> None:
        connection.isolation_level = None
        wanted = PRAGMAS | {"busy_timeout": (_BUSY, _BUSY)}
        if reader:
            wanted |= {"query_only": ("ON", 1)}
        for name, (setting, expected) in wanted.items():
            connection.execute(f"PRAGMA {name}={setting}")
            (found,) = connection.execute(f"PRAGMA {name}").fetchone()
            if str(found) != str(expected):
                raise Unsafe(f"SQLite's {name} is {found}, not {expected}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN" if reader else "BEGIN IMMEDIATE")

    return engine


def _postgres(url: str, pool: dict[str, Any], *, role: str | None, reader: bool) -> Engine:
    engine = create_engine(
        url,
        hide_parameters=True,
        isolation_level="REPEATABLE READ" if reader else "READ COMMITTED",
        connect_args={"connect_timeout": int(limits.STORE_WAIT_SECONDS)},
        **pool,
    )
    if reader:
        engine = engine.execution_options(postgresql_readonly=True)

    @event.listens_for(engine, "connect")
    def settle(connection: Any, _: object) -> None:
        with connection.cursor() as cursor:
            if role is not None:
                cursor.execute(
                    "SELECT pg_has_role(session_user, oid, 'MEMBER') FROM pg_roles WHERE rolname = %s",
                    (role_name(role),),
                )
                if cursor.fetchone() != (True,):
                    raise Unsafe(f"the database user isn't a member of {role_name(role)}")
                cursor.execute(f"SET ROLE {role_name(role)}")
            for name, seconds in (
                ("statement_timeout", limits.STATEMENT_SECONDS),
                ("lock_timeout", limits.STORE_WAIT_SECONDS),
                ("idle_in_transaction_session_timeout", limits.IDLE_TRANSACTION_SECONDS),
            ):
                cursor.execute(f"SET {name} = {int(seconds * 1000)}")
            if role is not None and not reader:
                for way in _PLANS_OFF:
                    cursor.execute(f"SET enable_{way} = off")
            for name, allowed in DURABLE.items():
                cursor.execute(f"SHOW {name}")
                row = cursor.fetchone()
                if row is None or row[0] not in allowed:
                    raise Unsafe(f"PostgreSQL's {name} is {row[0] if row else 'unknown'}")
        connection.commit()

    return engine


def mapped(error: BaseException) -> StoreError | None:
    """One of our errors for a driver's; None for anything else. Never carries the driver's text."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, DBAPIError):
        error = error.orig if error.orig is not None else error
    if isinstance(error, sqlite3.Error):
        return _mapped_sqlite(error)
    if isinstance(error, psycopg.Error):
        return _mapped_postgres(error)
    if isinstance(error, PoolTimeout):
        return StoreDown()
    return None


def failed_disk(error: BaseException) -> bool:
    """Whether the disk failed a read, a write or an fsync: what the kernel has dropped can't be told any more."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    if isinstance(error, sqlite3.Error):
        return _primary(error) == sqlite3.SQLITE_IOERR
    return isinstance(error, psycopg.Error) and error.sqlstate == "58030"


def collided(error: BaseException) -> bool:
    """A deadlock or a serialization failure: alone, the same job will do."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return isinstance(error, psycopg.Error) and error.sqlstate in ("40001", "40P01")


def _primary(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _mapped_sqlite(error: sqlite3.Error) -> StoreError:
    code = _primary(error)
    if code == sqlite3.SQLITE_FULL:
        return StoreFull()
    if code in (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE):
        return StoreError(f"sqlite {code}")
    return StoreDown()


def _mapped_postgres(error: psycopg.Error) -> StoreError:
    state = error.sqlstate or ""
    if state == "53100":
        return StoreFull()
    if not state or state[:2] in ("08", "40", "53", "55", "57", "58"):
        return StoreDown()
    return StoreError(f"sqlstate {state}")

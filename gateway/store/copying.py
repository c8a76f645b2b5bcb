"""The whole store as one file, and back: the same form whatever the database, so that a backup can change it.

    file = frames; frame = length (4 bytes) | MessagePack of (table, columns, rows)

Rules:
1. Copied in one transaction that sees one moment (SQLite: a read transaction; PostgreSQL: REPEATABLE READ).
2. What is sealed stays sealed: the file says no more than the database does.
3. Loading takes an empty store and fails whole: nothing is merged.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec
from sqlalchemy import Connection, Table, func, select, text

from gateway.errors import StoreError
from gateway.store import engines, migrating, schema

ROWS: Final = 200
FRAME_BYTES: Final = 1_073_741_824


class NotEmpty(StoreError):
    """The store to load into holds something already."""


class NotACopy(StoreError):
    """The file isn't a copy of a store of this version."""


def copy_out(url: str, file: Path) -> int:
    """Writes the store into `file`, which must not exist; how many rows. Raises StoreError, OSError."""
    engine = engines.make(url, role=None, reader=False)
    written = 0
    try:
        with (
            engine.connect() as conn,
            os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out,
        ):
            if conn.dialect.name == "postgresql":
                conn = conn.execution_options(isolation_level="REPEATABLE READ")
            with conn.begin():
                _frame(out, ("", [schema.REVISION], []))
                for table in schema.metadata.sorted_tables:
                    names = [str(column.name) for column in table.columns]
                    for rows in _pages(conn, table):
                        _frame(out, (str(table.name), names, rows))
                        written += len(rows)
            out.flush()
            os.fsync(out.fileno())
    finally:
        engine.dispose()
    return written


def load_in(url: str, file: Path) -> int:
    """Makes the tables and fills them from `file`; how many rows. Raises NotEmpty, NotACopy, StoreError, OSError."""
    migrating.upgrade(url)
    engine = engines.make(url, role=None, reader=False)
    try:
        with engine.begin() as conn, file.open("rb") as source:
            _only_fresh(conn)
            written = 0
            frames = _frames(source)
            if next(frames, None) != ["", [schema.REVISION], []]:
                raise NotACopy
            for name, columns, rows in frames:
                table = schema.metadata.tables.get(name)
                if table is None or not set(columns) <= set(table.columns.keys()):
                    raise NotACopy
                _insert(conn, table, columns, rows)
                written += len(rows)
            _sequences(conn)
            # transaction ids are another server's; what was committed there is older than anything here
            conn.execute(schema.feed.update().values(xid=0))
            return written
    finally:
        engine.dispose()


def snapshot(url: str, folder: Path) -> Path:
    """A copy in `folder`, for a backup to take in and delete."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "store.copy"
    file.unlink(missing_ok=True)
    copy_out(url, file)
    return file


def _pages(conn: Connection, table: Table) -> Iterator[list[list[Any]]]:
    result = conn.execution_options(yield_per=ROWS).execute(select(table).order_by(*table.primary_key.columns))
    for page in result.partitions(ROWS):
        yield [[bytes(value) if isinstance(value, memoryview) else value for value in row] for row in page]


def _frame(out: BinaryIO, value: object) -> None:
    data = msgspec.msgpack.encode(value)
    out.write(struct.pack(">I", len(data)) + data)


def _frames(source: BinaryIO) -> Iterator[list[Any]]:
    while head := source.read(4):
        size = struct.unpack(">I", head)[0] if len(head) == 4 else FRAME_BYTES
        data = source.read(size) if size < FRAME_BYTES else b""
        if len(data) != size:
            raise NotACopy
        try:
            found = msgspec.msgpack.decode(data, type=tuple[str, list[str], list[list[Any]]])
        except msgspec.MsgspecError:
            raise NotACopy from None
        yield list(found)


def _only_fresh(conn: Connection) -> None:
    """An upgrade leaves its own record in the audit; that one gives way."""
    for table in schema.metadata.sorted_tables:
        count = conn.execute(select(func.count()).select_from(table)).scalar_one()
        if count and not table.name.startswith("audit"):
            raise NotEmpty
    for table in reversed(schema.metadata.sorted_tables):
        if table.name.startswith("audit"):
            conn.execute(table.delete())


def _insert(conn: Connection, table: Table, columns: list[str], rows: list[list[Any]]) -> None:
    names = ", ".join(f'"{name}"' for name in columns)
    values = ", ".join(f":{name}" for name in columns)
    overriding = " OVERRIDING SYSTEM VALUE" if conn.dialect.name == "postgresql" else ""
    statement = text(f'INSERT INTO "{table.name}" ({names}){overriding} VALUES ({values})')  # noqa: S608 - our names
    conn.execute(statement, [dict(zip(columns, row, strict=True)) for row in rows])


def _sequences(conn: Connection) -> None:
    if conn.dialect.name != "postgresql":
        return
    for table in schema.metadata.sorted_tables:
        for column in table.columns:
            if column.identity is not None:
                highest = conn.execute(select(func.max(column))).scalar()
                if highest is not None:
                    conn.execute(
                        text("SELECT setval(pg_get_serial_sequence(:table, :column), :highest)"),
                        {"table": table.name, "column": column.name, "highest": highest},
                    )

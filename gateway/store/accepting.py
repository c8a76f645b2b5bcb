"""Accepting: rows into the spool. The edge's part, and the one that every sender waits for.

Rules: rows that come at the same time share statements and a commit; a dedupe key that is there already answers with
the first row's id; the edge reads nothing back but dedupe keys.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ARRAY, BigInteger, Connection, LargeBinary, String, bindparam, cast, func, insert, select
from sqlalchemy.dialects import postgresql

from gateway import limits
from gateway.audit import Event, Record, note, record
from gateway.errors import StoreError, StoreFull
from gateway.ids import micros
from gateway.killpoints import Point
from gateway.rules import Code
from gateway.states import Spooled
from gateway.store import schema
from gateway.store.claiming import SECOND
from gateway.store.database import Database, Role
from gateway.store.statements import Prepared, adding
from keys.box import KeyId
from keys.box import parse as parse_box


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSpoolRow:
    """`id` is the ULID that the box is bound to and that the sender is told. `received_at` in microseconds.
    `body_key` and `sender_key` (keyed hashes, or b"") feed `rates.Bodies`. `findings`: codes that did not stop it."""

    id: str
    channel: str
    lane: bytes
    dedupe_key: bytes
    box: bytes
    received_at: int
    body_key: bytes = b""
    sender_key: bytes = b""
    findings: tuple[Code, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """`id` is the row's, or, `repeated`, that of the row which had the same dedupe key before."""

    id: str
    repeated: bool


async def put(db: Database, row: NewSpoolRow) -> Put:
    """Rows handed in at the same time share one commit. Wakes the inspector. Raises StoreDown (also when more than
    limits.INTAKE_WAITING rows wait), StoreFull, keys.errors.BadData (not a box)."""
    key = parse_box(row.box).key
    if not db.has_space():
        raise StoreFull
    done = await db.together(_put_all, _New(row, key, micros(db.clock.now())), points=_INTAKE)
    if not done.repeated:
        db.notify(Role.INSPECTOR)
    return done


_INTAKE: Final = (Point.INTAKE_BEFORE_COMMIT, Point.INTAKE_AFTER_COMMIT)
_EVER: Final = int(limits.DEDUPE_SECONDS * SECOND)
_KEY: Final = adding(schema.dedupe, ["key", "spool_id", "expires_at"], unless=["key"], returning=["key"])
_KEYS: Final = Prepared(
    postgresql.insert(schema.dedupe)
    .from_select(
        ["key", "spool_id", "expires_at"],
        select(
            func.unnest(bindparam("keys", type_=ARRAY(LargeBinary))),
            func.unnest(bindparam("names", type_=ARRAY(String))),
            cast(bindparam("until"), BigInteger),
        ),
    )
    .on_conflict_do_nothing(index_elements=["key"])
    .returning(schema.dedupe.c.key)
)
"""All keys of a batch in one statement: each statement is a journey there."""
_FIRST: Final = Prepared(select(schema.dedupe.c.spool_id).where(schema.dedupe.c.key == bindparam("wanted")))
_BODY: Final = adding(schema.bodies, ["body", "sender", "expires_at"], unless=["body", "sender"])
_ROW: Final = Prepared(
    insert(schema.spool).inline(), ["id", "lane", "state", "due_at", "channel", "key_id", "received_at", "box"]
)


@dataclass(frozen=True, slots=True)
class _New:
    row: NewSpoolRow
    key: KeyId
    now: int


def _put_all(conn: Connection, items: Sequence[_New]) -> list[Put]:
    fresh = _new_keys(conn, items)
    results: list[Put] = []
    rows: list[_New] = []
    for item in items:
        row = item.row
        if (row.dedupe_key, row.id) in fresh:
            rows.append(item)
            results.append(Put(id=row.id, repeated=False))
            continue
        first = _FIRST.row(conn, wanted=row.dedupe_key)
        if first is None:
            raise StoreError("a dedupe key went while it was asked for")
        results.append(Put(id=str(first[0]), repeated=True))
        note(conn, record(Event.MESSAGE_REPEATED, object=str(first[0]), channel=row.channel))
    _ROW.many(conn, [_values(item) for item in rows])
    bodies = [item for item in rows if item.row.body_key]
    if bodies:
        _BODY.many(
            conn,
            [
                {"body": item.row.body_key, "sender": item.row.sender_key, "expires_at": item.now + _EVER}
                for item in bodies
            ],
        )
    note(conn, *(_accepted(item.row) for item in rows))
    return results


def _new_keys(conn: Connection, items: Sequence[_New]) -> set[tuple[bytes, str]]:
    """Which of them have a dedupe key that was not there, by key and id. In the order of the keys, so that two edges
    with the same two messages can't wait for each other."""
    by_key: dict[bytes, _New] = {}
    for item in items:
        by_key.setdefault(item.row.dedupe_key, item)
    wanted = sorted(by_key)
    if conn.dialect.name == "postgresql":
        names = [by_key[key].row.id for key in wanted]
        found = _KEYS.rows(conn, keys=wanted, names=names, until=items[0].now + _EVER)
        added = [bytes(row[0]) for row in found]
    else:
        added = [
            key
            for key in wanted
            if _KEY.rows(conn, key=key, spool_id=by_key[key].row.id, expires_at=items[0].now + _EVER)
        ]
    return {(key, by_key[key].row.id) for key in added}


def _values(item: _New) -> dict[str, Any]:
    row = item.row
    return {
        "id": row.id,
        "lane": row.lane,
        "state": Spooled.WAITING.value,
        "due_at": 0,
        "channel": row.channel,
        "key_id": item.key,
        "received_at": row.received_at,
        "box": row.box,
    }


def _accepted(row: NewSpoolRow) -> Record:
    return record(
        Event.MESSAGE_ACCEPTED,
        object=row.id,
        channel=row.channel,
        octets=len(row.box),
        codes=row.findings,
        received=row.received_at,
    )

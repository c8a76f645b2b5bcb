"""Held messages as they are listed: for the inspector with what a notice needs, for the desk without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from sqlalchemy import Connection, select

from gateway.rules import Decision
from gateway.store import schema
from gateway.store.paging import cut, parse
from keys.box import KeyId

_HELD: Final = schema.held
_PLACES: Final = [column for column in _HELD.c if column.name != "for_inspector"]
"""What the desk may read, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """`for_desk` and `for_inspector` are what `hold` was given. `box` is filled in by `Spool.expire` alone."""

    id: str
    channel: str
    mailbox: str
    queue: str
    received_at: int
    held_at: int
    expires_at: int
    attempts: int
    octets: int
    refused: bool
    decision: Decision
    for_desk: bytes | None = field(repr=False)
    for_inspector: bytes | None = field(repr=False)
    box: bytes = field(default=b"", repr=False)


def key_ids(conn: Connection, table: Any, *conditions: Any) -> frozenset[KeyId]:
    """The box keys that rows of the table bear (those that meet the conditions)."""
    question = select(table.c.key_id).where(table.c.box.is_not(None), *conditions).distinct()
    rows = conn.execute(question).scalars()
    return frozenset(KeyId(key) for key in rows)


def held_page(
    conn: Connection, cursor: str, limit: int, *, queues: Sequence[str] | None = None, with_inspector: bool = False
) -> tuple[list[HeldRow], str]:
    """Oldest first. Raises ValueError."""
    question = select(*(_HELD.c if with_inspector else _PLACES)).order_by(_HELD.c.held_at, _HELD.c.id)
    after = parse(cursor)
    if after is not None:
        at, id = after
        question = question.where((_HELD.c.held_at > at) | ((_HELD.c.held_at == at) & (_HELD.c.id > id)))
    if queues is not None:
        question = question.where(_HELD.c.queue.in_(["", *queues]))
    rows = [held_row(row) for row in conn.execute(question.limit(limit + 1)).all()]
    return cut(rows, limit, lambda row: (row.held_at, row.id))


def find_held(conn: Connection, id: str) -> HeldRow | None:
    """Without what is for the inspector."""
    row = conn.execute(select(*_PLACES).where(_HELD.c.id == id)).first()
    return None if row is None else held_row(row)


def held_row(row: Any, box: bytes = b"") -> HeldRow:
    return HeldRow(
        id=row.id,
        channel=row.channel,
        mailbox=row.mailbox,
        queue=row.queue,
        received_at=row.received_at,
        held_at=row.held_at,
        expires_at=row.expires_at,
        attempts=row.attempts,
        octets=row.octets,
        refused=row.refused,
        decision=msgspec.msgpack.decode(row.decision, type=Decision),
        for_desk=row.for_desk,
        for_inspector=getattr(row, "for_inspector", None),
        box=box,
    )

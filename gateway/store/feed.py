"""The feed: what changed, written in the transaction of the change. Ids and kinds, nothing else.

Readers ask for entries after a cursor (transaction, position). On PostgreSQL only entries of transactions older than
any that still runs are handed out, in the order of their transactions: nothing can appear behind a cursor. SQLite has
one writer, so that positions appear in order anyway.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final

from sqlalchemy import BigInteger, Connection, Text, bindparam, cast, func, insert, literal_column

from gateway.store import schema
from gateway.store.statements import Prepared


class Kind(StrEnum):
    """What changed."""

    MESSAGE = "message"
    CONVERSATION = "conversation"
    HELD = "held"
    HELD_GONE = "held-gone"
    REPLY = "reply"
    DELIVERY = "delivery"
    REQUEST = "request"
    CONTACT = "contact"


_COLUMNS: Final = ["kind", "conversation_id", "object_id", "queue", "epoch", "at"]


_VALUES: Final[dict[str, Any]] = {name: bindparam(f"the_{name}") for name in _COLUMNS}
_ADD: Final = Prepared(
    {
        "sqlite": insert(schema.feed).inline().values(xid=literal_column("0"), **_VALUES),
        "postgresql": insert(schema.feed)
        .inline()
        .values(xid=cast(cast(func.pg_current_xact_id(), Text), BigInteger), **_VALUES),
    }
)


def put_feed(
    conn: Connection,
    kind: Kind,
    at: int,
    *,
    conversation: str | None = None,
    object: str | None = None,
    queue: str = "",
    epoch: int = 0,
) -> None:
    """Inside a write job. `at` in microseconds."""
    _ADD.run(
        conn,
        the_kind=kind.value,
        the_conversation_id=conversation,
        the_object_id=object,
        the_queue=queue,
        the_epoch=epoch,
        the_at=at,
    )

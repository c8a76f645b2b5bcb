"""Rows, boxes and keys for the store's tests."""

from __future__ import annotations

import itertools
import os
from datetime import UTC, datetime

from gateway.ids import FixedClock, Ulids, micros
from gateway.store.spool import NewSpoolRow
from keys.box import Binding, BoxPublicKey, Purpose, SigningKey, seal
from keys.secret import Secret
from keys.unbox import BoxPrivateKey

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
EDGE = SigningKey(Secret(b"e" * 32))
SPOOL_KEY = BoxPrivateKey(Secret(bytes(range(96))))
SPOOL_PUBLIC: BoxPublicKey = SPOOL_KEY.public()
_numbers = itertools.count(1)


def box(row: str, payload: bytes = b"sealed", *, purpose: Purpose = Purpose.SPOOL, channel: str = "email") -> bytes:
    return seal(Secret(payload), to=SPOOL_PUBLIC, by=EDGE, binding=Binding(purpose=purpose, row=row, channel=channel))


def new_row(clock: FixedClock, *, lane: bytes = b"", key: bytes = b"", payload: bytes = b"sealed") -> NewSpoolRow:
    """A row for the spool. Without a lane or key, one of its own."""
    id = Ulids(clock).new()
    return NewSpoolRow(
        id=id,
        channel="email",
        lane=lane or os.urandom(32),
        dedupe_key=key or os.urandom(32),
        box=box(id, payload),
        received_at=micros(clock.now()) + next(_numbers),
    )

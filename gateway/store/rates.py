"""How much came of late, and which bodies came from whom. Keyed hashes only.

Rules: counts of messages are kept in memory and merged into the store every second, so that no message costs a commit;
a crash loses a second of counts and no message. Sign-in attempts are counted in the store at once.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite

from channels.contract import Pace
from gateway import limits
from gateway.errors import StoreError
from gateway.ids import Clock, micros
from gateway.store import schema
from gateway.store.claiming import SECOND
from gateway.store.database import Database
from gateway.store.statements import Prepared, Value
from keys.secret import Secret

_RATES: Final = schema.rates
_BODIES: Final = schema.bodies
_SLOTS: Final = 12
"""A running window is counted in so many slots."""
_FORGET_SECONDS: Final = 120.0
_MOST_KEYS: Final = 100_000


def _counting() -> Prepared:
    statements = {}
    for name, kind in (("sqlite", sqlite), ("postgresql", postgresql)):
        statement = kind.insert(_RATES).inline()
        statements[name] = statement.on_conflict_do_update(
            index_elements=["key", "slot"], set_={"count": _RATES.c.count + statement.excluded.count}
        )
    return Prepared(statements, ["key", "slot", "count"])


_COUNT: Final = _counting()
_SUM: Final = Prepared(
    select(func.coalesce(func.sum(_RATES.c.count), 0)).where(
        _RATES.c.key == bindparam("which"), _RATES.c.slot > bindparam("since"), _RATES.c.slot <= bindparam("until")
    )
)


def _slot(clock: Clock, seconds: int) -> int:
    """The second at which the slot of this moment begins."""
    now = micros(clock.now()) // SECOND
    return now - now % seconds


def count_in(conn: Connection, key: bytes, clock: Clock, *, most: int, seconds: int) -> bool:
    """Inside a write job: counts one in under `key` (a keyed hash), unless there were `most` in the last `seconds`."""
    slot = _slot(clock, max(1, seconds // _SLOTS))
    _COUNT.run(conn, key=key, slot=slot, count=1)  # first, so that whoever counts at the same time waits here
    if counted(conn, key, clock, seconds=seconds) <= most:
        return True
    _COUNT.run(conn, key=key, slot=slot, count=-1)
    return False


def counted(conn: Connection, key: bytes, clock: Clock, *, seconds: int) -> int:
    """How many were counted in under `key` in the last `seconds`."""
    slot = _slot(clock, max(1, seconds // _SLOTS))
    row = _SUM.row(conn, which=key, since=slot - seconds, until=slot)
    return int(row[0]) if row is not None else 0


@dataclass(slots=True)
class _Tally:
    """One key: what the store had at the last merge, and what came since by slot."""

    stored: int = 0
    fresh: dict[int, int] = field(default_factory=dict)
    touched: float = 0.0


class Rates:
    """`channels.contract.Paces` over a running window."""

    def __init__(self, db: Database, *, key: Secret[bytes], clock: Clock, window_seconds: int = 3600) -> None:
        """`key`: 32 bytes; peers and senders are stored as HMACs under it."""
        self._db, self._clock, self._window = db, clock, window_seconds
        self._key = hmac.digest(key.reveal(), b"vestibule rates 1", "sha256")
        self._slot_seconds = max(1, window_seconds // _SLOTS)
        self._tallies: dict[bytes, _Tally] = {}

    async def note(self, *, peer: str, sender: str) -> Pace:
        """Counts this one in. Other edges' counts are known up to a second late."""
        return Pace(
            by_peer=self._count(b"peer", peer), by_sender=self._count(b"sender", sender), window_seconds=self._window
        )

    async def run(self) -> None:
        """Merges with the store every second, until cancelled (then once more). A store that is away is no reason to
        stop: counts go on in memory."""
        try:
            while True:
                await asyncio.sleep(limits.RATE_FLUSH_SECONDS)
                await self._try_merge()
        finally:
            await self._try_merge()

    async def merge(self) -> None:
        """Raises StoreDown, StoreFull; nothing is lost then."""
        now = self._clock.monotonic()
        for key in [key for key, tally in self._tallies.items() if now - tally.touched > _FORGET_SECONDS]:
            if not self._tallies[key].fresh:
                del self._tallies[key]
        added = {key: dict(tally.fresh) for key, tally in self._tallies.items() if tally.fresh}
        if not added:
            return
        rows: list[dict[str, Value]] = [
            {"key": key, "slot": slot, "count": count}
            for key, slots in sorted(added.items())
            for slot, count in sorted(slots.items())
        ]
        slot = self._slot()

        def job(conn: Connection) -> dict[bytes, int]:
            _COUNT.many(conn, rows)
            return {key: self._sum(conn, key, slot) for key in added}

        sums = await self._db.write(job)
        for key, total in sums.items():
            tally = self._tallies[key]
            tally.stored = total
            for one, count in added[key].items():
                tally.fresh[one] -= count
                if not tally.fresh[one]:
                    del tally.fresh[one]

    async def _try_merge(self) -> None:
        try:
            await self.merge()
        except StoreError:
            return

    def _count(self, kind: bytes, name: str) -> int:
        key = hmac.digest(self._key, kind + b"\x00" + name.lower().encode("utf-8", "surrogateescape"), "sha256")
        tally = self._tallies.get(key)
        if tally is None:
            if len(self._tallies) >= _MOST_KEYS:
                return 1
            tally = self._tallies[key] = _Tally()
        slot = self._slot()
        tally.fresh[slot] = tally.fresh.get(slot, 0) + 1
        tally.touched = self._clock.monotonic()
        return tally.stored + sum(tally.fresh.values())

    def _slot(self) -> int:
        return _slot(self._clock, self._slot_seconds)

    def _sum(self, conn: Connection, key: bytes, slot: int) -> int:
        return int(_SUM.rows(conn, which=key, since=slot - _SLOTS * self._slot_seconds, until=slot)[0][0])


class Bodies:
    """`channels.contract.Seen`. Bodies are noted by `spool.put` with the row."""

    def __init__(self, db: Database, *, key: Secret[bytes]) -> None:
        self._db = db
        self._key = hmac.digest(key.reveal(), b"vestibule bodies 1", "sha256")
        self._waiting: list[tuple[bytes, bytes, asyncio.Future[int]]] = []
        self._asking: asyncio.Task[None] | None = None

    def sender_key(self, sender: str) -> bytes:
        """For `NewSpoolRow.sender_key`."""
        return hmac.digest(self._key, sender.lower().encode("utf-8", "surrogateescape"), "sha256")

    async def elsewhere(self, *, body_key: bytes, sender: str) -> int:
        """How many other senders this body came from; questions asked at the same time share one query.
        Raises StoreDown."""
        if not body_key:
            return 0
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((body_key, self.sender_key(sender), answer))
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        while self._waiting:
            asked, self._waiting = self._waiting, []
            try:
                counts = await self._db.read(lambda conn, asked=asked: _elsewhere(conn, asked))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - whoever asked hears it
                for _, _, answer in asked:
                    if not answer.done():
                        answer.set_exception(error)
                continue
            for (_, _, answer), count in zip(asked, counts, strict=True):
                if not answer.done():
                    answer.set_result(count)


def _elsewhere(conn: Connection, asked: Sequence[tuple[bytes, bytes, asyncio.Future[int]]]) -> list[int]:
    bodies = list({body for body, _, _ in asked})
    totals: dict[bytes, int] = {}
    own: set[tuple[bytes, bytes]] = set()
    for start in range(0, len(bodies), 500):
        some = bodies[start : start + 500]
        question = select(_BODIES.c.body, func.count()).where(_BODIES.c.body.in_(some)).group_by(_BODIES.c.body)
        totals |= {bytes(body): int(count) for body, count in conn.execute(question)}
    for body, sender, _ in asked:
        if totals.get(body) and (body, sender) not in own:
            mine = select(_BODIES.c.body).where(_BODIES.c.body == body, _BODIES.c.sender == sender)
            if conn.execute(mine).first() is not None:
                own.add((body, sender))
    return [totals.get(body, 0) - ((body, sender) in own) for body, sender, _ in asked]


class Attempts:
    """Counts in the store at once: for sign-in attempts, where each counts."""

    def __init__(self, db: Database, *, clock: Clock, window_seconds: int) -> None:
        self._db, self._clock = db, clock
        self._slot_seconds = max(1, window_seconds // _SLOTS)

    async def count(self, key: bytes) -> int:
        """Counts this one and returns how many there were in the window, this one included. `key`: 32 bytes."""
        slot, since = _slot(self._clock, self._slot_seconds), _SLOTS * self._slot_seconds

        def job(conn: Connection) -> int:
            _COUNT.run(conn, key=key, slot=slot, count=1)
            return int(_SUM.rows(conn, which=key, since=slot - since, until=slot)[0][0])

        return await self._db.write(job)

    async def clear(self, key: bytes) -> None:
        await self._db.write(lambda conn: conn.execute(delete(_RATES).where(_RATES.c.key == key)) and None)

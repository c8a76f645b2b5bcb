"""The spool: what has been acknowledged and not yet queued. Boxes only; nobody reads them here.

    put ──► waiting ──claim──► working ──► (queue.put deletes the row in its own transaction)
               ▲ ▲                │ retry
               │ └────────────────┤
               └── release ── held ◄ hold

Rules:
1. `put` returns after the commit. One dedupe key, one row; a repeat gets the first row's id.
2. Claims are serial within a lane, in the order of acknowledgement; a held row doesn't block those behind it.
3. Attempts are counted before the work starts: a claim with `attempts > limits.ATTEMPTS` is to be held, not worked on.
4. What is done with a claim is fenced: it raises `Fenced` when the lease has gone to somebody else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec
from sqlalchemy import Connection, delete, func, insert, select, update

from gateway import limits
from gateway.audit import Event, note, record
from gateway.ids import Clock, micros
from gateway.killpoints import Point
from gateway.rules import Action, Code, Decision
from gateway.states import Spooled
from gateway.store import schema
from gateway.store.accepting import NewSpoolRow as NewSpoolRow
from gateway.store.accepting import Put as Put
from gateway.store.accepting import put as put
from gateway.store.claiming import SECOND, Claims, nothing
from gateway.store.database import Database, Role
from gateway.store.feed import Kind, put_feed
from gateway.store.held import HeldRow as HeldRow
from gateway.store.held import held_page, held_row, key_ids
from gateway.store.notices import NoticeKind, put_notice
from keys.box import KeyId
from keys.box import parse as parse_box


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A leased row. `lease_until` in microseconds; `waived` are findings that a reviewer let pass."""

    id: str
    channel: str
    lane: bytes
    box: bytes = field(repr=False)
    attempts: int
    fence: int
    lease_until: int
    waived: frozenset[Code]
    received_at: int


_HELD: Final = schema.held
_SPOOL: Final = schema.spool


class Spool:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def claim(self, limit: int, lease_seconds: float) -> list[Claim]:
        """At most one per lane; attempts and fence already counted up and committed."""
        rows = await self._db.write(
            lambda conn: CLAIMS.take(conn, self._clock, limit, lease_seconds),
            points=(Point.CLAIM_BEFORE_COMMIT, Point.CLAIMED),
        )
        return [
            Claim(
                id=row[1],
                channel=row[2],
                lane=row[3],
                attempts=row[4],
                fence=row[5],
                lease_until=row[6],
                waived=_codes(row[7]),
                received_at=row[8],
                box=row[9],
            )
            for row in rows
        ]

    async def hold(
        self,
        claim: Claim,
        decision: Decision,
        box: bytes | None,
        *,
        expires_at: int,
        mailbox: str = "",
        queue: str = "",
        for_desk: bytes | None = None,
        for_inspector: bytes | None = None,
        notice: bool = False,
    ) -> None:
        """Stops it for a reviewer. `box` replaces the row's box (sealed to its own key), None keeps it. `for_desk` and
        `for_inspector` are sealed by the caller: what a reviewer may see; what a notice will need (the address).
        With `notice` the customer will be told (kind "held", or "refused" when the decision was REJECT).
        Raises Fenced."""
        now = micros(self._clock.now())
        refused = decision.action is Action.REJECT
        kept = claim.box if box is None else box
        key = parse_box(kept).key

        def job(conn: Connection) -> None:
            CLAIMS.move(conn, claim.id, claim.fence, Spooled.HELD, box=kept, key_id=key)
            conn.execute(
                insert(_HELD).values(
                    id=claim.id,
                    channel=claim.channel,
                    mailbox=mailbox,
                    queue=queue,
                    received_at=claim.received_at,
                    held_at=now,
                    expires_at=expires_at,
                    attempts=claim.attempts,
                    octets=len(kept),
                    refused=refused,
                    decision=msgspec.msgpack.encode(decision),
                    for_desk=for_desk,
                    for_inspector=for_inspector,
                )
            )
            if notice:
                kind = NoticeKind.REFUSED if refused else NoticeKind.HELD
                put_notice(conn, kind, now, reason_id=claim.id, spool_id=claim.id, for_inspector=for_inspector)
            put_feed(conn, Kind.HELD, now, object=claim.id, queue=queue)
            note(
                conn,
                record(
                    Event.MESSAGE_HELD,
                    object=claim.id,
                    action=decision.action.name.lower(),
                    codes=tuple(finding.rule.code for finding in decision.findings),
                    attempt=claim.attempts,
                    until=expires_at,
                ),
            )

        await self._db.write(job, points=(Point.HOLD_BEFORE_COMMIT, Point.HOLD_AFTER_COMMIT))
        self._db.notify(Role.DESK)

    async def retry(self, claim: Claim, delay: float, *, counted: bool = True) -> None:
        """Back to waiting, claimable after `delay` seconds. `counted=False` takes the attempt back: we were stopped,
        the message isn't to blame. Raises Fenced."""
        attempts = claim.attempts if counted else claim.attempts - 1
        due = micros(self._clock.now()) + int(delay * SECOND)

        def job(conn: Connection) -> None:
            CLAIMS.move(conn, claim.id, claim.fence, Spooled.WAITING, due_at=due, attempts=attempts)
            note(conn, record(Event.MESSAGE_RETRIED, object=claim.id, attempt=claim.attempts, seconds=int(delay)))

        await self._db.write(job, points=(Point.RETRY_BEFORE_COMMIT, Point.RETRY_AFTER_COMMIT))

    async def held(self, cursor: str = "", limit: int = limits.PAGE_ROWS) -> tuple[list[HeldRow], str]:
        """Oldest first, and the cursor of the next page ("" at the end). Raises ValueError."""
        return await self._db.read(lambda conn: held_page(conn, cursor, limit, with_inspector=True))

    async def release(
        self, id: str, waived: frozenset[Code], by: str, *, ended: Callable[[Connection], None] = nothing
    ) -> bool:
        """Back to waiting, with a waiver of these findings and fresh attempts. False when it isn't held any more.
        `ended` runs in the same transaction when it was: the end of the request for it."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> bool:
            before = conn.execute(
                select(_SPOOL.c.waived).where(_SPOOL.c.id == id, _SPOOL.c.state == Spooled.HELD.value).with_for_update()
            ).scalar()
            if before is None:
                return False
            waivers = _codes(before) | waived
            conn.execute(
                update(_SPOOL)
                .where(_SPOOL.c.id == id)
                .values(state=Spooled.WAITING.value, due_at=now, attempts=0, waived=" ".join(sorted(waivers)))
            )
            _forget(conn, id, now)
            note(conn, record(Event.MESSAGE_RELEASED, object=id, person=by, codes=tuple(sorted(waived))))
            ended(conn)
            return True

        done = await self._db.write(job, points=(Point.RELEASE_BEFORE_COMMIT, Point.RELEASE_AFTER_COMMIT))
        self._db.notify(Role.INSPECTOR)
        self._db.notify(Role.DESK)
        return done

    async def reject(self, id: str, by: str, *, ended: Callable[[Connection], None] = nothing) -> bool:
        """Deletes it for good. False when it isn't held any more. `ended` as in `release`."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> bool:
            if not _delete_held(conn, id):
                return False
            _forget(conn, id, now)
            note(conn, record(Event.MESSAGE_REJECTED, object=id, person=by))
            ended(conn)
            return True

        done = await self._db.write(job, points=(Point.RELEASE_BEFORE_COMMIT, Point.RELEASE_AFTER_COMMIT))
        self._db.notify(Role.DESK)
        return done

    async def expire(self, *, notice: bool = False, limit: int = limits.PAGE_ROWS) -> list[HeldRow]:
        """Deletes what was held too long, and returns it. With `notice` the customer will be told (kind "expired"),
        but not of what was refused."""
        now = micros(self._clock.now())

        def job(conn: Connection) -> list[HeldRow]:
            question = select(_HELD).where(_HELD.c.expires_at <= now).order_by(_HELD.c.expires_at).limit(limit)
            gone: list[HeldRow] = []
            for row in conn.execute(question.with_for_update(skip_locked=True)).all():
                box = conn.execute(select(_SPOOL.c.box).where(_SPOOL.c.id == row.id)).scalar()
                if not _delete_held(conn, row.id):
                    continue
                _forget(conn, row.id, now)
                if notice and not row.refused and row.for_inspector is not None:
                    put_notice(
                        conn, NoticeKind.EXPIRED, now,
                        reason_id=row.id, spool_id=row.id, for_inspector=row.for_inspector,
                    )  # fmt: skip
                note(conn, record(Event.MESSAGE_EXPIRED, object=row.id))
                gone.append(held_row(row, box=bytes(box or b"")))
            return gone

        gone = await self._db.write(job, points=(Point.EXPIRE_BEFORE_COMMIT, Point.EXPIRE_AFTER_COMMIT))
        if gone:
            self._db.notify(Role.DESK)
        return gone

    async def key_ids_in_use(self) -> frozenset[KeyId]:
        """Box keys that some row still bears: these must not be destroyed."""
        return await self._db.read(lambda conn: key_ids(conn, _SPOOL))

    async def backlog(self) -> int:
        """Rows in the spool, held ones too; the edge may ask this."""
        return await self._db.read(lambda conn: int(conn.execute(select(func.count(_SPOOL.c.id))).scalar_one()))


CLAIMS: Final = Claims(
    schema.spool,
    Spooled.WAITING,
    Spooled.WORKING,
    ["id", "channel", "lane", "attempts", "fence", "due_at", "waived", "received_at", "box"],
)
"""Also `gateway.store.queue`'s, which deletes the row that it has queued."""


def _delete_held(conn: Connection, id: str) -> bool:
    found = conn.execute(delete(_SPOOL).where(_SPOOL.c.id == id, _SPOOL.c.state == Spooled.HELD.value))
    return found.rowcount == 1


def _forget(conn: Connection, id: str, now: int) -> None:
    """The row beside the spool row goes when the message isn't held any more."""
    queue = conn.execute(delete(_HELD).where(_HELD.c.id == id).returning(_HELD.c.queue)).scalar()
    put_feed(conn, Kind.HELD_GONE, now, object=id, queue=str(queue or ""))


def _codes(words: str) -> frozenset[Code]:
    return frozenset(Code(word) for word in words.split())

"""Housekeeping: what is due by itself, in the inspector.

    every few seconds    certificates that changed → key process; held messages past their time → gone, with a notice
    every epoch          a new spool key; old ones destroyed once no row bears them (what is finished is then shredded)
    every day            new keys for replies and requests
    now and then         one-row keys of messages that are gone; dedupe keys past their time

Rules: each piece fails by itself, is logged, and is tried again at its next turn; none stands in the way of a message.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, select

from gateway import limits
from gateway.audit import Event, Record, note, record
from gateway.certificates import Certificates
from gateway.errors import StoreError
from gateway.ids import Clock
from gateway.killpoints import Point, reach
from gateway.log import Log, LogEvent
from gateway.protections import Protections
from gateway.rules import Token
from gateway.states import Talk
from gateway.store import schema
from gateway.store.database import Database
from gateway.store.replies import Replies
from gateway.store.requests import Requests
from gateway.store.spool import Spool
from gateway.store.upkeep import upkeep
from gateway.workshop import Workshop
from keys.box import Purpose
from keys.errors import KeysError
from keys.keyring import current

_DAY: Final = 86_400.0
_HELD_KEY: Final = re.compile(r"([0-9A-Z]{26})\.key")


@dataclass(slots=True)
class _Duty:
    every: float
    act: Callable[[], Awaitable[None]]
    due: float = 0.0


class Housekeeping:
    """`keys` is the keys folder: only names are read there. `epoch_seconds`: how old a spool key gets."""

    def __init__(
        self,
        *,
        database: Database,
        spool: Spool,
        replies: Replies,
        requests: Requests,
        certificates: Certificates,
        protections: Protections,
        workshop: Workshop,
        keys: Path,
        epoch_seconds: float,
        held_seconds: float,
        notices: bool,
        clock: Clock,
        log: Log,
    ) -> None:
        self._database, self._spool, self._replies, self._requests = database, spool, replies, requests
        self._certificates, self._protections = certificates, protections
        self._workshop, self._keys = workshop, keys
        self._epoch, self._notices, self._clock, self._log = epoch_seconds, notices, clock, log
        self._ages = {Purpose.SPOOL: epoch_seconds, Purpose.REPLY: _DAY, Purpose.REQUEST: _DAY}
        self._ended: set[str] = set()
        self._noting = False
        self._duties = [
            _Duty(limits.CERTIFICATES_SECONDS, self.feed_certificates),
            _Duty(min(limits.EXPIRY_SECONDS, max(held_seconds / 4, 1.0)), self.expire_held),
            _Duty(max(epoch_seconds / 8, 0.5), self.rotate),
            _Duty(max(epoch_seconds / 4, 1.0), self.retire),
            _Duty(3_600.0, self.forget_orphans),
            _Duty(3_600.0, self.clear),
        ]

    def ended(self, row: str) -> None:
        """A held message went its way: its own key is of no more use."""
        self._ended.add(row)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.turn()
            await asyncio.sleep(1.0)

    async def turn(self) -> None:
        """Whatever is due now."""
        now = self._clock.monotonic()
        for duty in self._duties:
            if duty.due <= now:
                duty.due = now + duty.every
                await self._try(duty.act)
        if self._ended:
            await self._try(self._forget_ended)
        await self._try(self._protections.work_off)

    async def _try(self, act: Callable[[], Awaitable[None]]) -> None:
        try:
            await act()
        except (StoreError, KeysError, OSError) as error:
            self._log.fault(error, LogEvent.HOUSEKEEPING)

    async def feed_certificates(self) -> None:
        """And note anew, where a customer's certificate came, went or expired, how replies would leave."""
        self._noting = await self._certificates.refresh() or self._noting
        if self._noting:
            self._protections.all_due(await self._database.read(_open_conversations))
            self._noting = False

    async def expire_held(self) -> None:
        rows = await self._spool.expire(notice=self._notices)
        for row in rows:
            self._log.write(LogEvent.MESSAGE_EXPIRED, message=Token(row.id))
            self._ended.add(row.id)

    async def rotate(self) -> None:
        """A new key where the current one is as old as it may get, by the key's own age: restarts don't count."""
        for purpose, seconds in self._ages.items():
            _, made_at = current(self._keys, purpose)
            if (self._clock.now() - made_at).total_seconds() >= seconds:
                reach(Point.ROTATE_GENERATED)
                key = await self._workshop.with_keys(partial(self._workshop.agent.rotate, purpose))
                reach(Point.ROTATE_PUBLISHED)
                self._log.write(LogEvent.KEYS_ROTATED, purpose=purpose, key=Token(key))
                await self._note(record(Event.KEY_ROTATED, key=key, kind=purpose.value))

    async def clear(self) -> None:
        """Rows whose time is over."""
        await upkeep(self._database)

    async def retire(self) -> None:
        """What no row bears any more is destroyed. An edge that sealed to the old key just before the new one was
        published has two epochs to commit it."""
        in_use = {
            Purpose.SPOOL: await self._spool.key_ids_in_use(),
            Purpose.REPLY: await self._replies.key_ids_in_use(),
            Purpose.REQUEST: await self._requests.key_ids_in_use(),
        }
        reach(Point.ROTATE_RETIRING)
        gone = await self._workshop.with_keys(lambda: self._workshop.agent.retire(in_use, 2 * self._epoch))
        reach(Point.ROTATE_RETIRED)
        for key in gone:
            self._log.write(LogEvent.KEYS_DESTROYED, key=Token(key))
        if gone:
            await self._note(*(record(Event.KEY_DESTROYED, key=key) for key in gone))

    async def forget_orphans(self) -> None:
        """One-row keys whose message went while we died. A row that is still there, held or released, keeps its own."""
        found = [match[1] for name in _names(self._keys / "inspector" / "held") if (match := _HELD_KEY.fullmatch(name))]
        for start in range(0, len(found), 500):
            some = found[start : start + 500]
            there = await self._database.read(partial(_present, rows=some))
            for row in set(some) - there:
                self._ended.add(row)

    async def _forget_ended(self) -> None:
        for row in tuple(self._ended):
            await self._workshop.with_keys(partial(self._workshop.agent.forget_held, row))
            self._ended.discard(row)

    async def _note(self, *records: Record) -> None:
        await self._database.write(lambda connection: note(connection, *records))


def _present(connection: Connection, rows: list[str]) -> set[str]:
    return set(connection.scalars(select(schema.spool.c.id).where(schema.spool.c.id.in_(rows))))


def _open_conversations(connection: Connection) -> list[str]:
    table = schema.conversations
    return list(connection.scalars(select(table.c.id).where(table.c.state != Talk.CLOSED.value)))


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []

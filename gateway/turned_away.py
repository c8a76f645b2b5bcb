"""What intake didn't take, for the audit: which rule, how often, from where.

Rules:
1. An answer never waits for it: counts are kept in memory and written every minute, in one transaction.
2. A flood can't fill the disk: at most `limits.DOOR_RECORDS` peers are told apart each time; the others are one count
   for each rule. A crash loses the last minute's counts, and the senders of what was deferred come again.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from typing import Final

from sqlalchemy import Connection

from channels.contract import Inbound, Verdict
from gateway import limits
from gateway.audit import Event, Record, note, record
from gateway.errors import StoreError
from gateway.rules import Code
from gateway.store.database import Database

_EVENTS: Final = {Verdict.REFUSED: Event.MESSAGE_REFUSED, Verdict.DEFERRED: Event.MESSAGE_DEFERRED}


class TurnedAway:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: Counter[tuple[Event, str, Code, str]] = Counter()

    def note(self, verdict: Verdict, message: Inbound, code: Code) -> None:
        """Of an answer that was no acceptance."""
        key = (_EVENTS[verdict], message.channel, code, _address(message.transport.peer))
        if key not in self._counts and len(self._counts) >= limits.DOOR_RECORDS:
            key = (*key[:3], "")
        self._counts[key] += 1

    async def flush(self) -> None:
        """While the store is away, counts are kept."""
        counts, self._counts = self._counts, Counter()
        records = [_record(*key, count) for key, count in counts.items()]

        def job(conn: Connection) -> None:
            note(conn, *records)

        try:
            if records:
                await self._database.write(job)
        except StoreError:
            for key, count in counts.items():
                self._counts[key if len(self._counts) < limits.DOOR_RECORDS else (*key[:3], "")] += count

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(limits.DOOR_SECONDS)
            await self.flush()


def _record(event: Event, channel: str, code: Code, peer: str, count: int) -> Record:
    where = {"peer": peer} if peer else {}
    return record(event, channel=channel, codes=(code,), count=count, **where)


def _address(peer: str | None) -> str:
    """Written out in full, so that it is a token in IPv6 too; "" for none."""
    try:
        return ipaddress.ip_address(peer or "").exploded
    except ValueError:
        return ""

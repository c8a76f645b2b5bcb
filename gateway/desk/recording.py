"""What the desk itself writes into the audit: sign-ins, refusals, reads, stamps that don't match. Facts only."""

from __future__ import annotations

from typing import Final

from gateway.audit import Event, Fact, note, record
from gateway.store.database import Database
from gateway.store.reading import Message

REMEMBERED: Final = 10_000


class Recorder:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._broken: set[str] = set()

    async def write(self, event: Event, **facts: Fact) -> None:
        line = record(event, **facts)
        await self._db.write(lambda conn: note(conn, line))

    async def broken(self, conversation: str, messages: tuple[Message, ...], *, intact: bool) -> None:
        """Stamps that don't match are written down once per row and run of the desk, not at each look."""
        for message in messages:
            if message.content is None:
                await self._once(f"{message.id}.{message.revision}", conversation, message.id)
        if not intact:
            await self._once(conversation, conversation, conversation)

    async def _once(self, key: str, conversation: str, thing: str) -> None:
        if key in self._broken or len(self._broken) >= REMEMBERED:
            return
        self._broken.add(key)
        await self.write(Event.STAMP_BROKEN, conversation=conversation, object=thing)

"""Live events: `GET /api/events`, server-sent (HTML standard, section 9.2). Ids and kinds, never content.

    id: CURSOR
    event: change
    data: {"kind": "message", "conversation": "01J…", "object": "01J…"}

Rules:
1. The cursor is the store's, which never passes a commit that is still to come; after a lost connection the browser
   sends it back (Last-Event-ID) and nothing is missed. `missed` says that it is too old: look at everything afresh.
2. One reader of the feed serves all streams; a slow stream reads its own way from the store, and none holds up another.
3. A person has at most `STREAMS_PER_PERSON` streams. A stream ends when its session does, seen at each heartbeat
   without keeping the session alive.
4. Whoever is bound to queues hears of those queues only; held messages are heard of by reviewers only.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from typing import Final

from aiohttp import web

from gateway import limits
from gateway.desk import sessions
from gateway.desk.access import Do, Thing, allowed
from gateway.desk.context import Call, Desk, Route
from gateway.desk.listening import when_lost
from gateway.desk.problems import Problem
from gateway.desk.queries import glance
from gateway.errors import StoreError
from gateway.store.reading import Changes, Entry, Reading
from gateway.store.waking import Ear

REMEMBERED: Final = 2_000
LOOK_SECONDS: Final = 1.0


class Hub:
    """Reads the feed once for all streams, and keeps the newest entries with their cursors."""

    def __init__(self, reading: Reading, ear: Ear) -> None:
        self._reading, self._ear = reading, ear
        self._entries: deque[tuple[str, Entry]] = deque(maxlen=REMEMBERED)
        self._cursor = ""
        self._news = asyncio.Condition()
        self.streams: Counter[str] = Counter()
        self.closed = False
        self._generation = 0

    async def close(self) -> None:
        """Ends all streams; browsers come back by themselves."""
        self.closed = True
        async with self._news:
            self._news.notify_all()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                if not self._cursor:
                    self._cursor = await self._reading.now()
                changes = await self._reading.changes(self._cursor)
            except StoreError:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            if changes.entries or changes.missed:
                before = self._cursor
                for entry in changes.entries:
                    self._entries.append((before, entry))
                    before = entry.cursor
                if changes.missed:
                    self._entries.clear()
                self._cursor = changes.cursor
                self._generation += 1
                async with self._news:
                    self._news.notify_all()
                if len(changes.entries) >= limits.FEED_ENTRIES:
                    continue
            await self._ear.wait(LOOK_SECONDS)

    async def after(self, cursor: str, seconds: float) -> Changes:
        """What came after the cursor; when there is nothing, waits up to `seconds` for news.
        Raises ValueError, StoreError."""
        seen = self._generation
        if cursor != self._cursor:
            changes = self._remembered(cursor) or await self._reading.changes(cursor)
            if changes.entries or changes.missed:
                return changes
            cursor = changes.cursor
        try:
            async with asyncio.timeout(seconds), self._news:
                await self._news.wait_for(lambda: self.closed or self._generation != seen)
        except TimeoutError:
            pass
        return Changes(entries=(), cursor=cursor, missed=False)

    def _remembered(self, cursor: str) -> Changes | None:
        entries = list(self._entries)
        for index, (before, _) in enumerate(entries):
            if before == cursor:
                found = tuple(entry for _, entry in entries[index:])
                return Changes(entries=found, cursor=found[-1].cursor, missed=False)
        return None

    async def now(self) -> str:
        return self._cursor or await self._reading.now()


async def events(request: web.Request, call: Call) -> web.StreamResponse:
    hub, me = call.desk.hub, call.me.id
    if hub.streams[me] >= limits.STREAMS_PER_PERSON:
        raise Problem("too-many", "There are too many live connections of yours.", retry_after=30)
    given = request.headers.get("Last-Event-ID", "")
    try:
        if given:
            await call.desk.reading.changes(given, 1)
    except ValueError:
        given = ""
    hub.streams[me] += 1
    response = web.StreamResponse(
        headers={"Content-Type": "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
    )  # fmt: skip
    try:
        await response.prepare(request)
        following = asyncio.create_task(_follow(response, call, given or await hub.now(), resumed=bool(given)))
        when_lost(request, following.cancel)
        await following
    except (ConnectionError, asyncio.CancelledError):
        pass
    finally:
        hub.streams[me] -= 1
        if not hub.streams[me]:
            del hub.streams[me]
    return response


async def _follow(response: web.StreamResponse, call: Call, cursor: str, *, resumed: bool) -> None:
    desk = call.desk
    loop = asyncio.get_running_loop()
    end = loop.time() + limits.STREAM_SECONDS
    await _send(response, b"retry: 2000\n\n" + (b"" if resumed else _frame(cursor, "hello", {})))
    beat = loop.time() + limits.STREAM_HEARTBEAT_SECONDS
    while loop.time() < end and not desk.hub.closed:
        try:
            changes = await desk.hub.after(cursor, max(0.05, beat - loop.time()))
        except StoreError:
            return
        cursor = changes.cursor
        out = b"".join(_lines(changes, call))
        if loop.time() >= beat:
            beat = loop.time() + limits.STREAM_HEARTBEAT_SECONDS
            if not await _still_there(desk, call):
                await _send(response, out + b"event: signed-out\ndata: {}\n\n")
                return
            out += b": beat\n\n"
        if out:
            await _send(response, out)


def _lines(changes: Changes, call: Call) -> list[bytes]:
    if changes.missed:
        return [_frame(changes.cursor, "change", {"kind": "missed"})]
    found = []
    for entry in changes.entries:
        do = Do.READ if entry.conversation else Do.SEE_HELD
        if not allowed(call.actor, do, Thing(queue=entry.queue)):
            continue
        facts = {"kind": entry.kind, "conversation": entry.conversation or "", "object": entry.object or ""}
        found.append(_frame(entry.cursor, "change", facts))
    return found


def _frame(cursor: str, event: str, facts: dict[str, str]) -> bytes:
    return f"id: {cursor}\nevent: {event}\ndata: {json.dumps(facts)}\n\n".encode()


async def _send(response: web.StreamResponse, data: bytes) -> None:
    async with asyncio.timeout(limits.STREAM_HEARTBEAT_SECONDS):
        await response.write(data)


async def _still_there(desk: Desk, call: Call) -> bool:
    if call.token is None:
        return False
    session = await glance(desk.db, call.token, desk.clock)
    return session is not None and sessions.actor(session.user) == call.actor


EVENTS: Final = (
    Route(
        method="GET",
        path="/api/events",
        do=Do.LISTEN,
        handler=events,
        summary="Live changes, server-sent",
        stream=True,
        quiet=True,
    ),
)

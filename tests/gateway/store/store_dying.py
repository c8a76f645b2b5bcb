"""Processes that take one message all the way, and die at a kill point.

Reads lines of JSON, [URL, ID, POINT or "", SECONDS AHEAD], forks for each (so that nothing is imported twice), and
writes [EXIT STATUS, WORDS]: what the outside was told before the end. The clock runs so many seconds ahead: whoever
comes after a dead one needn't wait for its leases."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timedelta

from store_rows import ALICE, House, box, new_row, passage, passed

from channels.contract import Receipt, SendResult
from gateway.ids import SystemClock, micros
from gateway.killpoints import VARIABLE
from gateway.rules import Action, Decision
from gateway.store.database import Database, Role
from gateway.store.outbox import NewOutboxRow
from gateway.store.queue import Sent
from gateway.store.reading import View
from gateway.store.requests import Requests
from gateway.store.spool import NewSpoolRow, put
from keys.box import Purpose

LEASE = 60.0


class Ahead(SystemClock):
    def __init__(self, seconds: float) -> None:
        self._ahead = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._ahead


def row(house: House, id: str) -> NewSpoolRow:
    """The sender's retry has the same dedupe key, and would get the first one's id."""
    return NewSpoolRow(
        id=id, channel="email", lane=b"l" * 32, dedupe_key=b"k" * 32, box=box(id),
        received_at=new_row(house.clock).received_at,
    )  # fmt: skip


async def through(url: str, id: str, ahead: float, say: Callable[[str], None]) -> None:
    clock = Ahead(ahead)
    edge, inspector, desk = (Database.open(url, role, clock=clock) for role in (Role.EDGE, Role.INSPECTOR, Role.DESK))
    house = House(edge, inspector, desk, clock)  # type: ignore[arg-type]
    later = micros(clock.now()) + 10**12
    done = await put(edge, row(house, f"{id}.{ahead:.0f}"))
    say(f"accepted:{done.id}")
    for held in (await house.spool.held())[0]:
        await house.spool.release(held.id, frozenset(), "sam")
    for claim in await house.spool.claim(1, LEASE):
        await house.spool.hold(claim, Decision(Action.HOLD), None, expires_at=later)
        await house.spool.release(claim.id, frozenset(), "sam")
        (again,) = await house.spool.claim(1, LEASE)
        await house.spool.retry(again, 0)
        (again,) = await house.spool.claim(1, LEASE)
        await house.queue.put(again, await passed(author=ALICE, message_id="<1@e>"), passage())
    page, _ = await house.reading.page(View())
    conversation, reply = page[0].conversation.id, f"{done.id}.reply"
    await house.replies.put(id=reply, conversation=conversation, author="ann", box=box(reply))
    for written in await house.answering.claim(1, LEASE):
        outgoing = NewOutboxRow(
            id=reply, channel="email", lane=b"o", kind="reply", box=box(reply, purpose=Purpose.OUTBOX),
            conversation=conversation, expires_at=later,
        )  # fmt: skip
        sent = Sent(
            id=reply, conversation=conversation, author="ann", notice=False, copy=await passed("answer"),
            message_id="<o@acme>", outbox=outgoing,
        )  # fmt: skip
        await house.queue.record_sent(sent, written)
    for outgoing_claim in await house.sending.claim(1, LEASE):
        await house.sending.attempting(outgoing_claim)
        say("leaves")
        await house.sending.settle(outgoing_claim, Receipt(result=SendResult.SENT))
    asking = f"{done.id}.request"
    await Requests(desk, clock).put(id=asking, kind="release", object_id="x", author="sam", box=box(asking))
    doing = Requests(inspector, clock)
    for asked in await doing.claim(1, LEASE):
        await doing.finish(asked, done=True)
    for notice in await house.notices.claim(1, LEASE):
        await house.notices.finish(notice)
    await house.spool.expire()
    for db in (edge, inspector, desk):
        await db.close()
    say("end")


def child(out: int, url: str, id: str, point: str, ahead: float) -> None:
    os.environ[VARIABLE] = point
    try:
        asyncio.run(through(url, id, ahead, lambda word: os.write(out, f"{word}\n".encode()) and None))
    except BaseException:
        os.write(out, traceback.format_exc().encode())
        os._exit(1)
    os._exit(0)


def main() -> None:
    for line in sys.stdin:
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            child(write, *json.loads(line))
        os.close(write)
        with os.fdopen(read) as told:
            words = told.read().split("\n")
        _, status = os.waitpid(pid, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), words]), flush=True)


if __name__ == "__main__":
    main()

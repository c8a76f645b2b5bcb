"""The checker: what was acknowledged against what is there. Outcomes are named as Jepsen names them.

    lost         acknowledged, and neither in the agents' queue nor among the held; or held, and can't be opened
    duplicated   there more than once
    unexpected   there, but never sent, or under another id than its 250 named, out of its sender's order, with a broken
                 stamp, left over in the spool, or refused; a flaw in the audit chain
    recovered    the connection broke after the final dot, the sender tried again, and there is exactly one
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from house import House
from mta import Letter, Mta
from roles import Desk, Gateway
from sqlalchemy import text

from gateway import audit

UNOPENED = {"gateway.unreadable", "gateway.forged", "gateway.fault"}
"""What no message here can deserve: its key is gone, its box is broken, or a part of ours failed on it."""
TOKEN = re.compile(r"tok[a-z0-9]+x\d{6}")


@dataclass
class Tally:
    """Counts; `details` names the first few of what must not be."""

    cycles: int = 0
    kills: int = 0
    acknowledged: int = 0
    queued: int = 0
    held: int = 0
    recovered: int = 0
    lost: int = 0
    duplicated: int = 0
    unexpected: int = 0
    details: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        for name, value in asdict(other).items():
            if name == "details":
                self.details = (self.details + value)[:20]
            else:
                setattr(self, name, getattr(self, name) + value)

    @property
    def sound(self) -> bool:
        return not (self.lost or self.duplicated or self.unexpected)

    def wrong(self, kind: str, detail: str) -> None:
        setattr(self, kind, getattr(self, kind) + 1)
        if len(self.details) < 20:
            self.details.append(f"{kind}: {detail}")

    def __str__(self) -> str:
        return ", ".join(f"{value} {name}" for name, value in asdict(self).items() if name != "details")


@dataclass
class Found:
    """What stands in the store: `queue` has (id, conversation, sequence) by token, `held` the findings by id."""

    queue: dict[str, list[tuple[str, str, int]]]
    held: dict[str, tuple[str, ...]]
    broken: list[str]
    left: int


def settle(house: House, mtas: Iterable[Mta] = (), seconds: float = 120.0) -> None:
    """Until everything is acknowledged and nothing is under way any more."""
    for mta in mtas:
        mta.flush(seconds)
    house.wait_for(
        lambda: house.rows("SELECT count(*) FROM spool WHERE state <> 'held'") == [(0,)] or None, seconds,
        "the spool to be worked off",
    )  # fmt: skip


def look(house: Gateway) -> Found:
    async def read(desk: Desk) -> Found:
        def identities(conn: Any) -> list[str]:
            return [str(row[0]) for row in conn.execute(text("SELECT id FROM conversations"))]

        talks = await desk.database.read(identities)
        held, cursor = {}, ""
        while True:
            rows, cursor = await desk.reading.held(cursor=cursor)
            held |= {row.id: tuple(finding.rule.code for finding in row.decision.findings) for row in rows}
            if not cursor:
                break
        found = Found({}, held, [], 0)
        for talk in talks:
            opened = await desk.reading.conversation(talk)
            if opened is None or not opened.intact:
                found.broken.append(f"conversation {talk} isn't intact")
                continue
            for message in opened.messages:
                if message.direction != "in":
                    continue
                if message.content is None:
                    found.broken.append(f"message {message.id} can't be read")
                    continue
                token = TOKEN.search(message.content.subject)
                name = token[0] if token else "?"
                if token and name not in message.content.text:
                    found.broken.append(f"message {message.id} has another's text")
                found.queue.setdefault(name, []).append((message.id, talk, message.sequence))
        return found

    found: Found = house.ask(read)
    found.left = house.rows("SELECT count(*) FROM spool WHERE state <> 'held'")[0][0]
    report = verified(house)
    found.broken += [f"audit {one.chain}:{one.seq} {one.flaw}" for one in report.findings]
    return found


def events(house: House, name: str) -> Counter[str]:
    """How often an event of the audit is about each object."""
    leaves = (json.loads(leaf) for (leaf,) in house.rows(f"SELECT leaf FROM audit WHERE event = '{name}'"))
    return Counter(str(leaf.get("facts", leaf).get("object")) for leaf in leaves)


def verified(house: Gateway) -> audit.Report:
    from gateway.ids import SystemClock
    from gateway.store.database import Database, Role

    async def run() -> audit.Report:
        database = Database.open(house.store_url, Role.ADMIN, clock=SystemClock())
        try:
            return await database.read(audit.verify)
        finally:
            await database.close()

    return asyncio.run(run())


def judge(found: Found, letters: Sequence[Letter], refused: Sequence[Letter] = (), *, order: bool = True) -> Tally:
    """`letters`: all that were ever acknowledged in this store."""
    tally = Tally(acknowledged=len(letters))
    known = {one.token for one in letters}
    for one in letters:
        places = found.queue.get(one.token, [])
        here = len(places) + (one.id in found.held)
        if not here:
            tally.wrong("lost", f"{one.token} {one.id}")
            continue
        if here > 1:
            tally.wrong("duplicated", f"{one.token} {one.id}: {places}")
        tally.queued += bool(places)
        tally.held += not places
        if not places and set(found.held[one.id]) & UNOPENED:
            tally.wrong("lost", f"{one.token} {one.id} is held as {found.held[one.id]}: nobody can open it any more")
        tally.recovered += one.unsure > 0 and here == 1
        if places and places[0][0] != one.id:
            tally.wrong("unexpected", f"{one.token} was acknowledged as {one.id} and stands as {places[0][0]}")
    for token in found.queue.keys() - known:
        tally.wrong("unexpected", f"{token} is there and was never acknowledged")
    for id in found.held.keys() - {one.id for one in letters}:
        tally.wrong("unexpected", f"{id} is held and was never acknowledged")
    for one in refused:
        tally.wrong("unexpected", f"{one.token} was refused")
    for flaw in found.broken:
        tally.wrong("unexpected", flaw)
    if found.left:
        tally.wrong("unexpected", f"{found.left} rows are left in the spool")
    if order:
        for detail in _disorder(found, letters):
            tally.wrong("unexpected", detail)
    return tally


def check(house: House, mtas: Sequence[Mta], *, seconds: float = 120.0, order: bool = True) -> Tally:
    """Waits until all is quiet, then judges."""
    settle(house, mtas, seconds)
    letters = [one for mta in mtas for one in mta.sent]
    tally = judge(look(house), letters, [one for mta in mtas for one in mta.refused], order=order)
    tally.kills = house.kills
    return tally


def _disorder(found: Found, letters: Sequence[Letter]) -> list[str]:
    """Within one sender's one conversation the sequence is the order of acknowledgement."""
    wrong: list[str] = []
    last: Counter[tuple[str, str]] = Counter()
    for one in sorted(letters, key=lambda one: (one.sender, one.at)):
        for _, conversation, sequence in found.queue.get(one.token, [])[:1]:
            if sequence <= last[one.sender, conversation]:
                wrong.append(f"{one.token} stands at {sequence} and came after {last[one.sender, conversation]}")
            last[one.sender, conversation] = sequence
    return wrong

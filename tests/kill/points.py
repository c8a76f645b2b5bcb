"""Every named kill point, with what makes a process get there, and what must have become of it afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from house import HERE, ROOT, House, eventually
from ledger import Tally, events, judge, look, settle
from letterbox import judge_replies, states
from mta import Letter, Mta
from sink import Sink

from gateway.ids import SystemClock, Ulids
from gateway.killpoints import VARIABLE, Point
from gateway.requests import Verb

SETTINGS = {
    "notices": "first_contact = true\nheld = true",
    "inspector": "spool_key_seconds = 2",
    "policy.actions": '"structure.unknown-charset" = "defer"',
}
QUICK = {"ATTEMPTS": 3}
UNKNOWN = "Content-Type: text/plain; charset=x-nobody-knows\r\n"


@dataclass
class Scene:
    """One gateway, and what was done in it. `gone`: letters that a reviewer rejected or that expired."""

    house: House
    sink: Sink
    mta: Mta
    letters: list[Letter] = field(default_factory=list)
    replies: list[str] = field(default_factory=list)
    resent: Counter[str] = field(default_factory=Counter)
    gone: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)
    useless_ones: list[str] = field(default_factory=list)

    # --- what makes a process get somewhere; each leaves work waiting

    def mail(self) -> None:
        self._post()

    def held(self) -> None:
        self._post("billing@acme.example")

    def deferred(self) -> None:
        self._post(extra=UNKNOWN)

    def release(self) -> None:
        self.requests.append(self.house.decide(self._a_held_one(), Verb.RELEASE, ["encryption.absent"]))

    def reject(self) -> None:
        held = self._a_held_one()
        self.gone.add(held)
        self.requests.append(self.house.decide(held, Verb.REJECT))

    def useless(self) -> None:
        """A request that can only fail: what it is about was rejected before."""
        self.reject()
        self.useless_ones.append(self.house.decide(self.requests[-1], Verb.REJECT))

    def expired(self) -> None:
        held = self._a_held_one()
        self.gone.add(held)
        self.change("UPDATE held SET expires_at = 0 WHERE id = :id", id=held)

    def reply(self) -> None:
        self.replies.append(self.house.reply(self.conversation(), "It is on its way."))

    def outgoing(self) -> None:
        """A reply that waits in the outbox."""
        self.reply()
        eventually(lambda: states(self.house).get(self.replies[-1]), 30, "the reply to be in the outbox")

    def resend(self) -> None:
        """A person's word on one that is in doubt."""
        doubtful = eventually(
            lambda: [id for id, (state, _) in states(self.house).items() if state == "doubt"], 60, "one in doubt"
        )
        self.resent[doubtful[0]] += 1
        self.requests.append(self.house.decide(doubtful[0], Verb.RESEND))

    def nothing(self) -> None:
        """It gets there by itself."""

    # ---

    def conversation(self) -> str:
        found = eventually(
            lambda: self.house.rows("SELECT id FROM conversations ORDER BY id LIMIT 1"), 30, "a conversation"
        )
        return str(found[0][0])

    def change(self, statement: str, **values: object) -> None:
        from sqlalchemy import create_engine, text

        engine = create_engine(self.house.store_url)
        with engine.begin() as conn:
            conn.execute(text(statement), values)
        engine.dispose()

    def quiet(self) -> None:
        """Everything that waits has gone its way."""
        settle(self.house, [self.mta], 60)
        for table in ("replies", "requests", "notices"):
            self.house.wait_for(
                lambda table=table: self.house.rows(
                    f"SELECT count(*) FROM {table} WHERE state IN ('waiting', 'working')"
                ) == [(0,)] or None, 60, f"{table} to be worked off",
            )  # fmt: skip
        waiting = "SELECT count(*) FROM outbox WHERE state IN ('ready', 'sending')"
        self.house.wait_for(lambda: self.house.rows(waiting) == [(0,)] or None, 60, "the outbox to be worked off")

    def judge(self) -> Tally:
        """All of it, since the beginning."""
        self.quiet()
        found = look(self.house)
        tally = judge(found, [one for one in self.mta.sent if one.id not in self.gone], self.mta.refused)
        for id in self.gone:
            if id in found.held or any(place[0] == id for places in found.queue.values() for place in places):
                tally.wrong("unexpected", f"{id} is still there")
        tally.add(judge_replies(self.house, self.replies, self.sink.mails, self.resent))
        for id, state, kind, reason in self.house.rows("SELECT id, state, kind, reason FROM requests"):
            if state != ("failed" if id in self.useless_ones else "done"):
                tally.wrong("unexpected", f"request {id} ({kind}) is {state} ({reason})")
        for event in ("message.expired", "message.rejected", "message.released"):
            for id, count in events(self.house, event).items():
                if count > 1:
                    tally.wrong("unexpected", f"{event} of {id} stands {count} times in the audit")
        tally.kills = self.house.kills
        return tally

    def _post(self, to: str = "support@acme.example", extra: str = "") -> None:
        self.letters += self.mta.post(1, to, extra)

    def have_held(self) -> None:
        """One at least that nobody has asked for yet."""
        if not self._held_ones():
            self.held()
            eventually(self._held_ones, 60, "it to be held")

    def _held_ones(self) -> list[str]:
        rows = [str(row[0]) for row in self.house.rows("SELECT id FROM held ORDER BY held_at")]
        asked = {str(row[0]) for row in self.house.rows("SELECT object_id FROM requests")}
        return [id for id in rows if id not in self.gone | asked]

    def _a_held_one(self) -> str:
        return self._held_ones()[0]


@dataclass(frozen=True)
class Case:
    """The role dies when it reaches the point for the `nth` time; `before` leaves the work that gets it there."""

    point: Point
    role: str
    before: Callable[[Scene], None]
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.point.name}:{self.nth}-{self.role}-{self.before.__name__}"


P = Point
CASES = (
    Case(P.INTAKE_BEFORE_COMMIT, "edge", Scene.mail),
    Case(P.INTAKE_AFTER_COMMIT, "edge", Scene.mail),
    Case(P.INTAKE_ANSWERED, "edge", Scene.mail),
    Case(P.CLAIM_BEFORE_COMMIT, "inspector", Scene.mail),
    Case(P.CLAIMED, "inspector", Scene.mail),
    Case(P.WORKER_STARTED, "inspector", Scene.mail),
    Case(P.WORKER_DONE, "inspector", Scene.mail),
    Case(P.QUEUE_BEFORE_COMMIT, "inspector", Scene.mail),
    Case(P.QUEUE_AFTER_COMMIT, "inspector", Scene.mail),
    Case(P.HOLD_BEFORE_COMMIT, "inspector", Scene.held),
    Case(P.HOLD_AFTER_COMMIT, "inspector", Scene.held),
    Case(P.NOTICE_CLAIMED, "inspector", Scene.held),
    Case(P.NOTICE_AFTER_COMMIT, "inspector", Scene.held),
    Case(P.OUTBOX_BEFORE_COMMIT, "inspector", Scene.held),
    Case(P.OUTBOX_AFTER_COMMIT, "inspector", Scene.held),
    Case(P.RETRY_BEFORE_COMMIT, "inspector", Scene.deferred),
    Case(P.RETRY_AFTER_COMMIT, "inspector", Scene.deferred),
    Case(P.REQUEST_CLAIMED, "inspector", Scene.release),
    Case(P.RELEASE_BEFORE_COMMIT, "inspector", Scene.release),
    Case(P.RELEASE_AFTER_COMMIT, "inspector", Scene.release),
    Case(P.RELEASE_AFTER_COMMIT, "inspector", Scene.reject),
    Case(P.REQUEST_AFTER_COMMIT, "inspector", Scene.useless),
    Case(P.EXPIRE_BEFORE_COMMIT, "inspector", Scene.expired),
    Case(P.EXPIRE_AFTER_COMMIT, "inspector", Scene.expired),
    Case(P.REPLY_CLAIMED, "inspector", Scene.reply),
    Case(P.REPLY_SEALED, "inspector", Scene.reply),
    Case(P.REPLY_BEFORE_COMMIT, "inspector", Scene.reply),
    Case(P.REPLY_AFTER_COMMIT, "inspector", Scene.reply),
    Case(P.OUTBOX_CLAIMED, "edge", Scene.outgoing),
    Case(P.OUTBOX_BEFORE_COMMIT, "edge", Scene.outgoing, 2),
    Case(P.OUTBOX_ATTEMPTING, "edge", Scene.outgoing),
    Case(P.OUTBOX_SENT, "edge", Scene.outgoing),
    Case(P.OUTBOX_BEFORE_COMMIT, "edge", Scene.outgoing, 3),
    Case(P.OUTBOX_AFTER_COMMIT, "edge", Scene.outgoing, 2),
    Case(P.OUTBOX_AFTER_COMMIT, "inspector", Scene.resend),
    Case(P.ROTATE_GENERATED, "inspector", Scene.nothing),
    Case(P.ROTATE_PUBLISHED, "inspector", Scene.mail),
    Case(P.ROTATE_RETIRING, "inspector", Scene.mail),
    Case(P.ROTATE_RETIRED, "inspector", Scene.mail),
)
BY_HAND = (P.REPLY_PUT_BEFORE_COMMIT, P.REPLY_PUT_AFTER_COMMIT)
"""Reached by the desk: `put_by_hand`."""


def run(scene: Scene, case: Case) -> None:
    """One cycle: the role is away, work is left for it, it comes back, dies at the point, and comes back for good."""
    house = scene.house
    if case.before in (Scene.release, Scene.reject, Scene.expired, Scene.useless):
        scene.have_held()
    before = house.newest(case.role)
    house.leave(case.role)
    case.before(scene)
    if case.role == "inspector":
        scene.mta.flush()
    house.tell(do="arm", role=case.role, at=f"{case.point.name}:{case.nth}")
    house.tell(do="go", role=case.role)
    pid = house.wait_for(lambda: new if (new := house.newest(case.role)) != before else None, 30, "its start")
    house.died(case.role, pid, 45)
    house.recovered(case.role, pid)


def put_by_hand(scene: Scene, point: Point) -> None:
    """The desk dies while it puts a reply down, and its client asks again: same id, one reply."""
    id = Ulids(SystemClock()).new()
    words = [sys.executable, str(HERE / "hand.py"), str(scene.house.folder), "reply", scene.conversation(), id]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    died = subprocess.run(words, env={**environment, VARIABLE: point.name}, check=False)
    assert died.returncode == -9
    scene.house.kills += 1
    subprocess.run(words, env=environment, check=True)
    scene.replies.append(id)
    assert scene.house.rows(f"SELECT count(*) FROM replies WHERE id = '{id}'") == [(1,)]


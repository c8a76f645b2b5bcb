"""The soak's memory and its rounds: what was done stands in var/soak/state.json, and each run goes on from there.

A round is one fresh gateway, some cycles, and the checker's word on all of it; the kind that is furthest behind its
share of the time is next.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mayhem
from house import House, house
from ledger import Tally, check, settle
from letterbox import judge_replies
from mta import Mta
from points import CASES, QUICK, SETTINGS, Scene, run
from power import missing
from server import Postgres
from sink import Sink
from test_postgres import kill_cycle
from test_power import missing_ids, plant

GOALS = {"kill": 10_000, "power": 1_000, "postgres": 100}
PLAIN = {"notices": "first_contact = false\nheld = false", "inspector": "spool_key_seconds = 1"}
LIES = 4
"""Every so many rounds of power loss are a control: a disk that lies, and must lose."""


@dataclass
class State:
    """`kinds`: a tally each; `killed`: processes by what they were; `controls`: those that lost, as they must, and
    those that did not; `broken`: rounds that ended by an exception, by its class."""

    path: Path
    kinds: dict[str, Tally] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    rounds: dict[str, int] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)
    controls: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)

    @classmethod
    def load(cls, path: Path) -> State:
        if not path.exists():
            return cls(path)
        kept = json.loads(path.read_text("utf-8"))
        return cls(
            path, {kind: Tally(**tally) for kind, tally in kept["kinds"].items()}, kept["seconds"], kept["rounds"],
            Counter(kept["killed"]), Counter(kept["controls"]), Counter(kept["broken"]),
        )  # fmt: skip

    def save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        kept = {name: dict(value) for name, value in vars(self).items() if name != "path"}
        kept["kinds"] = {kind: asdict(tally) for kind, tally in self.kinds.items()}
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(kept, indent=1), "utf-8")
        os.replace(new, self.path)

    def total(self, *kinds: str) -> Tally:
        tally = Tally()
        for kind, one in self.kinds.items():
            if not kinds or kind.startswith(kinds):
                tally.add(one)
        return tally

    @property
    def sound(self) -> bool:
        return self.total().sound and not self.broken and not self.controls["kept everything"]

    def __str__(self) -> str:
        all_, lines = self.total(), []
        for goal, wanted in GOALS.items():
            lines.append(f"{goal} {self.total(goal).cycles}/{wanted}")
        return (
            f"{', '.join(lines)}; {all_.acknowledged} acknowledged, {all_.recovered} recovered, {all_.lost} lost, "
            f"{all_.duplicated} duplicated, {all_.unexpected} unexpected; controls {dict(self.controls)}"
        )


@dataclass
class Round:
    folder: Path
    chance: random.Random
    state: State
    stack: ExitStack

    # --- kinds

    def kill_sqlite(self) -> Tally:
        return self._kills("", 80)

    def kill_postgres(self) -> Tally:
        return self._kills(self.stack.enter_context(Postgres()).url(), 40)

    def kill_points(self) -> Tally:
        sink = self.stack.enter_context(Sink())
        home = self._house(smarthost_port=sink.port, settings=SETTINGS, quick=QUICK)
        scene = Scene(home, sink, self._mta("alice", home))
        scene.mail()
        scene.quiet()
        cases = [case for case in CASES if case.before is not Scene.resend]
        self.chance.shuffle(cases)
        for case in cases:
            run(scene, case)
            self.state.killed[f"{case.role} at {case.point.name}"] += 1
        tally = scene.judge()
        tally.cycles = len(cases)
        return tally

    def kill_replies(self) -> Tally:
        """Answers on their way out, and the edge or the inspector dies."""
        sink = self.stack.enter_context(Sink())
        home = self._house(smarthost_port=sink.port, settings=PLAIN)
        mtas = [self._mta(f"r{number}", home) for number in range(6)]
        for mta in mtas:
            mta.post(1)
        settle(home, mtas)
        talks = [str(row[0]) for row in home.rows("SELECT id FROM conversations")]
        scene = Scene(home, sink, mtas[0])
        cycles = 0
        for _ in range(30):
            kind = self.chance.choices(["edge", "inspector", "opener", "worker", "keys"], [12, 3, 4, 4, 2])[0]
            for talk in self.chance.sample(talks, 3):
                scene.replies.append(home.reply(talk, f"Answer {len(scene.replies)}."))
            time.sleep(self.chance.random() * 0.3)
            if pid := home.kill_now(kind):
                home.recovered(kind, pid)
                self.state.killed[kind] += 1
                cycles += 1
        scene.quiet()
        tally = judge_replies(home, scene.replies, sink.mails)
        tally.cycles = cycles
        return tally

    def power_intake(self) -> Tally:
        return self._power(("edge",), ["inspector"], 60, 4)

    def power_whole(self) -> Tally:
        return self._power(("edge", "inspector"), [], 8, 6)

    def postgres(self) -> Tally:
        server = self.stack.enter_context(Postgres())
        home = self._house(url=server.url(), settings=PLAIN)
        mtas = [self._mta(f"q{number}", home) for number in range(3)]
        for _ in range(10):
            kill_cycle(server, home, mtas, self.chance)
        tally = check(home, mtas)
        tally.cycles = 10
        return tally

    # ---

    def _kills(self, url: str, cycles: int) -> Tally:
        home = self._house(url=url, settings=PLAIN)
        mtas = [self._mta(f"k{number}", home) for number in range(3)]
        kinds: Counter[str] = Counter()
        for _ in range(cycles):
            mayhem.cycle(home, mtas, self.chance, kinds)
        tally = check(home, mtas)
        tally.cycles = sum(kinds.values())
        self.state.killed += kinds
        return tally

    def _power(self, roles: tuple[str, ...], away: list[str], cycles: int, letters: int) -> Tally:
        if self.state.rounds.get("power_intake", 0) % LIES == LIES - 1:
            with plant(self.folder / "control", seed=self.chance.getrandbits(32)) as control:
                control.disk.set(lie=True)
                for mta in control.mtas:
                    mta.post(3)
                    mta.flush()
                control.cycle("edge", torn=False)
                self.state.controls["lost, as it must" if missing_ids(control) else "kept everything"] += 1
        with plant(self.folder, seed=self.chance.getrandbits(32), away=away) as made:
            for number in range(cycles):
                made.cycle(*roles, torn=number % 4 != 0, letters=letters)
            return made.check()

    def _house(self, **settings: Any) -> House:
        return self.stack.enter_context(house(self.folder / "g", **settings))

    def _mta(self, name: str, home: House) -> Mta:
        mta = Mta(name, lambda: home.port)
        self.stack.callback(mta.stop)
        return mta


SHARES: dict[str, float] = {
    "kill_sqlite": 40, "kill_postgres": 12, "kill_points": 12, "kill_replies": 8, "power_intake": 14, "power_whole": 6,
    "postgres": 8,
}  # fmt: skip


def behind(state: State) -> str:
    """The kind whose share of the time is least used up."""
    shares = {kind: share for kind, share in SHARES.items() if not (kind.startswith("power") and missing())}
    return min(shares, key=lambda kind: (state.seconds.get(kind, 0.0) + 1) / shares[kind])


def one_round(state: State, say: Callable[[str], None]) -> None:
    kind = behind(state)
    seed = random.getrandbits(32)
    folder = Path(tempfile.mkdtemp(prefix="vsk"))
    began = time.monotonic()
    try:
        with ExitStack() as stack:
            tally: Tally = getattr(Round(folder, random.Random(seed), state, stack), kind)()
    except (Exception, AssertionError) as error:
        state.broken[f"{kind}: {type(error).__name__}"] += 1
        say(f"{kind} (seed {seed}) broke: {str(error)[:1500]}")
        tally = Tally()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    took = time.monotonic() - began
    state.kinds.setdefault(kind, Tally()).add(tally)
    state.seconds[kind] = state.seconds.get(kind, 0.0) + took
    state.rounds[kind] = state.rounds.get(kind, 0) + 1
    state.save()
    say(f"{kind}: {tally.cycles} cycles in {took:.0f} s; so far {state}")
    for detail in tally.details:
        say(f"    {detail} (seed {seed})")

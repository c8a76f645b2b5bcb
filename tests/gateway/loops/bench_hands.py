"""A workshop, a key process's client and a log, all under a test's hand."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from store_rows import passage, passed

from gateway.crossing import Outcome, Passage
from gateway.ids import FixedClock
from gateway.jobs import Dispatch, Report
from gateway.log import Log
from gateway.rules import Action, Code, Decision, Finding, Rule
from keys.box import Binding
from keys.secret import Secret

T = TypeVar("T")
Said = tuple[Report, Outcome | None]


@dataclass
class Agent:
    """`hold` gives the box back, marked; what was forgotten is on record."""

    forgotten: list[str] = field(default_factory=list)
    error: Exception | None = None

    def hold(self, box: bytes, binding: Binding) -> bytes:
        if self.error:
            raise self.error
        return box[:3] + b"\xee" * 8 + box[11:]

    def forget_held(self, row: str) -> None:
        self.forgotten.append(row)

    def box(self, payload: Secret[bytes], binding: Binding) -> bytes:
        if self.error:
            raise self.error
        return b"box"


@dataclass
class Workshop:
    """Says what `answers` holds, one after the other, the last one for ever; an exception is raised."""

    answers: list[Said | Exception]
    agent: Agent = field(default_factory=Agent)
    asked: list[tuple[str, frozenset[Code]]] = field(default_factory=list)
    dispatched: list[Dispatch] = field(default_factory=list)

    async def way_in(self, box: bytes, binding: Binding, waived: frozenset[Code] = frozenset()) -> Said:
        self.asked.append((binding.row, waived))
        return self._next()

    async def way_out(self, box: bytes, binding: Binding, dispatch: Dispatch) -> Said:
        self.dispatched.append(dispatch)
        return self._next()

    async def read_request(self, box: bytes, binding: Binding) -> Report:
        return self._next()[0]

    async def with_keys(self, ask: Callable[[], T]) -> T:
        return ask()

    def _next(self) -> Said:
        answer = self.answers[0] if len(self.answers) == 1 else self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Silent:
    """An ear that hears nothing."""

    async def wait(self, seconds: float) -> bool:
        return False


class Pages:
    """A log that can be read."""

    def __init__(self, clock: FixedClock) -> None:
        self.stream = io.StringIO()
        self.log = Log("inspector", clock, self.stream)

    def events(self) -> list[str]:
        return [line["event"] for line in self.lines()]

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def rule(code: str, action: Action) -> Rule:
    return Rule(Code(code), action, "No", "7.1", "No.")


def stopped(action: Action, code: str = "test.stop", **more: Any) -> Said:
    decision = Decision(action, (Finding(rule(code, action)),), "inspection")
    return Report(), Outcome(decision=decision, passage=passage(**more), cleared=None)


async def accepted(text: str = "hello", **more: Any) -> Said:
    went: Passage = passage(**more)
    decision = Decision(Action.ACCEPT, (), "release")
    return Report(), Outcome(decision=decision, passage=went, cleared=await passed(text))

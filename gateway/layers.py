"""Layers: checks that a message must pass, together and completely.

Rules:
1. Only a `Layer` makes a `Passed`, and only of what every check accepted (and `gateway.crossing`, from a box or a
   frame whose signature verified).
2. A check that raises, overruns or answers nonsense is the finding `check.failed`, never a pass.
3. A layer without checks cannot be built.
4. What is done about a finding is policy (`Layer.under`); a check does not know it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from typing import Generic, NoReturn, Protocol, TypeVar

from gateway.rules import Action, Code, Decision, Finding, Rule

M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)
M_contra = TypeVar("M_contra", contravariant=True)

CHECK_FAILED = Rule(
    Code("check.failed"), Action.DEFER, "Temporary failure, try again later", "3.0",
    "One of our own checks could not finish, so nothing may pass on its word.",
)  # fmt: skip


class Check(Protocol[M_contra]):
    """Finds; decides and changes nothing."""

    @property
    def rules(self) -> tuple[Rule, ...]: ...
    async def __call__(self, message: M_contra, /) -> Sequence[Finding]: ...


class Stopped(Exception):
    """A layer did not pass the message."""

    def __init__(self, decision: Decision) -> None:
        super().__init__(*(finding.rule.code for finding in decision.findings))
        self.decision = decision


class _Mint:
    pass


_MINT = _Mint()


@dataclass(frozen=True)
class Passed(Generic[M_co]):
    """Witness that a layer passed this message, and what it found that did not stop it."""

    message: M_co
    mint: InitVar[_Mint]
    findings: tuple[Finding, ...] = ()

    def __post_init__(self, mint: _Mint) -> None:
        if mint is not _MINT:
            raise TypeError("only a Layer makes a Passed")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Passed is not copied or pickled: it crosses by gateway.crossing")


@dataclass(frozen=True)
class Layer(Generic[M]):
    """Checks of one kind of message. `seconds` bounds each check; `actions` is the policy's change to the defaults."""

    name: str
    checks: tuple[Check[M], ...]
    seconds: float = 5.0
    actions: Mapping[Code, Action] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.checks:
            raise ValueError(f"layer {self.name!r} has no checks: it would pass everything")

    def under(self, actions: Mapping[Code, Action]) -> Layer[M]:
        """The same layer under a policy."""
        return replace(self, actions={**self.actions, **actions})

    def waiving(self, codes: frozenset[Code]) -> Layer[M]:
        """The same layer for one held message that a reviewer released: the named findings stay, but don't stop it."""
        return self.under(dict.fromkeys(codes, Action.ACCEPT))

    @property
    def rules(self) -> tuple[Rule, ...]:
        return (*(rule for check in self.checks for rule in check.rules), CHECK_FAILED)

    def action(self, rule: Rule) -> Action:
        return self.actions.get(rule.code, rule.action)

    async def judge(self, message: M) -> Decision:
        """Every check is asked, so that all that is wrong is known; the worst action wins and stands first."""
        results = await asyncio.gather(*(self._ask(check, message) for check in self.checks))
        found = [finding for result in results for finding in result]
        findings = tuple(sorted(found, key=lambda finding: -self.action(finding.rule)))
        worst = max((self.action(finding.rule) for finding in findings), default=Action.ACCEPT)
        return Decision(worst, findings, self.name)

    async def require(self, message: M) -> Passed[M]:
        """Raises `Stopped` with the decision unless every check accepts."""
        decision = await self.judge(message)
        if decision.action is not Action.ACCEPT:
            raise Stopped(decision)
        return Passed(message, _MINT, decision.findings)

    async def _ask(self, check: Check[M], message: M) -> tuple[Finding, ...]:
        try:
            async with asyncio.timeout(self.seconds):
                found = tuple(await check(message))
            if not all(isinstance(finding, Finding) and finding.rule in check.rules for finding in found):
                return (Finding(CHECK_FAILED),)
        except Exception:  # noqa: BLE001 - law 3: whatever a check does, it never passes by breaking
            return (Finding(CHECK_FAILED),)
        return found

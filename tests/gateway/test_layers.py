"""Laws 2 and 3: only a layer makes a Passed, and a broken check never passes."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.layers import CHECK_FAILED, Layer, Passed, Stopped, _Mint
from gateway.rules import Action, Code, Finding, Rule

ODD = Rule(Code("test.odd"), Action.HOLD, "Held for review", "7.1", "It is odd.")
NOTE = Rule(Code("test.note"), Action.ACCEPT, "", "0.0", "Worth knowing.")


class Fine:
    rules = (NOTE,)

    async def __call__(self, message: object, /) -> Sequence[Finding]:
        return (Finding(NOTE),)


class Odd:
    rules = (ODD,)

    async def __call__(self, message: object, /) -> Sequence[Finding]:
        return (Finding(ODD, {"count": 2}),)


class Boom:
    rules = (ODD,)

    async def __call__(self, message: object, /) -> Sequence[Finding]:
        raise RuntimeError("4111 1111 1111 1111")


class Slow:
    rules = (ODD,)

    async def __call__(self, message: object, /) -> Sequence[Finding]:
        await asyncio.sleep(9)
        return ()


class Nonsense:
    rules = (ODD,)

    async def __call__(self, message: object, /) -> Any:
        return None


class Strings:
    rules = (ODD,)

    async def __call__(self, message: object, /) -> Any:
        return ("fine",)


class Stranger:
    """Finds by a rule that it doesn't declare."""

    rules = ()

    async def __call__(self, message: object, /) -> Sequence[Finding]:
        return (Finding(ODD),)


@pytest.mark.parametrize("check", [Boom(), Slow(), Nonsense(), Strings(), Stranger()])
async def test_a_broken_check_never_passes(check: Any) -> None:
    layer: Layer[str] = Layer("test", (Fine(), check), seconds=0.05)
    with pytest.raises(Stopped) as stopped:
        await layer.require("message")
    assert Finding(CHECK_FAILED) in stopped.value.decision.findings
    assert stopped.value.decision.action is Action.DEFER
    assert "4111" not in repr(stopped.value)


async def test_findings_that_accept_travel_with_the_message() -> None:
    passed = await Layer("test", (Fine(),)).require("message")
    assert [finding.rule for finding in passed.findings] == [NOTE]


async def test_every_check_is_asked_and_the_worst_action_wins() -> None:
    decision = await Layer("test", (Fine(), Odd(), Boom())).judge("message")
    assert decision.action is Action.DEFER
    assert [finding.rule.code for finding in decision.findings] == ["check.failed", "test.odd", "test.note"]


async def test_policy_changes_what_is_done_and_not_what_is_found() -> None:
    layer: Layer[str] = Layer("test", (Odd(),))
    passed = await layer.under({ODD.code: Action.ACCEPT}).require("message")
    assert [finding.rule for finding in passed.findings] == [ODD]
    with pytest.raises(Stopped):
        await layer.under({NOTE.code: Action.ACCEPT}).require("message")


async def test_a_waiver_is_for_the_named_codes_alone() -> None:
    layer: Layer[str] = Layer("test", (Odd(), Boom()))
    with pytest.raises(Stopped):
        await layer.waiving(frozenset({ODD.code})).require("message")


def test_a_layer_without_checks_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="would pass everything"):
        Layer("test", ())


async def test_a_passed_cannot_be_forged_copied_onto_or_pickled_into_being() -> None:
    with pytest.raises(TypeError):
        Passed("message", _Mint())
    with pytest.raises(TypeError):
        Passed("message")  # type: ignore[call-arg]
    passed = await Layer("test", (Fine(),)).require("message")
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(passed, message="another")
    with pytest.raises(dataclasses.FrozenInstanceError):
        passed.message = "another"  # type: ignore[misc]
    for way in (copy.copy, copy.deepcopy, pickle.dumps):
        with pytest.raises(TypeError):
            way(passed)

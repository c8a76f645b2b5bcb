"""Faults: what we say of a message when it is we who could not go on. Held, never lost and never passed."""

from __future__ import annotations

from typing import Final

from gateway.rules import Action, Code, Decision, Finding, Rule, Token

_LATER: Final = "Temporary failure, try again later"

LIMIT: Final = Rule(
    Code("gateway.limit"), Action.HOLD, _LATER, "3.0",
    "Reading this message used up the time or memory that one message may use, more than once.",
)  # fmt: skip
FAULT: Final = Rule(
    Code("gateway.fault"), Action.HOLD, _LATER, "3.0",
    "A part of the gateway failed on this message; nothing is known against the message itself.",
)  # fmt: skip
FORGED: Final = Rule(
    Code("gateway.forged"), Action.REJECT, _LATER, "3.0",
    "The sealed message was not signed by our own edge, or was moved to another place: somebody wrote to the database.",
)  # fmt: skip
UNREADABLE: Final = Rule(
    Code("gateway.unreadable"), Action.HOLD, _LATER, "3.0",
    "The key that the sealed message was made for is not here any more.",
)  # fmt: skip
UNAVAILABLE: Final = Rule(
    Code("gateway.unavailable"), Action.HOLD, _LATER, "3.0",
    "A program that opens messages was not there, for longer than a message may wait for it.",
)  # fmt: skip
NOT_PERMITTED: Final = Rule(
    Code("gateway.not-permitted"), Action.HOLD, _LATER, "7.5",
    "Nobody gave leave to send this in clear, and there is no certificate to seal it to.",
)  # fmt: skip

RULES: Final = (LIMIT, FAULT, FORGED, UNREADABLE, UNAVAILABLE, NOT_PERMITTED)
LAYER: Final = "gateway"
NEVER_WAIVED: Final = frozenset({Code("check.failed"), *(rule.code for rule in RULES)})
"""A reviewer may overrule a judgement about a message. None of these is one."""


def decided(rule: Rule, **evidence: int | bool | Token) -> Decision:
    return Decision(rule.action, (Finding(rule, evidence),), LAYER)

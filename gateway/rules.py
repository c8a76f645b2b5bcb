"""Rules, findings, decisions: the words of judgement.

Rules:
1. A rule says what is wrong, what is done about it by default, and what the outside is told; a check only finds.
2. Evidence carries numbers, booleans and fixed tokens (`Token`), never a piece of a message.
3. The outside hears `says` and nothing else; RFC 3463's class follows from the action and is never written down twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NewType

Code = NewType("Code", str)
Token = NewType("Token", str)
"""An id, an enum's value or a name of our own. Never text from outside."""


class Action(IntEnum):
    """What is done with a message. Ordered: the worst wins."""

    ACCEPT = 0
    HOLD = 1
    DEFER = 2
    REJECT = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """`code` is `family.word`; `status` is RFC 3463 without the class; `plain` explains it to people in a sentence."""

    code: Code
    action: Action
    says: str
    status: str = "7.1"
    plain: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    rule: Rule
    evidence: Mapping[str, int | bool | Token] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Decision:
    action: Action
    findings: tuple[Finding, ...] = ()
    layer: str = ""

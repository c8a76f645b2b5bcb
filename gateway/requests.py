"""Requests: what the desk hands to the inspector in a signed box, because only the inspector may do it.

    a reply        box of Purpose.REPLY,   bound to the reply's row,   channel "desk"
    a decision     box of Purpose.REQUEST, bound to the request's row, channel "desk"
    on a held one

Rules:
1. `id` is the row that the box stands in; who opens it checks that they agree.
2. A reply carries the agent's words and nothing of the customer's: no quote, no address, no certificate. To whom it
   goes and how it is protected is the inspector's knowledge; what the agent was promised it never undercuts.
3. A reason is a fixed token, so that the audit can carry it (law 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from gateway.rules import Code
from keys.box import Binding, Purpose
from keys.secret import Secret

CHANNEL: Final = "desk"


class Verb(StrEnum):
    """What is to be done: with a held message, or (RESEND) with a reply in doubt."""

    RELEASE = "release"
    REJECT = "reject"
    RESEND = "resend"


class Promised(StrEnum):
    """How an agent was told that a reply would leave; CLEAR promises nothing."""

    SEALED = "sealed"
    CLEAR = "clear"


class Reason(StrEnum):
    """Why a reviewer decided so."""

    KNOWN_SENDER = "known-sender"
    CONFIRMED_ELSEWHERE = "confirmed-elsewhere"
    FALSE_ALARM = "false-alarm"
    FORGERY = "forgery"
    UNWANTED = "unwanted"
    UNREADABLE = "unreadable"
    IN_DOUBT = "in-doubt"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRequest:
    """`author` is the agent's user id. `seen` is the sequence number of the newest message that the agent had before
    them, 0 when unknown. `promised`: it leaves so, or stronger, or not at all."""

    id: str
    conversation: str
    author: str
    text: Secret[str]
    seen: int
    promised: Promised
    written_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRequest:
    """`held` is the id of the held spool row (for RESEND, of the outbox row); `waived` are the findings that shall not
    stop it again. The requests row's `kind` is the verb, its `object_id` is `held`."""

    id: str
    held: str
    verb: Verb
    reason: Reason
    waived: tuple[Code, ...]
    reviewer: str
    written_at: datetime


def reply_binding(row: str) -> Binding:
    return Binding(purpose=Purpose.REPLY, row=row, channel=CHANNEL)


def request_binding(row: str) -> Binding:
    return Binding(purpose=Purpose.REQUEST, row=row, channel=CHANNEL)

"""The states of everything that has one, as one table. A change that isn't in the table is an error of ours.

    spool         waiting → working → (gone: queued) | held | waiting (retry)
                  held → waiting (released) | (gone: rejected, expired)
    conversation  open → claimed → open | closed;  closed → open (the customer writes again)
    reply         waiting → working → outbox | stopped (OUTBOUND said no) | waiting (retry)
    outbox        ready → sending → sent | ready (retry) | refused | doubt | expired;  doubt → ready (an agent says so)
    request       waiting → done | failed
"""

from __future__ import annotations

from enum import StrEnum


class Spooled(StrEnum):
    WAITING = "waiting"
    WORKING = "working"
    HELD = "held"


class Talk(StrEnum):
    OPEN = "open"
    CLAIMED = "claimed"
    CLOSED = "closed"


class Answered(StrEnum):
    WAITING = "waiting"
    WORKING = "working"
    OUTBOX = "outbox"
    STOPPED = "stopped"


class Sending(StrEnum):
    READY = "ready"
    SENDING = "sending"
    SENT = "sent"
    REFUSED = "refused"
    DOUBT = "doubt"
    EXPIRED = "expired"


class Asked(StrEnum):
    WAITING = "waiting"
    DONE = "done"
    FAILED = "failed"


State = Spooled | Talk | Answered | Sending | Asked

CHANGES: dict[type[StrEnum], dict[State, frozenset[State]]] = {
    Spooled: {
        Spooled.WAITING: frozenset({Spooled.WORKING}),
        Spooled.WORKING: frozenset({Spooled.WAITING, Spooled.HELD}),
        Spooled.HELD: frozenset({Spooled.WAITING}),
    },
    Talk: {
        Talk.OPEN: frozenset({Talk.CLAIMED, Talk.CLOSED}),
        Talk.CLAIMED: frozenset({Talk.OPEN, Talk.CLOSED}),
        Talk.CLOSED: frozenset({Talk.OPEN}),
    },
    Answered: {
        Answered.WAITING: frozenset({Answered.WORKING}),
        Answered.WORKING: frozenset({Answered.WAITING, Answered.OUTBOX, Answered.STOPPED}),
        Answered.OUTBOX: frozenset(),
        Answered.STOPPED: frozenset(),
    },
    Sending: {
        Sending.READY: frozenset({Sending.SENDING, Sending.EXPIRED}),
        Sending.SENDING: frozenset({Sending.READY, Sending.SENT, Sending.REFUSED, Sending.DOUBT, Sending.EXPIRED}),
        Sending.SENT: frozenset(),
        Sending.REFUSED: frozenset({Sending.READY}),
        Sending.DOUBT: frozenset({Sending.READY}),
        Sending.EXPIRED: frozenset({Sending.READY}),
    },
    Asked: {
        Asked.WAITING: frozenset({Asked.DONE, Asked.FAILED}),
        Asked.DONE: frozenset(),
        Asked.FAILED: frozenset(),
    },
}
"""By kind first: members of different StrEnums with the same word are equal."""


def may(before: State, after: State) -> bool:
    return type(before) is type(after) and after in CHANGES[type(before)][before]

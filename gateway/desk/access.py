"""Who may do what: one question, asked in one place (law 13).

`allowed(actor, action, thing)` is True only where a line of `MAY` says so; everything else is no. Rules:
1. Roles: agents and supervisors read and answer customers; admins look after people and the audit and read no customer.
2. *reviewer* is a permission: supervisors and admins have it, and an agent can be given it. Reviewers decide on held
   messages by facts alone.
3. What belongs to a person (draft, claim, session) is theirs; a supervisor may take a claim from somebody.
4. Somebody who is bound to queues sees nothing of the others: not that it exists, either.
5. Handlers never ask for a role; they name an action.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    AGENT = "agent"
    SUPERVISOR = "supervisor"
    ADMIN = "admin"


class Do(StrEnum):
    """Everything that can be asked for. A route names exactly one."""

    ENTER = "enter"  # what needs no sign-in: the sign-in page itself, static files, health
    SELF = "self"  # one's own session and settings
    LISTEN = "listen"  # live events
    READ = "conversation.read"
    CLAIM = "conversation.claim"
    RELEASE = "conversation.release"
    CLOSE = "conversation.close"
    REPLY = "reply.write"
    RESEND = "reply.resend"
    DRAFT = "draft.keep"
    SEE_HELD = "held.see"
    DECIDE_HELD = "held.decide"
    SEE_PEOPLE = "people.see"
    SEE_AUDIT = "audit.see"


@dataclass(frozen=True, slots=True, kw_only=True)
class Actor:
    """Who asks. `person` is None for somebody who hasn't signed in; `queues` empty means all."""

    person: str | None
    role: Role | None
    queues: frozenset[str] = frozenset()
    permissions: frozenset[str] = frozenset()


NOBODY: Final = Actor(person=None, role=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What it is about: `owner` is the person whom a draft, claim or session belongs to, None for nobody; `queue` is
    where it stands, "" for nowhere."""

    owner: str | None = None
    queue: str = ""


ANYTHING: Final = Thing()

ANSWERING: Final = frozenset({Role.AGENT, Role.SUPERVISOR})
REVIEWERS: Final = frozenset({Role.SUPERVISOR, Role.ADMIN})
EVERYBODY: Final = frozenset(Role)

MAY: Final[Mapping[Do, frozenset[Role]]] = {
    Do.SELF: EVERYBODY,
    Do.LISTEN: EVERYBODY,
    Do.READ: ANSWERING,
    Do.CLAIM: ANSWERING,
    Do.RELEASE: ANSWERING,
    Do.CLOSE: ANSWERING,
    Do.REPLY: ANSWERING,
    Do.RESEND: ANSWERING,
    Do.DRAFT: ANSWERING,
    Do.SEE_HELD: REVIEWERS,
    Do.DECIDE_HELD: REVIEWERS,
    Do.SEE_PEOPLE: frozenset({Role.ADMIN}),
    Do.SEE_AUDIT: frozenset({Role.ADMIN}),
}

REVIEWER: Final = "reviewer"
REVIEW: Final = frozenset({Do.SEE_HELD, Do.DECIDE_HELD})
OWN: Final = frozenset({Do.SELF, Do.DRAFT})
"""Only the owner, whatever the role."""
TAKEN: Final = frozenset({Do.CLAIM, Do.RELEASE, Do.CLOSE, Do.REPLY, Do.RESEND})
"""While somebody holds the claim: only they, and a supervisor."""


def allowed(actor: Actor, action: Do, thing: Thing = ANYTHING) -> bool:
    if action is Do.ENTER:
        return True
    if actor.person is None or actor.role is None:
        return False
    if actor.role not in MAY.get(action, frozenset()) and not (action in REVIEW and REVIEWER in actor.permissions):
        return False
    if thing.queue and actor.queues and thing.queue not in actor.queues:
        return False
    if thing.owner is None or thing.owner == actor.person:
        return True
    if action in OWN:
        return False
    if action in TAKEN:
        return actor.role is Role.SUPERVISOR
    return True


def who_may(action: Do) -> tuple[Role, ...]:
    """For the page that says no: who could."""
    return tuple(role for role in Role if role in MAY.get(action, frozenset()))

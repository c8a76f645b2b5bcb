"""Who may do what: the table, the exceptions, and every route against every role."""

from __future__ import annotations

import pytest

from gateway.desk.access import ANSWERING, MAY, NOBODY, REVIEWERS, Actor, Do, Role, Thing, allowed, who_may
from gateway.desk.application import API_ROUTES, ROUTES

ANN = Actor(person="ann", role=Role.AGENT)
SAM = Actor(person="sam", role=Role.SUPERVISOR)
ADA = Actor(person="ada", role=Role.ADMIN)
PEOPLE = {None: NOBODY, Role.AGENT: ANN, Role.SUPERVISOR: SAM, Role.ADMIN: ADA}

EXPECTED = {
    Do.ENTER: {None, *Role},
    Do.SELF: set(Role),
    Do.LISTEN: set(Role),
    **dict.fromkeys((Do.READ, Do.CLAIM, Do.RELEASE, Do.CLOSE, Do.REPLY, Do.RESEND, Do.DRAFT), frozenset(ANSWERING)),
    **dict.fromkeys((Do.SEE_HELD, Do.DECIDE_HELD), frozenset(REVIEWERS)),
    **dict.fromkeys((Do.SEE_PEOPLE, Do.SEE_AUDIT), frozenset({Role.ADMIN})),
}


def test_every_action_has_an_expected_answer_for_every_role() -> None:
    assert set(EXPECTED) == set(Do)
    for action in Do:
        assert {role for role, actor in PEOPLE.items() if allowed(actor, action)} == EXPECTED[action], action


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_asks_for_one_action(route: object) -> None:
    assert route.do in Do  # type: ignore[attr-defined]
    if route.do is Do.ENTER:  # type: ignore[attr-defined]
        assert route.path in ("/sign-in", "/static/{name}")  # type: ignore[attr-defined]


def test_no_two_routes_are_the_same() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    assert all(route.path.startswith("/api/") for route in API_ROUTES)


def test_what_is_not_in_the_table_is_refused() -> None:
    assert set(MAY) == set(Do) - {Do.ENTER}
    strange = Actor(person="eve", role=None)
    assert not any(allowed(strange, action) for action in Do if action is not Do.ENTER)


def test_a_claim_is_its_holders_and_a_supervisor_may_take_it() -> None:
    anns = Thing(owner="ann", queue="support")
    for action in (Do.CLAIM, Do.RELEASE, Do.CLOSE, Do.REPLY, Do.RESEND):
        assert allowed(ANN, action, anns)
        assert allowed(SAM, action, anns)
        assert not allowed(Actor(person="ben", role=Role.AGENT), action, anns)
        assert not allowed(ADA, action, anns)
    assert allowed(Actor(person="ben", role=Role.AGENT), Do.READ, anns)


def test_a_draft_is_nobody_elses() -> None:
    assert allowed(ANN, Do.DRAFT, Thing(owner="ann"))
    assert not allowed(SAM, Do.DRAFT, Thing(owner="ann"))


def test_somebody_bound_to_queues_has_nothing_to_do_with_others() -> None:
    bound = Actor(person="ann", role=Role.AGENT, queues=frozenset({"billing"}))
    assert allowed(bound, Do.READ, Thing(queue="billing"))
    assert not allowed(bound, Do.READ, Thing(queue="support"))
    supervisor = Actor(person="sam", role=Role.SUPERVISOR, queues=frozenset({"billing"}))
    assert not allowed(supervisor, Do.SEE_HELD, Thing(queue="support"))


def test_reviewing_can_be_given_to_an_agent_and_nothing_more_with_it() -> None:
    reviewer = Actor(person="ann", role=Role.AGENT, permissions=frozenset({"reviewer"}))
    assert allowed(reviewer, Do.DECIDE_HELD)
    assert not allowed(reviewer, Do.SEE_AUDIT)
    made_up = Actor(person="ann", role=Role.AGENT, permissions=frozenset({"audit.see", "admin"}))
    assert not allowed(made_up, Do.SEE_AUDIT)
    nobody = Actor(person=None, role=None, permissions=frozenset({"reviewer"}))
    assert not allowed(nobody, Do.DECIDE_HELD)


def test_the_forbidden_page_can_say_who_may() -> None:
    assert who_may(Do.SEE_AUDIT) == (Role.ADMIN,)

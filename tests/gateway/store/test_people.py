"""Users, sessions, drafts, answers kept for repeated requests."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import select
from store_rows import DESK_ATREST

from gateway import limits
from gateway.ids import FixedClock, Ulids
from gateway.store import schema
from gateway.store.database import Database, Role
from gateway.store.people import People
from keys.secret import Secret


@pytest.fixture
def people(desk: Database, clock: FixedClock) -> People:
    return People(desk, atrest=DESK_ATREST, clock=clock, ids=Ulids(clock))


async def add(people: People, login: str = "ann", **more) -> str:
    id = await people.add_user(login=login, name="Ann", role="agent", password="$argon2id$x", **more)
    assert id is not None
    return id


async def test_users_are_added_found_and_changed(people: People) -> None:
    id = await add(people, queues=("support", "billing"), permissions=("review",), language="es")
    assert await people.add_user(login="ann", name="", role="agent", password="") is None
    user = await people.by_login("ann")
    assert user is not None
    assert user == await people.user(id)
    assert (user.queues, user.permissions, user.language, user.disabled) == (
        ("support", "billing"), ("review",), "es", False,
    )  # fmt: skip
    assert await people.change_user(id, by="ada", role="supervisor", queues=())
    assert not await people.change_user("none", by="ada", role="supervisor")
    (user,) = await people.users()
    assert (user.role, user.queues, user.name) == ("supervisor", (), "Ann")
    assert "argon2" not in repr(user)


async def test_an_admin_on_the_command_line_adds_users_too(
    opened: Callable[[Role], Database], clock: FixedClock
) -> None:
    await add(People(opened(Role.ADMIN), atrest=DESK_ATREST, clock=clock, ids=Ulids(clock)))


def later(clock: FixedClock, seconds: float) -> None:
    from datetime import timedelta

    clock.at += timedelta(seconds=seconds)


async def test_a_session_ends_when_idle_and_after_its_day(people: People, clock: FixedClock) -> None:
    id, token = await add(people), Secret("token-1")
    await people.start_session(id, token)
    found = await people.session(token)
    assert found is not None
    assert found.user.id == id
    assert await people.session(Secret("token-2")) is None
    later(clock, limits.SESSION_IDLE_SECONDS - 1)
    assert await people.session(token) is not None, "and the visit is noted"
    later(clock, limits.SESSION_IDLE_SECONDS - 1)
    assert await people.session(token) is not None
    later(clock, limits.SESSION_IDLE_SECONDS + 1)
    assert await people.session(token) is None
    await people.start_session(id, token2 := Secret("token-3"))
    for _ in range(int(limits.SESSION_ABSOLUTE_SECONDS // 600)):
        later(clock, 600)
        last = await people.session(token2)
    assert last is None


@pytest.mark.parametrize("change", [{"role": "admin"}, {"password": "x"}, {"disabled": True}])
async def test_a_change_of_rights_ends_sessions(people: People, change: dict) -> None:
    id, token = await add(people), Secret("t")
    await people.start_session(id, token)
    await people.change_user(id, by="ada", language="es")
    assert await people.session(token) is not None
    await people.change_user(id, by="ada", **change)
    assert await people.session(token) is None


async def test_signing_out(people: People) -> None:
    id = await add(people)
    for token in ("a", "b", "c"):
        await people.start_session(id, Secret(token))
    await people.end_session(Secret("a"))
    assert await people.session(Secret("a")) is None
    assert await people.end_sessions(id) == 2


async def test_a_session_row_does_not_let_anybody_in(people: People, desk: Database) -> None:
    await people.start_session(await add(people), Secret("a-very-secret-token"))
    rows = await desk.read(lambda conn: conn.execute(select(schema.sessions.c.key)).all())
    assert b"a-very-secret-token" not in bytes(rows[0][0])


async def test_drafts_are_kept_sealed(people: People, desk: Database) -> None:
    await people.save_draft("ann", "c1", Secret("dear alice, ñ"))
    await people.save_draft("ann", "c1", Secret("dear alice, yes"))
    draft = await people.draft("ann", "c1")
    assert draft is not None
    assert draft.text.reveal() == "dear alice, yes"
    assert await people.draft("sam", "c1") is None
    (row,) = await desk.read(lambda conn: conn.execute(select(schema.drafts)).all())
    assert b"alice" not in row.sealed
    await people.save_draft("ann", "c1", Secret(""))
    assert await people.draft("ann", "c1") is None


async def test_a_repeated_request_gets_the_first_answer(people: People, clock: FixedClock) -> None:
    assert await people.begin("ann", "key-1", b"r" * 32) is None
    kept = await people.begin("ann", "key-1", b"r" * 32)
    assert kept is not None
    assert (kept.same_request, kept.status, kept.answer) == (True, None, None)
    await people.finish("ann", "key-1", 201, Secret(b'{"id":1}'))
    kept = await people.begin("ann", "key-1", b"other")
    assert kept is not None
    assert kept.answer is not None
    assert (kept.same_request, kept.status, kept.answer.reveal()) == (False, 201, b'{"id":1}')
    assert await people.begin("sam", "key-1", b"r" * 32) is None, "keys are a person's own"
    await people.abandon("sam", "key-1")
    assert await people.begin("sam", "key-1", b"r" * 32) is None
    later(clock, 61)
    assert await people.begin("sam", "key-1", b"r" * 32) is None, "its process must have died"
    later(clock, limits.IDEMPOTENCY_SECONDS)
    assert await people.begin("ann", "key-1", b"r" * 32) is None

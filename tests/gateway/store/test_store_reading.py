"""What the desk reads: verified or marked; pages, counts, and a feed that skips nothing."""

from __future__ import annotations

import asyncio
import threading

import pytest
from sqlalchemy import create_engine, delete, insert, select, text, update
from store_rows import BOB, DESK_ATREST, STAMPER, House

from gateway.rules import Action, Decision
from gateway.states import Talk
from gateway.store import schema
from gateway.store.database import Database, Role
from gateway.store.feed import Kind, put_feed
from gateway.store.reading import Reading, View
from keys.atrest import AtRest
from keys.box import SigningKey
from keys.secret import Secret
from keys.stamping import Stamper


def tamper(store_url: str, *statements) -> None:
    """As somebody who has the database, but no key."""
    engine = create_engine(store_url)
    with engine.begin() as conn:
        for statement in statements:
            conn.execute(statement)
    engine.dispose()


MESSAGES, TALKS = schema.messages, schema.conversations


async def talk(house: House, count: int = 3):
    first = await house.receive("one", message_id="<1@e>")
    for number in range(1, count):
        await house.receive(f"number {number}", references=("<1@e>",))
    return first


async def test_a_changed_row_is_not_shown(house: House, store_url: str) -> None:
    filed = await talk(house)
    tamper(store_url, update(MESSAGES).where(MESSAGES.c.sequence == 2).values(sealed=b"\x01" + b"x" * 60))
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert [one.content is None for one in opened.messages] == [False, True, False]
    assert not opened.intact


@pytest.mark.parametrize("column", ["policy_version", "revision"])
async def test_a_changed_number_is_noticed(house: House, store_url: str, column: str) -> None:
    filed = await talk(house)
    tamper(store_url, update(MESSAGES).where(MESSAGES.c.sequence == 3).values({column: 99}))
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert opened.messages[2].content is None
    assert not opened.intact


async def test_a_row_of_another_conversation_is_not_shown(house: House, store_url: str) -> None:
    mine, other = await talk(house, 1), await house.receive("secret of bob", author=BOB)
    tamper(
        store_url,
        delete(MESSAGES).where(MESSAGES.c.id == mine.message),
        update(MESSAGES).where(MESSAGES.c.id == other.message).values(conversation_id=mine.conversation),
    )
    opened = await house.reading.conversation(mine.conversation)
    assert opened is not None
    assert [one.content for one in opened.messages] == [None]
    assert not opened.intact


async def test_a_missing_row_and_a_swap_are_noticed(house: House, store_url: str) -> None:
    filed = await talk(house, 4)
    tamper(store_url, delete(MESSAGES).where(MESSAGES.c.sequence == 4))
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert not opened.intact
    assert all(one.content is not None for one in opened.messages)


async def test_an_old_head_with_its_old_rows_cannot_be_put_back(house: House, store_url: str) -> None:
    filed = await talk(house, 2)
    engine = create_engine(store_url)
    with engine.begin() as conn:
        before = conn.execute(select(TALKS)).mappings().one()
    await house.receive("three", references=("<1@e>",))
    with engine.begin() as conn:
        conn.execute(delete(MESSAGES).where(MESSAGES.c.sequence == 3))
        conn.execute(update(TALKS).values(**{key: before[key] for key in ("epoch", "length", "chain", "stamp")}))
    engine.dispose()
    opened = await house.reading.conversation(filed.conversation)
    assert opened is not None
    assert not opened.intact, "the feed tells of a later epoch"


async def test_another_stamper_another_tenant_and_a_destroyed_key_show_nothing(
    house: House, desk: Database, store_url: str
) -> None:
    filed = await talk(house, 1)
    stranger = Stamper(SigningKey(Secret(b"z" * 32))).public
    for reading in (
        Reading(desk, atrest=DESK_ATREST, stamps=stranger, tenant="main", clock=house.clock),
        Reading(desk, atrest=DESK_ATREST, stamps=STAMPER.public, tenant="other", clock=house.clock),
        Reading(desk, atrest=AtRest.single(Secret(b"o" * 32)), stamps=STAMPER.public, tenant="main", clock=house.clock),
    ):
        opened = await reading.conversation(filed.conversation)
        assert opened is not None
        assert opened.messages[0].content is None


async def test_the_list_shows_newest_and_inbound_and_pages_through(house: House) -> None:
    first = await house.receive("the question", message_id="<1@e>")
    await house.answer(first, "the answer")
    others = [await house.receive(f"n{number}", author=BOB) for number in range(4)]
    seen, cursor = [], ""
    while True:
        page, cursor = await house.reading.page(View(), cursor, 2)
        seen += page
        if not cursor:
            break
    assert [one.conversation.id for one in seen] == [one.conversation for one in reversed(others)] + [
        first.conversation
    ]
    last = seen[-1]
    assert last.inbound is not None
    assert last.newest is not None
    assert last.inbound.content is not None
    assert last.newest.content is not None
    assert (last.inbound.content.text, last.newest.content.text) == ("the question", "the answer")
    oldest, _ = await house.reading.page(View(oldest=True), "", 1)
    assert oldest[0].conversation.id == first.conversation
    with pytest.raises(ValueError):
        await house.reading.page(View(), "1 or 1=1", 2)


async def test_views_and_counts(house: House) -> None:
    mine = await house.receive()
    shut = await house.receive(author=BOB)
    other = await house.receive(author=BOB, where={"queue": "billing"})
    lease = await house.conversations.claim(mine.conversation, "ann", 60)
    assert lease is not None
    closing = await house.conversations.claim(shut.conversation, "sam", 60)
    assert closing is not None
    await house.conversations.close(shut.conversation, "sam", closing.fence)

    async def ids(view: View) -> set[str]:
        return {one.conversation.id for one in (await house.reading.page(view))[0]}

    assert await ids(View()) == {mine.conversation, other.conversation}
    assert await ids(View(mine="ann")) == {mine.conversation}
    assert await ids(View(mine="sam")) == set()
    assert await ids(View(states=(Talk.CLOSED,))) == {shut.conversation}
    assert await ids(View(states=(Talk.OPEN,))) == {other.conversation}
    assert await ids(View(states=(Talk.CLAIMED,))) == {mine.conversation}
    assert await ids(View(states=tuple(Talk))) == {mine.conversation, shut.conversation, other.conversation}
    assert await ids(View(queues=("billing",))) == {other.conversation}
    assert await ids(View(contact=shut.contact, states=tuple(Talk))) == {shut.conversation, other.conversation}
    claim = await house.arrive()
    await house.spool.hold(claim, Decision(Action.HOLD), None, expires_at=0, queue="billing")
    counts = await house.reading.counts("ann", None)
    assert (counts.open, counts.claimed, counts.mine, counts.held) == ({"billing": 1}, {"support": 1}, 1, 1)
    few = await house.reading.counts("sam", ["support"])
    assert (few.open, few.claimed, few.mine, few.held) == ({}, {"support": 1}, 0, 0)
    house.later(61)
    assert await ids(View(states=(Talk.OPEN,))) == {mine.conversation, other.conversation}, "leases run out"


async def test_a_case_number_finds_its_conversation_in_any_spelling(house: House) -> None:
    filed = await house.receive()
    for spelling in (filed.number, filed.number.lower(), filed.number.replace("-", ""), f" {filed.number} "):
        assert await house.reading.by_number(spelling) == filed.conversation
    assert await house.reading.by_number("V-0000-0001") is None


async def test_held_rows_for_the_desk_hide_what_is_the_inspectors(house: House) -> None:
    claim = await house.arrive()
    await house.spool.hold(claim, Decision(Action.REJECT), None, expires_at=5, for_desk=b"d", for_inspector=b"i")
    (row,), _ = await house.reading.held(["support"])
    assert (row.id, row.refused, row.for_desk, row.for_inspector, row.box) == (claim.id, True, b"d", None, b"")
    assert await house.reading.held_row(claim.id) == row
    assert await house.reading.held_row("no") is None


async def test_the_feed_tells_each_change_once(house: House) -> None:
    start = await house.reading.now()
    filed = await house.receive()
    lease = await house.conversations.claim(filed.conversation, "ann", 60)
    assert lease is not None
    changes = await house.reading.changes(start)
    assert [(one.kind, one.conversation) for one in changes.entries] == [
        ("message", filed.conversation), ("conversation", filed.conversation),
    ]  # fmt: skip
    assert not changes.missed
    again = await house.reading.changes(changes.cursor)
    assert again.entries == ()
    assert again.cursor == changes.cursor
    partly = await house.reading.changes(changes.entries[0].cursor)
    assert [one.kind for one in partly.entries] == ["conversation"]
    with pytest.raises(ValueError):
        await house.reading.changes("x")


async def test_a_cursor_of_long_ago_or_of_another_life_is_told(house: House) -> None:
    start = await house.reading.now()
    house.later(8 * 86400)
    assert (await house.reading.changes(start)).missed
    changes = await house.reading.changes("999999999.999999999.1")
    assert changes.missed
    assert not (await house.reading.changes(changes.cursor)).missed


async def test_a_late_commit_is_not_skipped(postgres_url: str, clock) -> None:
    """An entry with a lower position that commits after a higher one was read."""
    desk = Database.open(postgres_url, Role.DESK, clock=clock)
    reading = Reading(desk, atrest=DESK_ATREST, stamps=STAMPER.public, tenant="main", clock=clock)
    start = await reading.now()
    engine = create_engine(postgres_url)
    first, second, third, fourth = (engine.connect() for _ in range(4))
    for conn in (first, second):
        conn.begin()
    seen: list[str | None] = []
    cursor = start

    async def look(until: int = 0) -> None:
        """Anything else that runs on the server may hold the feed back for a moment."""
        nonlocal cursor
        for _ in range(200):
            changes = await reading.changes(cursor)
            cursor = changes.cursor
            seen.extend(one.object for one in changes.entries)
            if len(seen) >= until:
                return
            await asyncio.sleep(0.05)

    # xids are taken first → second, positions second → first
    first.execute(text("SELECT pg_current_xact_id()"))
    put_feed(second, Kind.MESSAGE, 1, object="b")
    put_feed(first, Kind.MESSAGE, 1, object="a")
    second.commit()
    await look()
    assert seen == [], "an older transaction still runs"
    first.commit()
    await look(2)
    assert sorted(map(str, seen)) == ["a", "b"]
    # and the other way about: the younger transaction has the lower position and commits last
    for conn in (third, fourth):
        conn.begin()
    third.execute(text("SELECT pg_current_xact_id()"))
    put_feed(fourth, Kind.MESSAGE, 1, object="d")
    put_feed(third, Kind.MESSAGE, 1, object="c")
    third.commit()
    await look()
    fourth.commit()
    await look(4)
    assert sorted(map(str, seen)) == ["a", "b", "c", "d"]
    for conn in (first, second, third, fourth):
        conn.close()
    engine.dispose()
    await desk.close()


async def test_a_reader_among_busy_writers_misses_nothing(house: House, store_url: str) -> None:
    """Many writers commit in any order; a reader that follows sees each entry once."""
    cursor, seen = await house.reading.now(), []
    engine = create_engine(store_url, connect_args={} if "postgresql" in store_url else {"timeout": 30})

    def write(writer: int) -> None:
        for number in range(25):
            with engine.begin() as conn:
                conn.execute(insert(schema.rates).values(key=bytes([writer]), slot=number, count=1))
                put_feed(conn, Kind.MESSAGE, 1, object=f"{writer}-{number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    while True:
        done = not any(one.is_alive() for one in threads)
        changes = await house.reading.changes(cursor)
        cursor = changes.cursor
        seen += [one.object for one in changes.entries]
        if done and not changes.entries:
            break
    engine.dispose()
    assert len(seen) == len(set(seen)) == 100

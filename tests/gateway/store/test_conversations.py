"""Claims of conversations: leases with a fencing token; states by one table."""

from __future__ import annotations

from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st
from store_rows import House

from gateway.errors import Fenced
from gateway.states import CHANGES, Answered, Asked, Sending, Spooled, Talk, may

EVERY = [member for kind in (Spooled, Talk, Answered, Sending, Asked) for member in kind]


async def test_one_agent_at_a_time(house: House) -> None:
    filed = await house.receive()
    mine = await house.conversations.claim(filed.conversation, "ann", 60)
    assert mine is not None
    assert await house.conversations.claim(filed.conversation, "sam", 60) is None
    assert await house.conversations.holds(filed.conversation, "ann", mine.fence)
    longer = await house.conversations.claim(filed.conversation, "ann", 120)
    assert longer is not None
    assert (longer.fence, longer.until > mine.until) == (mine.fence, True)
    await house.conversations.release(filed.conversation, "ann", mine.fence)
    assert not await house.conversations.holds(filed.conversation, "ann", mine.fence)
    theirs = await house.conversations.claim(filed.conversation, "sam", 60)
    assert theirs is not None
    assert theirs.fence > mine.fence


async def test_a_lease_that_ran_out_is_worth_nothing(house: House) -> None:
    filed = await house.receive()
    old = await house.conversations.claim(filed.conversation, "ann", 60)
    assert old is not None
    house.later(61)
    assert not await house.conversations.holds(filed.conversation, "ann", old.fence)
    for act in (house.conversations.release, house.conversations.close):
        with pytest.raises(Fenced):
            await act(filed.conversation, "ann", old.fence)
    new = await house.conversations.claim(filed.conversation, "sam", 60)
    assert new is not None
    with pytest.raises(Fenced):
        await house.conversations.close(filed.conversation, "sam", new.fence - 1)


async def test_a_supervisor_takes_over_and_the_agent_is_fenced(house: House) -> None:
    filed = await house.receive()
    mine = await house.conversations.claim(filed.conversation, "ann", 60)
    assert mine is not None
    theirs = await house.conversations.take_over(filed.conversation, "sam", 60)
    assert theirs is not None
    with pytest.raises(Fenced):
        await house.conversations.release(filed.conversation, "ann", mine.fence)
    await house.conversations.close(filed.conversation, "sam", theirs.fence)
    assert await house.conversations.claim(filed.conversation, "ann", 60) is None, "closed"
    assert await house.conversations.take_over(filed.conversation, "sam", 60) is None
    assert await house.conversations.reopen(filed.conversation, "ann")
    assert not await house.conversations.reopen(filed.conversation, "ann")
    assert await house.conversations.claim(filed.conversation, "ann", 60) is not None
    assert await house.conversations.claim("unknown", "ann", 60) is None


@pytest.mark.parametrize("hours", [-24, 24])
async def test_a_clock_that_steps_leaves_no_conversation_locked(house: House, hours: int) -> None:
    filed = await house.receive()
    await house.conversations.claim(filed.conversation, "ann", 60)
    house.later(hours * 3600)
    assert await house.conversations.claim(filed.conversation, "sam", 60) is not None


@given(st.sampled_from(EVERY), st.sampled_from(EVERY))
def test_states_change_only_within_their_kind_and_as_the_table_says(before: StrEnum, after: StrEnum) -> None:
    allowed = may(before, after)  # type: ignore[arg-type]
    assert allowed == (type(before) is type(after) and after in CHANGES[type(before)][before])  # type: ignore[index]
    if before is after:
        assert not allowed


def test_every_state_is_in_the_table_and_every_living_one_leads_on() -> None:
    for kind, rows in CHANGES.items():
        assert set(rows) == set(kind), kind
        reachable, found = {next(iter(kind))}, True
        while found:
            more = {after for before in reachable for after in rows[before]} - reachable
            found, reachable = bool(more), reachable | more
        assert reachable == set(kind), f"no way to some state of {kind}"


def test_words_that_two_kinds_share_stay_apart() -> None:
    assert may(Spooled.WORKING, Spooled.HELD)
    assert not may(Asked.WAITING, Spooled.WORKING)  # type: ignore[arg-type]
    assert not may(Answered.WORKING, Spooled.HELD)  # type: ignore[arg-type]

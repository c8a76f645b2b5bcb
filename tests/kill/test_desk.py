"""The desk dies while an agent's answer is being taken: the browser asks again, and the customer gets one answer."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from desk_client import Visitor
from house import House, free_port
from letterbox import judge_replies
from mta import Mta
from sink import Sink

from gateway.cli.user import add_user
from keys.secret import Secret

pytestmark = pytest.mark.timeout(300)
PASSWORD = "a quiet evening on the pier"


@pytest.fixture(scope="module")
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, sink: Sink) -> Iterator[House]:
    port = free_port()
    made = House(
        tmp_path_factory.mktemp("desk") / "g", roles=("edge", "inspector", "desk"), smarthost_port=sink.port, port=port,
        port_desk=free_port(port), settings={"notices": "first_contact = false\nheld = false"},
    )  # fmt: skip
    try:
        made.prepare()
        add_user(
            made.config, login="ann", name="Ann", role="agent", password=Secret(PASSWORD), queues=(), language="en"
        )
        made.start()
        yield made
    finally:
        made.close()


async def insist(house: House, conversation: str, words: str, key: str, *, minutes_later: bool = False) -> str:
    """As a browser that asks until it has an answer, always under the same key. The reply's id."""
    visitor = Visitor(SimpleNamespace(base=f"http://127.0.0.1:{house.port_desk}"))  # type: ignore[arg-type]
    try:
        return await _insist(house, visitor, conversation, words, key, minutes_later=minutes_later)
    finally:
        await visitor.close()


async def _insist(
    house: House, visitor: Visitor, conversation: str, words: str, key: str, *, minutes_later: bool
) -> str:
    signed_in = False
    for attempt in range(200):
        try:
            if not signed_in:
                answer_in = await visitor.sign_in("ann", PASSWORD)
                assert answer_in.status == 303, (answer_in.status, attempt)
                signed_in = True
            path = f"/api/conversations/{conversation}/replies"
            status, answer = await visitor.send("POST", path, {"text": words, "seen": 1}, key=key)
            if status == 202:
                return str(answer["id"])
            assert status in (409, 503), (status, answer)
            if minutes_later and str(answer.get("type", "")).endswith(":conflict"):
                house.step_clock(120)  # a key that was begun and never finished is free again after a minute
        except (aiohttp.ClientError, OSError):
            pass  # it is dead, or not up yet
        await asyncio.sleep(0.05 + attempt / 100)
    raise AssertionError("no answer")


def talk(house: House) -> str:
    mta = Mta(f"d{uuid.uuid4().hex[:8]}", lambda: house.port)
    mta.post(1)
    mta.flush()
    mta.stop()
    found = house.wait_for(
        lambda: house.rows(f"SELECT conversation_id FROM messages WHERE id = '{mta.sent[0].id}'"), 60, "the message"
    )
    id = str(found[0][0])
    known = f"SELECT 1 FROM conversations WHERE id = '{id}' AND protect IN ('clear', 'sealed')"
    house.wait_for(lambda: house.rows(known), 60, "how a reply would leave")
    return id


@pytest.mark.parametrize("point", ["REPLY_PUT_BEFORE_COMMIT", "REPLY_PUT_AFTER_COMMIT"])
def test_a_desk_killed_while_it_takes_a_reply_sends_it_once(house: House, sink: Sink, point: str) -> None:
    conversation = talk(house)
    house.leave("desk")
    house.tell(do="arm", role="desk", at=point)
    house.come("desk")
    pid = house.newest("desk")
    key = str(uuid.uuid4())
    id = asyncio.run(insist(house, conversation, "It is on its way.", key, minutes_later=True))
    house.died("desk", pid)
    house.step_clock(0)
    assert asyncio.run(insist(house, conversation, "It is on its way.", key)) == id
    rows: Any = house.rows(f"SELECT id FROM replies WHERE conversation_id = '{conversation}'")
    assert rows == [(id,)]
    house.wait_for(lambda: house.rows(f"SELECT 1 FROM outbox WHERE id = '{id}' AND state = 'sent'"), 60, "its leaving")
    tally = judge_replies(house, [id], [mail for mail in sink.mails if id.lower().encode() in mail.raw])
    assert tally.sound, tally.details


def test_a_desk_killed_at_random_takes_each_reply_once(house: House, sink: Sink) -> None:
    conversation = talk(house)
    ids = []

    async def cycle(number: int) -> str:
        words = f"Answer number {number}."
        asking = asyncio.create_task(insist(house, conversation, words, str(uuid.uuid4()), minutes_later=True))
        await asyncio.sleep(0.02 * number)
        house.recovered("desk", house.kill_now("desk"))
        return await asking

    for number in range(4):
        ids.append(asyncio.run(cycle(number)))
        house.step_clock(0)
    written = [str(row[0]) for row in house.rows(f"SELECT id FROM replies WHERE conversation_id = '{conversation}'")]
    assert sorted(written) == sorted(ids)

"""Live events: ids and kinds only, nothing missed, nothing for those who may not know, and bounded."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from desk_client import Visitor
from desk_seed import FORGED, Office, letter

from gateway import limits


async def follow(answer: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, dict[str, str]]]:
    id, event = "", ""
    async for line in answer.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "id":
            id = value
        elif name == "event":
            event = value
        elif name == "data":
            yield id, event, json.loads(value)


async def take(answer: aiohttp.ClientResponse, count: int, kind: str = "") -> list[tuple[str, dict[str, str]]]:
    found: list[tuple[str, dict[str, str]]] = []
    async with asyncio.timeout(10):
        async for id, event, facts in follow(answer):
            if event == "change" and (not kind or facts["kind"] == kind):
                found.append((id, facts))
                if len(found) == count:
                    return found
    return found


async def test_a_change_arrives_within_a_moment_and_says_nothing_of_its_content(office: Office, enter) -> None:
    ann: Visitor = await enter(office, "ann")
    async with ann.http.get("/api/events") as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        await asyncio.sleep(0.1)
        filed = await office.message(letter("A secret wish", subject="Hidden subject"))
        ((_, facts),) = await take(answer, 1, "message")
        assert facts == {"kind": "message", "conversation": filed.conversation, "object": filed.message}


async def test_a_reader_who_comes_back_misses_nothing(office: Office, enter) -> None:
    ann: Visitor = await enter(office, "ann")
    first = await office.message(letter())
    async with ann.http.get("/api/events") as answer:
        await asyncio.sleep(0.1)
        filed = await office.message(letter(author="bob@example.net"))
        ((cursor, facts),) = await take(answer, 1, "message")
        assert facts["object"] == filed.message
    later = [await office.message(letter(author=f"c{number}@example.net")) for number in range(5)]
    async with ann.http.get("/api/events", headers={"Last-Event-ID": cursor}) as answer:
        seen = await take(answer, 5, "message")
    assert [facts["object"] for _, facts in seen] == [one.message for one in later]
    assert first.message not in str(seen)


async def test_a_cursor_that_is_not_ours_starts_afresh(lite: Office, enter) -> None:
    ann: Visitor = await enter(lite, "ann")
    async with ann.http.get("/api/events", headers={"Last-Event-ID": "x\x01nonsense"[0] + "-nonsense"}) as answer:
        assert answer.status == 200
        async for _, event, _ in follow(answer):
            assert event == "hello"
            break


async def test_who_may_not_know_is_not_told(lite: Office, enter) -> None:
    await lite.person("eva", "agent", queues=("support",))
    eva, ada = await enter(lite, "eva"), await enter(lite, "ada")
    async with eva.http.get("/api/events") as evas, ada.http.get("/api/events") as adas:
        await asyncio.sleep(0.2)
        await lite.message(letter(), queue="billing")
        held = await lite.hold(FORGED)
        mine = await lite.message(letter(author="bob@example.net"))
        ((_, facts),) = await take(evas, 1)
        assert facts["conversation"] == mine.conversation
        ((_, facts),) = await take(adas, 1)
        assert (facts["conversation"], facts["object"]) == ("", held)


async def test_a_person_has_a_handful_of_streams(lite: Office, enter) -> None:
    ann: Visitor = await enter(lite, "ann")
    answers = [await ann.http.get("/api/events") for _ in range(limits.STREAMS_PER_PERSON)]
    assert {answer.status for answer in answers} == {200}
    async with ann.http.get("/api/events") as one_more:
        assert one_more.status == 429
    for answer in answers:
        answer.close()
    sam = await enter(lite, "sam")
    async with sam.http.get("/api/events") as other:
        assert other.status == 200


async def test_a_stream_ends_with_its_session(lite: Office, enter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "STREAM_HEARTBEAT_SECONDS", 0.3)
    here, there = await enter(lite, "ann"), await enter(lite, "ann")
    async with here.http.get("/api/events") as answer:
        await there.form("/sign-out-everywhere", {})
        events = []
        async with asyncio.timeout(5):
            async for _, event, _ in follow(answer):
                events.append(event)
        assert events[-1] == "signed-out"

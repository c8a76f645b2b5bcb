"""What was refused or deferred at the door is in the audit, and a flood of it takes little room."""

from __future__ import annotations

from dataclasses import replace

from messages import inbound
from store_rows import House

from channels.contract import Inbound, Verdict
from gateway import audit, limits
from gateway.rules import Code
from gateway.turned_away import TurnedAway

CODE = Code("transport.clear")


def message(peer: str | None) -> Inbound:
    one: Inbound = inbound()
    return replace(one, transport=replace(one.transport, peer=peer))


async def records(house: House) -> list[dict[str, object]]:
    leaves = await house.edge.read(lambda conn: audit.read(conn, limit=1_000))
    told = [dict(leaf["facts"]) | {"event": leaf["event"]} for leaf in leaves]
    return [one for one in told if one["event"].startswith("message.")]


async def test_a_refusal_is_told_with_its_rule_its_peer_and_how_often(house: House) -> None:
    away = TurnedAway(house.edge)
    for _ in range(3):
        away.note(Verdict.REFUSED, message("::1"), CODE)
    away.note(Verdict.DEFERRED, message(None), CODE)
    assert await records(house) == []
    await away.flush()
    await away.flush()
    told = sorted(await records(house), key=lambda one: str(one["event"]))
    assert [(one["event"], one["count"], one.get("peer")) for one in told] == [
        ("message.deferred", 1, None),
        ("message.refused", 3, "0000:0000:0000:0000:0000:0000:0000:0001"),
    ]
    assert told[0]["codes"] == [CODE]


async def test_a_flood_from_everywhere_is_a_few_records(house: House) -> None:
    away = TurnedAway(house.edge)
    for number in range(1_000):
        away.note(Verdict.REFUSED, message(f"192.0.{number // 250}.{number % 250}"), CODE)
    await away.flush()
    told = await records(house)
    assert len(told) == limits.DOOR_RECORDS + 1
    assert sum(int(str(one["count"])) for one in told) == 1_000

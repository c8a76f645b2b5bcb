"""Intake: what is answered when, and what is kept then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from channels.contract import (
    Address,
    Answer,
    Authentication,
    ChannelName,
    Envelope,
    Inbound,
    MailboxName,
    Pace,
    Result,
    Terms,
    Transport,
    Verdict,
    WireId,
)
from channels.keyed import Keyed
from gateway import intake as module
from gateway.crossing import admitted
from gateway.errors import StoreDown, StoreError, StoreFull
from gateway.ids import SystemClock, Ulids
from gateway.intake import BUSY, NO_SPACE, TEMPORARY, Intake, Room, Sealing
from gateway.layers import Layer
from gateway.rules import Action, Code, Finding, Rule
from gateway.store.spool import NewSpoolRow, Put
from keys.box import Binding, PublicKeys, Purpose, SigningKey, dump
from keys.secret import Secret
from keys.unbox import BoxPrivateKey, open_box

KEYED = Keyed(Secret(b"k" * 32))
TEXT = b"Subject: x\r\n\r\ncanary-4111111111111111\r\n"


def inbound(raw: bytes = TEXT, **changes: object) -> Inbound:
    message = Inbound(
        channel=ChannelName("email"), wire_id=WireId("w"), sender=Address("alice@example.org"), thread=None,
        received_at=datetime(2026, 5, 1, tzinfo=UTC), transport=Transport(tls="TLSv1.3", peer="192.0.2.1"),
        envelope=Envelope(mail_from=None, rcpt_to=(Address("support@acme.example"),)), authentication=Authentication(),
        terms=Terms(mailbox=MailboxName("support"), queue="support", language="en"), pace=Pace(),
        dedupe_key=KEYED.dedupe((raw,)), lane=b"l" * 32, body_key=b"b" * 32, raw=Secret(raw),
    )  # fmt: skip
    return replace(message, **changes)  # type: ignore[arg-type]


class Says:
    """A check that finds what it is told."""

    def __init__(self, *actions: Action) -> None:
        self.rules = tuple(
            Rule(Code(f"test.{name}"), Action[name.upper()], f"Because {name}", "7.7")
            for name in ("accept", "hold", "defer", "reject")
        )
        self.actions = list(actions)

    async def __call__(self, _message: Inbound, /) -> Sequence[Finding]:
        return [Finding(self.rules[action]) for action in self.actions]


class Boom(Says):
    async def __call__(self, _message: Inbound, /) -> Sequence[Finding]:
        raise RuntimeError("canary")


@dataclass
class Store:
    """Keeps rows by dedupe key, or raises what it is told."""

    error: BaseException | None = None
    gate: Callable[[], Awaitable[None]] | None = None
    rows: dict[bytes, NewSpoolRow] = field(default_factory=dict)

    async def put(self, row: NewSpoolRow) -> Put:
        if self.gate is not None:
            await self.gate()
        if self.error is not None:
            raise self.error
        first = self.rows.setdefault(row.dedupe_key, row)
        return Put(id=first.id, repeated=first is not row)


class Edge:
    def __init__(self, folder: Path, check: Says | None = None, **options: float) -> None:
        self.private = BoxPrivateKey.generate()
        self.signing = SigningKey(Secret(b"s" * 32))
        self.public = folder
        (folder / "spool.20260101T000000Z.1.pub").write_text(dump("box-public", self.private.public().raw))
        self.told: list[tuple[Verdict, str]] = []
        self.store, self.faults, self.waiting, self.free = Store(), [], 0, 10**12
        self.room = Room(lambda: self.free, self.count, reserve=10**6, high=10, low=5)
        self.layer = Layer("admission", (check or Says(),))
        self.intake = Intake(
            self.layer, sealing=Sealing(public=PublicKeys(folder), signing=self.signing), put=self.store.put,
            sender_key=lambda sender: sender.encode().ljust(32, b"\0"), room=self.room, ids=Ulids(SystemClock()),
            on_fault=self.faults.append, turned_away=lambda verdict, _, code: self.told.append((verdict, code)),
            **options,
        )  # fmt: skip

    async def count(self) -> int:
        return self.waiting

    def open(self, row: NewSpoolRow) -> Inbound:
        binding = Binding(purpose=Purpose.SPOOL, row=row.id, channel=row.channel)
        keys, senders = {self.private.public().id: self.private}, {self.signing.public.id: self.signing.public}
        return admitted(open_box(row.box, binding=binding, keys=keys, senders=senders)).message


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    return Edge(tmp_path)


async def test_an_accepted_message_is_kept_sealed_and_only_the_inspector_can_open_it(edge: Edge) -> None:
    answer = await edge.intake(inbound())
    (row,) = edge.store.rows.values()
    assert answer == Answer(verdict=Verdict.ACCEPTED, says="Queued", status="0.0", wire_id=row.id)
    assert b"canary" not in row.box
    assert b"alice" not in row.box
    assert edge.open(row) == inbound()
    assert (row.channel, row.lane, row.received_at) == ("email", b"l" * 32, 1_777_593_600_000_000)
    assert row.sender_key.startswith(b"alice")


async def test_a_repeat_hears_the_first_ones_id(edge: Edge) -> None:
    first = await edge.intake(inbound())
    again = await edge.intake(inbound())
    other = await edge.intake(inbound(b"other"))
    assert first == again != other
    assert len(edge.store.rows) == 2


@pytest.mark.parametrize(
    ("actions", "verdict", "says"),
    [
        ([Action.ACCEPT], Verdict.ACCEPTED, "Queued"),
        ([Action.HOLD], Verdict.ACCEPTED, "Queued"),
        ([Action.DEFER], Verdict.DEFERRED, "Because defer"),
        ([Action.REJECT], Verdict.REFUSED, "Because reject"),
        ([Action.HOLD, Action.DEFER], Verdict.DEFERRED, "Because defer"),
        ([Action.DEFER, Action.REJECT, Action.ACCEPT], Verdict.REFUSED, "Because reject"),
    ],
)
async def test_the_worst_action_decides_and_its_rule_speaks(
    tmp_path: Path, actions: list[Action], verdict: Verdict, says: str
) -> None:
    edge = Edge(tmp_path, Says(*actions))
    answer = await edge.intake(inbound())
    assert (answer.verdict, answer.says) == (verdict, says)
    assert len(edge.store.rows) == (verdict is Verdict.ACCEPTED)
    for row in edge.store.rows.values():
        assert row.findings == tuple(Code(f"test.{action.name.lower()}") for action in actions)


async def test_a_broken_check_defers_and_keeps_nothing(tmp_path: Path) -> None:
    edge = Edge(tmp_path, Boom())
    answer = await edge.intake(inbound())
    assert (answer.verdict, answer.says) == (Verdict.DEFERRED, "Temporary failure, try again later")
    assert edge.store.rows == {}


@pytest.mark.parametrize(
    ("error", "answer"),
    [
        (StoreDown("away"), TEMPORARY),
        (StoreFull("full"), NO_SPACE),
        (StoreError("canary"), TEMPORARY),
        (RuntimeError("canary"), TEMPORARY),
        (OSError(28, "canary"), TEMPORARY),
    ],
)
async def test_a_store_that_fails_defers_and_says_nothing(edge: Edge, error: Exception, answer: Answer) -> None:
    edge.store.error = error
    heard = await edge.intake(inbound())
    assert heard == answer
    assert "canary" not in heard.says


async def test_without_a_key_to_seal_to_nothing_is_taken(edge: Edge) -> None:
    for file in edge.public.iterdir():
        file.unlink()
    assert await edge.intake(inbound()) == TEMPORARY
    assert len(edge.faults) == 1
    assert edge.store.rows == {}


async def test_a_cancelled_sender_does_not_take_the_commit_back(edge: Edge) -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go.wait()

    edge.store.gate = wait
    task = asyncio.create_task(edge.intake(inbound()))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    await edge.intake.settle()
    assert len(edge.store.rows) == 1


async def test_a_commit_that_takes_too_long_defers_and_its_retry_finds_it(tmp_path: Path) -> None:
    edge = Edge(tmp_path, commit_seconds=0.05)
    go = asyncio.Event()
    edge.store.gate = lambda: go.wait()  # type: ignore[assignment,return-value]
    assert await edge.intake(inbound()) == TEMPORARY
    go.set()
    await edge.intake.settle()
    (row,) = edge.store.rows.values()
    again = await edge.intake(inbound())
    assert (again.verdict, again.wire_id) == (Verdict.ACCEPTED, row.id)


async def test_a_large_message_is_sealed_off_the_loop(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "IN_THREAD_BYTES", 10)
    answer = await edge.intake(inbound())
    (row,) = edge.store.rows.values()
    assert answer.wire_id == row.id
    assert edge.open(row).raw.reveal() == TEXT


async def test_strangers_wait_while_too_much_waits_and_known_senders_do_not(edge: Edge) -> None:
    known = [
        inbound(b"1", authentication=Authentication(dmarc=Result.PASS)),
        inbound(b"2", transport=Transport(tls="TLSv1.3", login="relay")),
    ]
    for waiting, crowded in ((9, False), (10, True), (6, True), (5, False), (9, False)):
        edge.waiting = waiting
        await edge.room.look()
        assert edge.room.crowded is crowded
        assert (await edge.intake(inbound()) == BUSY) is crowded
        for message in known:
            assert (await edge.intake(message)).verdict is Verdict.ACCEPTED


async def test_a_store_that_is_away_changes_nothing_about_the_backlog(edge: Edge) -> None:
    async def away() -> int:
        raise StoreDown("away")

    edge.waiting = 10
    await edge.room.look()
    edge.room._backlog = away
    await edge.room.look()
    assert edge.room.crowded


async def test_a_disk_that_is_nearly_full_takes_nothing(edge: Edge) -> None:
    edge.free = 10**6 - 1
    await edge.room.look()
    assert await edge.intake(inbound()) == NO_SPACE
    edge.free = 10**6
    await edge.room.look()
    assert (await edge.intake(inbound())).verdict is Verdict.ACCEPTED


async def test_whatever_is_not_accepted_is_told_with_its_rule(tmp_path: Path) -> None:
    for name, check, told in (
        ("a", Says(Action.ACCEPT), []),
        ("b", Says(Action.DEFER, Action.REJECT), [(Verdict.REFUSED, "test.reject")]),
        ("c", Boom(), [(Verdict.DEFERRED, "check.failed")]),
    ):
        (tmp_path / name).mkdir()
        edge = Edge(tmp_path / name, check)
        await edge.intake(inbound())
        assert edge.told == told
    edge.room.full = True
    await edge.intake(inbound())
    assert edge.told[-1] == (Verdict.DEFERRED, "intake.full")

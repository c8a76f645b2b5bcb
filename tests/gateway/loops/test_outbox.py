"""The outbox's sender: attempts on record before they are made, doubt left to people, nothing sent twice by itself."""

from __future__ import annotations

from typing import Any

import pytest
from bench_hands import Pages, Silent
from store_rows import House

from channels.contract import Address, ChannelName, Demand, Outbound, Receipt, SendResult, Traits
from gateway import limits
from gateway.codec import pack
from gateway.errors import StoreDown
from gateway.ids import micros
from gateway.outbox import Sender, backoff
from gateway.store.outbox import NewOutboxRow
from keys.box import Binding, Purpose, SigningKey, seal
from keys.secret import Secret
from keys.unbox import BoxPrivateKey, open_box

INSPECTOR = SigningKey(Secret(b"q" * 32))
MALLORY = SigningKey(Secret(b"m" * 32))
KEY = BoxPrivateKey(Secret(bytes(reversed(range(96)))))
EMAIL = ChannelName("email")


class Channel:
    name = EMAIL
    traits = Traits(can_retry=True, max_text=1000)

    def __init__(self, *receipts: Receipt | Exception) -> None:
        self._receipts = list(receipts)
        self.sent: list[Outbound] = []

    async def serve(self, intake: Any, /) -> None:
        raise AssertionError

    async def send(self, message: Outbound, /) -> Receipt:
        self.sent.append(message)
        receipt = self._receipts[0] if len(self._receipts) == 1 else self._receipts.pop(0)
        if isinstance(receipt, Exception):
            raise receipt
        return receipt


def outbound(row: str, **more: Any) -> Outbound:
    values: dict[str, Any] = {
        "channel": EMAIL, "to": Address("alice@example.org"), "mail_from": Address("support@acme.example"),
        "thread": None, "idempotency_key": row, "tls": Demand.REQUIRED, "payload": Secret(b"Subject: x\r\n\r\n"),
    }  # fmt: skip
    return Outbound(**{**values, **more})


class Post:
    """A sender at its place. The inspector puts rows, the edge sends them."""

    def __init__(self, house: House, *receipts: Receipt | Exception) -> None:
        self.house, self.channel, self.pages = house, Channel(*receipts), Pages(house.clock)
        self.sender = Sender(
            outbox=house.sending, channels={EMAIL: self.channel}, unbox=self._unbox, ear=Silent(), jitter=lambda: 0.5,
            log=self.pages.log,
        )  # fmt: skip

    @staticmethod
    def _unbox(sealed: bytes, binding: Binding) -> Secret[bytes]:
        senders = {INSPECTOR.public.id: INSPECTOR.public}
        return open_box(sealed, binding=binding, keys={KEY.public().id: KEY}, senders=senders).payload

    async def put(self, *, by: SigningKey = INSPECTOR, bound_to: str = "", **more: Any) -> str:
        row = self.house.ids.new()
        binding = Binding(purpose=Purpose.OUTBOX, row=bound_to or row, channel="email")
        sealed = seal(pack(outbound(row, **more)), to=KEY.public(), by=by, binding=binding)
        await self.house.outbox.put(
            NewOutboxRow(
                id=row, channel="email", lane=row.encode(), kind="held", box=sealed, conversation=None,
                expires_at=micros(self.house.clock.now()) + int(limits.SEND_GIVE_UP_SECONDS * 1_000_000),
            )
        )  # fmt: skip
        return row

    async def turn(self) -> int:
        claims = await self.house.sending.claim(10, limits.SEND_LEASE_SECONDS)
        for claim in claims:
            await self.sender.process(claim)
        return len(claims)

    async def state(self, row: str) -> tuple[str, str]:
        from sqlalchemy import select

        from gateway.store.schema import outbox

        found = await self.house.inspector.read(
            lambda connection: connection.execute(
                select(outbox.c.state, outbox.c.reason).where(outbox.c.id == row)
            ).one()
        )
        return found.state, found.reason


SENT = Receipt(result=SendResult.SENT, tls="TLSv1.3")
LATER = Receipt(result=SendResult.RETRY, reason="host.unreachable")


async def test_a_row_is_sent_and_done(house: House) -> None:
    post = Post(house, SENT)
    row = await post.put()
    assert await post.turn() == 1
    assert await post.state(row) == ("sent", "")
    assert post.channel.sent[0].to == "alice@example.org"
    assert await post.turn() == 0


async def test_the_attempt_is_on_record_before_the_first_byte(house: House) -> None:
    post = Post(house, SENT)
    row = await post.put()

    class Looking(Channel):
        async def send(self, message: Outbound, /) -> Receipt:
            rows = await house.inspector.read(
                lambda connection: connection.exec_driver_sql("SELECT attempting FROM outbox").all()
            )
            assert [bool(one[0]) for one in rows] == [True]
            return await super().send(message)

    looking = Looking(SENT)
    post.sender._channels = {EMAIL: looking}
    await post.turn()
    assert len(looking.sent) == 1
    assert (await post.state(row))[0] == "sent"


async def test_a_sender_that_died_in_the_middle_leaves_doubt_and_sends_nothing_again(house: House) -> None:
    post = Post(house, SENT)
    row = await post.put()
    (claim,) = await house.sending.claim(10, limits.SEND_LEASE_SECONDS)
    await house.sending.attempting(claim)
    house.later(limits.SEND_LEASE_SECONDS + 1)
    await post.turn()
    assert post.channel.sent == []
    assert (await post.state(row))[0] == "doubt"


async def test_a_sender_that_died_before_the_attempt_is_followed_by_another(house: House) -> None:
    post = Post(house, SENT)
    row = await post.put()
    await house.sending.claim(10, limits.SEND_LEASE_SECONDS)
    house.later(limits.SEND_LEASE_SECONDS + 1)
    await post.turn()
    assert (await post.state(row))[0] == "sent"


@pytest.mark.parametrize(
    ("receipt", "state"),
    [
        (Receipt(result=SendResult.REFUSED, reason="smtp.rcpt", code=550), "refused"),
        (Receipt(result=SendResult.DOUBT, reason="connection.lost-after-body"), "doubt"),
        (RuntimeError("4111 1111 1111 1111"), "doubt"),
    ],
)
async def test_refusals_and_doubt_are_final_until_a_person_says_otherwise(
    house: House, receipt: Receipt | Exception, state: str
) -> None:
    post = Post(house, receipt, SENT)
    row = await post.put()
    await post.turn()
    assert (await post.state(row))[0] == state
    house.later(86_400)
    assert await post.turn() == 0
    assert "4111" not in post.pages.stream.getvalue()
    if state == "doubt":
        later = micros(house.clock.now()) + 10**12
        assert await house.outbox.resend(row, "ann", expires_at=later)
        await post.turn()
        assert (await post.state(row))[0] == "sent"


async def test_retries_back_off_and_end(house: House) -> None:
    post = Post(house, LATER)
    row = await post.put()
    turns = 0
    while (await post.state(row))[0] == "ready":
        turns += await post.turn()
        house.later(4.5 * 3600)
        await house.outbox.expire()
        assert turns < 200
    assert (await post.state(row))[0] in ("refused", "expired")
    assert 20 <= turns <= limits.SEND_ATTEMPTS


async def test_a_retry_waits_for_its_time(house: House) -> None:
    post = Post(house, LATER, SENT)
    await post.put()
    assert await post.turn() == 1
    assert await post.turn() == 0
    house.later(31)
    assert await post.turn() == 1


def test_the_pause_doubles_up_to_four_hours_with_jitter() -> None:
    assert [backoff(n, 0.5) for n in (1, 2, 3)] == [30.0, 60.0, 120.0]
    assert backoff(30, 0.5) == 4 * 3600.0
    assert backoff(1, 0.0) == 22.5
    assert backoff(1, 1.0) == 37.5


async def test_a_box_that_the_inspector_did_not_sign_is_refused_unsent(house: House) -> None:
    post = Post(house, SENT)
    row = await post.put(by=MALLORY)
    await post.turn()
    assert await post.state(row) == ("refused", "box.unreadable")
    assert post.channel.sent == []


async def test_a_box_that_was_moved_from_another_row_is_refused_unsent(house: House) -> None:
    post = Post(house, SENT)
    row = await post.put(bound_to="01OTHER")
    await post.turn()
    assert await post.state(row) == ("refused", "box.unreadable")
    row = await post.put(idempotency_key="01OTHER")
    await post.turn()
    assert await post.state(row) == ("refused", "box.unreadable")
    assert post.channel.sent == []


async def test_a_store_that_is_away_when_it_was_sent_is_told_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    post = Post(house, SENT)
    row = await post.put()
    settle, calls = house.sending.settle, 0

    async def away(*arguments: Any, **more: Any) -> str:
        nonlocal calls
        calls += 1
        if calls < 3:
            raise StoreDown
        return await settle(*arguments, **more)

    monkeypatch.setattr(house.sending, "settle", away)
    await post.turn()
    assert (await post.state(row))[0] == "sent"
    assert len(post.channel.sent) == 1


async def test_a_row_claimed_while_we_stop_is_given_back(house: House) -> None:
    post = Post(house, SENT)
    await post.put()
    post.sender.claiming.stop()
    await post.turn()
    assert post.channel.sent == []
    (claim,) = await house.sending.claim(10, 60)
    assert claim.attempts == 1


async def test_rows_of_one_lane_leave_in_order_and_rows_of_others_do_not_wait(house: House) -> None:
    post = Post(house, LATER, SENT)
    first = await post.put()
    await post.turn()
    second = await post.put()
    await post.turn()
    assert (await post.state(first))[0] == "ready"
    assert (await post.state(second))[0] == "sent"




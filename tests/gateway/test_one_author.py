"""The author whom DMARC judged, who names the lane and whom an agent is shown is one, whatever was sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from letters import NoKeys

from channels.contract import Envelope, MailboxName, Pace, Terms
from channels.email.address import domain_of
from channels.email.authentication import Authenticator
from channels.email.facts import Delivery, Source
from channels.email.smtp_in import EmailChannel
from channels.email.zone import ZoneResolver
from channels.keyed import Keyed
from gateway.checks import INSPECTION
from gateway.config import build
from gateway.email_settings import smtp_config
from gateway.mailboxes import Mailboxes
from gateway.opened import Opened
from gateway.opening import open_inbound
from gateway.rules import Action
from gateway.submitted import submitted
from keys.secret import Secret


class Calm:
    async def note(self, *, peer: str, sender: str) -> Pace:
        return Pace()

    async def elsewhere(self, *, body_key: bytes, sender: str) -> int:
        return 0


async def came(raw: bytes) -> Opened:
    """A message without an envelope's sender, through the real channel, authentication and opening."""
    channel = EmailChannel(
        smtp_config(build({"edge": {"listeners": []}}, base=Path())), directory=Mailboxes(()), paces=Calm(),
        seen=Calm(), authenticator=Authenticator(ZoneResolver({})), keyed=Keyed(Secret(b"k" * 32)), new_id=lambda: "1",
    )  # fmt: skip
    delivery = Delivery(
        source=Source(tls="TLSv1.3", peer="192.0.2.1", helo="mx.example.org"), certificate="",
        envelope=Envelope(mail_from=None, rcpt_to=()), raw=raw,
        terms=Terms(mailbox=MailboxName("support"), queue="support", language="en"),
    )  # fmt: skip
    return await open_inbound(await channel.inbound(delivery), NoKeys())


async def agrees(raw: bytes) -> Opened:
    opened = await came(raw)
    shown, judged = opened.author, opened.inbound.authentication
    assert opened.inbound.sender == shown
    assert judged.author_domain == (domain_of(shown) if shown else "")
    assert shown or judged.dmarc_reason.startswith(("header.", "from."))
    decision = await INSPECTION.judge(opened)
    assert "auth.other-author" not in {finding.rule.code for finding in decision.findings}
    assert shown or decision.action is Action.HOLD
    return opened


VALUES = st.lists(
    st.sampled_from([
        b"alice@example.org", b"<alice@example.org>", b"<mallory@evil.example>", b"mallory@evil.example", b"Alice",
        b"<", b">", b",", b'"', b"(", b")", b":", b";", b" ", b"\t", b"\\", b"@", b".", b"\r\n ", b"\r\n\t", b"=?q?=",
        b"=?utf-8?q?alice=40example.org?=", "é".encode(), "＠".encode(), b"\xe9", b"\x00", b"\x1b", b"[192.0.2.1]",
        b"_",
    ]), max_size=8,
).map(b"".join)  # fmt: skip
NAMES = st.sampled_from([
    b"From", b"From", b"from", b"From ", b"FROM\t", b"\x00From", b"From\r\n ", b" From", b"X-From", b"Fr om", b"",
    b"Sender", b"Subject", b"Content-Type", b"X", "From\u200b".encode(),
])  # fmt: skip
ENDS = st.sampled_from([b"\r\n"] * 8 + [b"\n", b"\r", b"\r\r\n", b"\r\n \r\n", b""])
FIELDS = st.tuples(NAMES, st.just(b":"), VALUES, ENDS).map(b"".join)
LINES = st.sampled_from([b"junk\r\n", b"From alice@example.org Mon Jan  1 00:00:00 2024\r\n", b"\r\n", b"x: \x01\r\n"])
HEADS = st.lists(FIELDS | LINES, max_size=5).map(b"".join)


@given(VALUES)
@settings(max_examples=200, deadline=None)
def test_for_any_value_of_from_all_see_one_author_or_none(value: bytes) -> None:
    asyncio.run(agrees(b"From: " + value + b"\r\nTo: support@acme.example\r\n\r\nhello\r\n"))


@given(HEADS)
@settings(max_examples=300, deadline=None)
def test_for_any_header_all_see_one_author_or_none(head: bytes) -> None:
    asyncio.run(agrees(head + b"\r\nhello\r\n"))


@given(st.binary(max_size=200) | HEADS.map(lambda head: head.replace(b"\r\n", b"\n")))
@settings(max_examples=100, deadline=None)
def test_for_any_octets_all_see_one_author_or_none(raw: bytes) -> None:
    asyncio.run(agrees(raw))


@pytest.mark.parametrize(
    ("value", "author"),
    [
        (b"Alice <alice@example.org>", "alice@example.org"),
        (b"alice@example.org <alice@example.org>", "alice@example.org"),
        (b"alice@example.org <Alice@Example.ORG>", "Alice@example.org"),
        (b'"mallory@evil.example" <alice@example.org>', "alice@example.org"),
        ('"josé ñ"@example.org'.encode(), '"josé ñ"@example.org'),
        (b"alice@example.org <mallory@evil.example>", None),
        (b"alice@exam_ple.org", None),
        (b"alice@example.org, mallory@evil.example", None),
        (b"Jos\xe9 <alice@example.org>", None),
        (b"alice@example.org (Alice (the first))", None),
    ],
)
async def test_what_is_read_and_what_is_not(value: bytes, author: str | None) -> None:
    assert (await agrees(b"From: " + value + b"\r\n\r\nhello\r\n")).author == author


async def test_an_mbox_separator_is_passed_over_and_a_from_field_is_not() -> None:
    separator = b"From mallory@evil.example Mon Jan  1 00:00:00 2024\r\n"
    message = b"From: alice@example.org\r\n\r\nhello\r\n"
    assert (await agrees(separator + message)).author == "alice@example.org"
    assert submitted(separator + message).raw == message
    spaced = b"From : mallory@evil.example\r\n" + message
    assert (await agrees(spaced)).author is None
    assert submitted(spaced).raw == spaced


async def test_the_author_is_known_even_of_a_message_that_is_too_much() -> None:
    deep = b"Content-Type: message/rfc822\r\n\r\n" * 100
    opened = await agrees(b"From: alice@example.org\r\n" + deep)
    assert (opened.author, opened.excess) == ("alice@example.org", "depth")

"""One SMTP session: what a client hears, and what becomes of its message."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from mailroom import BILLING, LIMITS, MESSAGE, SUPPORT, Broken, Peer, Recorder, Slow, peer, running

from channels.contract import Answer, Authentication, Result, Verdict
from channels.email.facts import Source, standing


async def test_a_message_becomes_an_inbound_with_its_facts() -> None:
    async with running() as run, peer(run) as client:
        assert await client.deliver() == "250 2.0.0 Queued as 01ROW"
        assert await client.ask("QUIT") == "221 2.0.0 Bye"
        assert await client.closed() == b""
    (got,) = run.intake.got
    assert got.raw.reveal() == MESSAGE
    assert (got.sender, got.envelope.mail_from, got.envelope.rcpt_to) == (
        "alice@example.org", "alice@example.org", (SUPPORT,),
    )  # fmt: skip
    assert (got.transport.tls, got.transport.peer, got.transport.helo) == (None, "127.0.0.1", "client.example.org")
    assert (got.terms.mailbox, got.thread, got.transport.hops, got.transport.login) == ("support", None, (), None)
    assert {len(got.dedupe_key), len(got.lane)} == {32}
    assert run.faults == []


async def test_the_greeting_and_the_extensions_tell_no_version() -> None:
    async with running() as run, peer(run, hello=False) as client:
        assert await client.hello() == (
            "250-mx.acme.example\n250-SIZE 26214400\n250-8BITMIME\n"
            "250-ENHANCEDSTATUSCODES\n250-PIPELINING\n250 SMTPUTF8"
        )
        assert await client.ask("HELP") == "214 2.0.0 RFC 5321"
        assert await client.ask("VRFY support") == "252 2.1.5 Send a message and see"
        assert (await client.ask("EXPN support"))[:3] == "502"
        assert await client.ask("HELO client") == "250 mx.acme.example"


@pytest.mark.parametrize(
    ("commands", "reply"),
    [
        (["MAIL FROM:<a@example.org>"], "503 5.5.1"),
        (["EHLO"], "501 5.5.4"),
        (["EHLO a b"], "501 5.5.4"),
        (["EHLO a\x7f"], "500 5.5.2"),
        (["EHLO x", "RCPT TO:<support@acme.example>"], "503 5.5.1"),
        (["EHLO x", "DATA"], "503 5.5.1"),
        (["EHLO x", "MAIL FROM:<a@example.org>", "MAIL FROM:<a@example.org>"], "503 5.5.1"),
        (["EHLO x", "MAIL FROM:<a@example.org>", "DATA"], "554 5.5.1"),
        (["EHLO x", "MAIL FROM:<a@example.org>", "RCPT TO:<nobody@acme.example>"], "550 5.1.1"),
        (["EHLO x", "MAIL FROM:<a@example.org>", "RCPT TO:<victim@example.net>"], "550 5.7.1"),
        (["EHLO x", "MAIL FROM:<a@example.org> SIZE=26214401"], "552 5.3.4"),
        (["EHLO x", "STARTTLS"], "503 5.5.1"),
        (["EHLO x", "AUTH PLAIN AGEAYg=="], "502 5.5.1"),
        (["EHLO x", "XCLIENT ADDR=192.0.2.1"], "500 5.5.1"),
        (["EHLO x", "BDAT 10 LAST"], "500 5.5.1"),
        (["EHLO x", "ETRN x"], "500 5.5.1"),
        (["EHLO x", ""], "500 5.5.1"),
        (["HELO x", "MAIL FROM:<a@example.org> SIZE=10"], "501 5.5.4"),
        (["EHLO x", "MAIL FROM:<a@example.org>", "EHLO x", "RCPT TO:<support@acme.example>"], "503 5.5.1"),
        (["EHLO x", "MAIL FROM:<a@example.org>", "RSET", "RCPT TO:<support@acme.example>"], "503 5.5.1"),
    ],
)
async def test_a_command_that_does_not_fit_is_refused(commands: list[str], reply: str) -> None:
    async with running() as run, peer(run, hello=False) as client:
        for command in commands:
            heard = await client.ask(command)
        assert heard.split("\n")[-1].startswith(reply)
    assert run.intake.got == []


@pytest.mark.parametrize(
    "recipient",
    [
        "victim@example.net", "victim%example.net@acme.example", "example.net!victim@acme.example",
        '"victim@example.net"@acme.example', '"victim%example.net"@acme.example', "@acme.example:victim@example.net",
        "victim@example.net@acme.example", "victim@[127.0.0.1]", "victim@[192.0.2.1]", "victim@localhost",
        "victim@mx.acme.example", "victim%example.net", '"victim@example.net"', "example.net!victim",
        "support@acme.example@example.net", "@[127.0.0.1]:victim@example.net", "victim@acme.example.example.net",
        "acme.example!victim@example.net", "victim@example.net%acme.example", "<victim@example.net>",
    ],
)  # fmt: skip
async def test_nothing_is_relayed_however_it_is_written(recipient: str) -> None:
    async with running() as run, peer(run) as client:
        for sender in ("alice@example.org", "support@acme.example", "", "root@localhost", "postmaster@[127.0.0.1]"):
            await client.ask("RSET")
            await client.ask(f"MAIL FROM:<{sender}>")
            assert (await client.ask(f"RCPT TO:<{recipient}>"))[0] == "5"


async def test_recipients_of_two_mailboxes_are_two_messages() -> None:
    async with running() as run, peer(run) as client:
        await client.envelope(recipient=SUPPORT)
        assert await client.ask(f"RCPT TO:<{BILLING}>") == "452 4.5.3 Too many recipients, send the others separately"
        assert (await client.ask("RCPT TO:<support+tag@acme.example>"))[:3] == "250"
        assert (await client.ask("DATA"))[:3] == "354"
        client.send(MESSAGE + b".\r\n")
        assert (await client.reply())[:3] == "250"
        assert (await client.deliver(recipient=BILLING))[:3] == "250"
    first, second = run.intake.got
    assert (first.terms.mailbox, first.envelope.rcpt_to) == ("support", (SUPPORT, "support+tag@acme.example"))
    assert (second.terms.mailbox, second.envelope.rcpt_to) == ("billing", (BILLING,))
    assert first.dedupe_key != second.dedupe_key


async def test_postmaster_needs_no_domain() -> None:
    async with running() as run, peer(run) as client:
        assert (await client.deliver(recipient="Postmaster"))[:3] == "250"
    assert run.intake.got[0].envelope.rcpt_to == ("postmaster@acme.example",)


async def test_a_null_sender_is_none() -> None:
    async with running() as run, peer(run) as client:
        assert (await client.deliver(b"Subject: bounce\r\n\r\nx\r\n", sender=""))[:3] == "250"
    (got,) = run.intake.got
    assert (got.envelope.mail_from, got.sender) == (None, None)


async def test_addresses_beyond_ascii_take_smtputf8() -> None:
    async with running() as run, peer(run) as client:
        assert (await client.ask("MAIL FROM:<josé@example.org>"))[:9] == "553 5.6.7"
        assert (await client.ask("MAIL FROM:<josé@bücher.example> SMTPUTF8"))[:3] == "250"
        assert (await client.ask(f"RCPT TO:<{SUPPORT}>"))[:3] == "250"
        assert (await client.ask("DATA"))[:3] == "354"
        client.send("From: José <josé@bücher.example>\r\n\r\nñ\r\n.\r\n")
        assert (await client.reply())[:3] == "250"
        assert (await client.ask(b"MAIL FROM:<jos\xe9@example.org> SMTPUTF8"))[:3] == "500"
    assert run.intake.got[0].sender == "josé@xn--bcher-kva.example"


async def test_a_group_of_commands_is_answered_in_order() -> None:
    async with running() as run, peer(run) as client:
        client.send(f"RSET\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<x@acme.example>\r\nRCPT TO:<{SUPPORT}>\r\nDATA\r\n")
        assert [(await client.reply())[:3] for _ in range(5)] == ["250", "250", "550", "250", "354"]
        client.send(MESSAGE + b".\r\nMAIL FROM:<bob@example.net>\r\nQUIT\r\n")
        assert [(await client.reply())[:3] for _ in range(3)] == ["250", "250", "221"]
    assert len(run.intake.got) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"EHLO x\r\nMAIL FROM:<a@example.org>\r\n",
        b"NOOP\r\nNOOP\r\n",
        b"FOO\r\nMAIL FROM:<a@example.org>\r\n",
        b"MAIL FROM:<a@example.org>\r\nRCPT TO:<support@acme.example>\r\nDATA\r\nSubject: x\r\n\r\nx\r\n.\r\n",
        b"VRFY x\r\nRSET\r\n",
    ],
)
async def test_who_talks_out_of_turn_is_shown_out(data: bytes) -> None:
    async with running() as run, peer(run) as client:
        client.send(data)
        heard = await client.closed()
        assert heard.endswith(b"554 5.5.0 Unsynchronised commands, closing\r\n")
    assert run.intake.got == []


async def test_groups_take_esmtp() -> None:
    async with running() as run, peer(run, hello=False) as client:
        await client.ask("HELO x")
        client.send("MAIL FROM:<a@example.org>\r\nRCPT TO:<support@acme.example>\r\n")
        assert (await client.reply())[:3] == "554"


async def test_who_talks_before_the_greeting_is_shown_out() -> None:
    async with running(limits=replace(LIMITS, greeting_seconds=1.0)) as run:
        client = await Peer.connect(run.port, greet=False)
        client.send("EHLO x\r\n")
        assert (await client.reply())[:9] == "554 5.5.0"
        await client.close()
        assert run.channel.counts["session.early"] == 1


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST / HTTP/1.0", b"PRI * HTTP/2.0", b"CONNECT x:25 HTTP/1.1"])
async def test_http_is_shown_out_at_its_first_word(line: bytes) -> None:
    async with running() as run, peer(run, hello=False) as client:
        client.send(line + b"\r\n")
        assert (await client.closed()).startswith(b"554 5.5.1")


@pytest.mark.parametrize(
    "line", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP \0\r\n", b"\n", b"RCPT TO:<a\nb@x>\r\n", b"\x16\x03\x01\x02\0\x01\n"]
)
async def test_a_garbled_command_line_ends_the_session(line: bytes) -> None:
    async with running() as run, peer(run) as client:
        client.send(line)
        assert await client.closed() == b"500 5.5.2 Bad line, closing\r\n"


async def test_an_endless_command_line_ends_the_session() -> None:
    async with running() as run, peer(run) as client:
        client.send(b"NOOP " + b"x" * 100_000)
        assert await client.closed() == b"500 5.5.2 Line too long, closing\r\n"


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (Answer(verdict=Verdict.ACCEPTED, says="Queued", status="0.0", wire_id="X"), "250 2.0.0 Queued as X"),
        (Answer(verdict=Verdict.DEFERRED, says="Later", status="3.0"), "451 4.3.0 Later"),
        (Answer(verdict=Verdict.DEFERRED, says="Full", status="3.1"), "452 4.3.1 Full"),
        (Answer(verdict=Verdict.DEFERRED, says="Slow down", status="7.1"), "450 4.7.1 Slow down"),
        (Answer(verdict=Verdict.REFUSED, says="No", status="7.1"), "550 5.7.1 No"),
        (Answer(verdict=Verdict.REFUSED, says="Too large", status="3.4"), "552 5.3.4 Too large"),
    ],
)
async def test_each_answer_has_its_reply(answer: Answer, reply: str) -> None:
    async with running(intake=Recorder(answer)) as run, peer(run) as client:
        assert await client.deliver() == reply
        assert (await client.ask("NOOP"))[:3] == "250"


async def test_an_error_of_ours_is_temporary_and_tells_nothing() -> None:
    async def fail() -> None:
        raise RuntimeError("db password=hunter2 is down")

    async with running(intake=Recorder(before=fail)) as run, peer(run) as client:
        assert await client.deliver() == "451 4.3.0 Temporary failure, try again later"
        assert (await client.ask("NOOP"))[:3] == "250"
        assert [type(fault) for fault in run.faults] == [RuntimeError]


async def test_an_error_anywhere_in_a_session_is_temporary(monkeypatch: pytest.MonkeyPatch) -> None:
    from channels.email import paths

    def fail(*_: object, **__: object) -> None:
        raise ValueError("secret")

    async with running() as run, peer(run) as client:
        monkeypatch.setattr(paths, "mail", fail)
        client.send("MAIL FROM:<a@example.org>\r\n")
        assert await client.closed() == b"451 4.3.0 Temporary failure, try again later\r\n"


async def test_a_client_that_hangs_up_does_not_cancel_what_it_handed_over() -> None:
    reached, go = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        reached.set()
        await go.wait()

    async with running(intake=Recorder(before=wait)) as run:
        async with peer(run) as client:
            await client.envelope()
            await client.ask("DATA")
            client.send(MESSAGE + b".\r\n")
            await reached.wait()
            client.writer.transport.abort()
        await asyncio.sleep(0.05)
        go.set()
        for _ in range(100):
            if run.intake.got:
                break
            await asyncio.sleep(0.01)
        assert len(run.intake.got) == 1


async def test_a_half_closed_client_still_hears_the_answer() -> None:
    async with running() as run, peer(run) as client:
        await client.envelope()
        await client.ask("DATA")
        client.send(MESSAGE + b".\r\n")
        client.writer.write_eof()
        assert (await client.reply())[:3] == "250"


async def test_an_unfinished_message_is_none() -> None:
    async with running() as run:
        async with peer(run) as client:
            await client.envelope()
            await client.ask("DATA")
            client.send(MESSAGE)
        await asyncio.sleep(0.05)
        assert (run.intake.got, run.channel.sessions) == ([], 0)


@pytest.mark.parametrize("authenticator", [Slow(), Broken()])
async def test_facts_that_cannot_be_had_in_time_are_temperror(authenticator: object) -> None:
    limits = replace(LIMITS, authentication_seconds=0.1)
    async with running(limits=limits, authenticator=authenticator) as run, peer(run) as client:
        assert (await client.deliver())[:3] == "250"
    found = run.intake.got[0].authentication
    assert (found.spf, found.dmarc, found.dkim) == (Result.TEMPERROR, Result.TEMPERROR, ())


async def test_a_retry_has_the_same_dedupe_key_and_another_message_has_not() -> None:
    trace = b"Received: from a (a [192.0.2.1]) by b; Mon, 1 Jan 2029 00:00:00 +0000\r\nX-Spam-Score: 1\r\n"
    other = MESSAGE.replace(b"<1@", b"<2@")
    signed = b"DKIM-Signature: v=1; d=example.org; b=xyz\r\n" + MESSAGE
    async with running() as run, peer(run) as client:
        for message in (MESSAGE, MESSAGE, trace + MESSAGE, other, signed):
            await client.deliver(message)
        await client.deliver(sender="bob@example.net")
    keys = [got.dedupe_key for got in run.intake.got]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 4


async def test_nobody_waits_behind_what_a_stranger_sent_in_their_name() -> None:
    class By:
        async def authenticate(self, **about: object) -> Authentication:
            return Authentication(dmarc=Result.PASS if about["helo"] == "example.org" else Result.FAIL)

    lanes = []
    async with running(authenticator=By()) as run:
        for name in ("example.org", "mallory.example", "example.org", "mallory.example"):
            async with peer(run, hello=False) as client:
                await client.ask(f"EHLO {name}")
                await client.deliver()
            lanes.append(run.intake.got[-1].lane)
    assert lanes[0] == lanes[2] != lanes[1] == lanes[3]


def test_an_unproven_author_has_a_lane_per_network() -> None:
    def at(peer: str | None, login: str | None = None, dmarc: Result = Result.NONE) -> str:
        return standing(Source(tls=None, peer=peer, login=login), Authentication(dmarc=dmarc))

    assert at("192.0.2.1") == at("192.0.2.77") != at("198.51.100.1")
    assert at("2001:db8:0:1::1") == at("2001:db8:0:ffff::9") != at("2001:db8:1::1")
    assert at("192.0.2.1", dmarc=Result.PASS) == at("2001:db8::1", dmarc=Result.PASS) != at(None)
    assert at("192.0.2.1", login="alice") != at("192.0.2.1", login="network 192.0.2.0/24")


async def test_lanes_part_senders_and_threads() -> None:
    reply = MESSAGE.replace(b"Subject", b"References: <0@acme.example> <1@x>\r\nIn-Reply-To: <1@x>\r\nSubject")
    async with running() as run, peer(run) as client:
        for message in (MESSAGE, MESSAGE, reply, reply, MESSAGE.replace(b"alice@", b"bob@")):
            await client.deliver(message)
    lanes = [got.lane for got in run.intake.got]
    assert lanes[0] == lanes[1]
    assert lanes[2] == lanes[3]
    assert len(set(lanes)) == 3
    assert run.intake.got[2].thread
    assert "acme" not in (run.intake.got[2].thread or "")


@pytest.mark.parametrize(
    "head",
    [
        b"From: alice@example.org\r\nFrom: bob@example.net\r\n", b"From: alice@example.org, bob@example.net\r\n",
        b"Subject: none\r\n", b"From: alice@bank.es)bob@evil.es\r\n", b"From: (((\r\n",
        b"not a header\r\nFrom: bob@example.net\r\n",
    ],
)  # fmt: skip
async def test_without_one_author_the_sender_is_the_envelopes(head: bytes) -> None:
    async with running() as run, peer(run) as client:
        await client.deliver(head + b"\r\nx\r\n")
    assert run.intake.got[0].sender == "alice@example.org"

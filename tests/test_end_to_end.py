"""The one path, whole: SMTP in, boxed, opened, judged, redacted, queued; an answer, protected, out by SMTP.

The roles run as processes of their own; the customer's programs are smtplib, gpg and an SMTP server; the desk is played
by the store's reading side, which verifies stamps as the desk does.
"""

from __future__ import annotations

import email
import email.policy
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from roles import Gateway
from sink import Sink

from gateway.requests import Verb
from keys.testing import encrypted, identities

CARD = "4111 1111 1111 1111"


def clear(words: str, *, sender: str = "alice@example.org", subject: str = "My order", number: str = "1") -> bytes:
    return (
        f"From: Alice <{sender}>\r\nTo: support@acme.example\r\nSubject: {subject}\r\n"
        f"Date: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@example.org>\r\n\r\n{words}\r\n"
    ).encode()


def pgp_mime(words: str, *, by: str = "alice", sign: bool = True, number: str = "2") -> bytes:
    """As a customer's Thunderbird makes it: signed inside, encrypted to support's key (RFC 3156)."""
    people = identities()
    inner = f'Content-Type: text/plain; charset="utf-8"\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{words}\r\n'.encode()
    sealed = encrypted(inner, to=[people["support"].certificate], by=people[by] if sign else None)
    head = (
        f"From: {people[by].name} <{people[by].address}>\r\nTo: support@acme.example\r\nSubject: ...\r\n"
        f"Message-ID: <{number}@example.org>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
        "--b\r\nContent-Type: application/octet-stream\r\n\r\n"
    ).encode()
    return head + sealed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n--b--\r\n"


@pytest.fixture
def sink() -> Iterator[Sink]:
    with Sink() as running:
        yield running


def everywhere(folder: Path) -> bytes:
    """All bytes at rest below a folder."""
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_a_message_in_clear_reaches_the_queue_redacted_and_is_nowhere_in_clear(
    tmp_path: Path, store_url: str, sink: Sink
) -> None:
    with Gateway(tmp_path / "g", url=store_url, smarthost_port=sink.port) as gateway:
        gateway.submit(clear(f"My card is {CARD}, please refund."))
        (seen,) = gateway.wait_for_messages(1)
        content = seen.message.content
        assert content.text == "My card is [card ···· 1111], please refund."
        assert content.subject == "My order"
        assert content.trust.tls == "TLSv1.3"
        assert content.trust.encrypted == "none"
        assert gateway.rows("SELECT count(*) FROM spool") == [(0,)]
        gateway.stop()
        rest = everywhere(gateway.folder) + repr(gateway.log).encode() + "".join(gateway.noise).encode()
        for canary in (CARD.encode(), CARD.replace(" ", "").encode(), b"please refund"):
            assert canary not in rest


def test_an_encrypted_message_is_answered_encrypted_and_gpg_opens_the_answer(
    tmp_path: Path, store_url: str, sink: Sink
) -> None:
    people = identities()
    settings = {"notices": "first_contact = true"}
    with Gateway(
        tmp_path / "g", url=store_url, smarthost_port=sink.port, trusted=["alice"], settings=settings
    ) as gateway:
        gateway.submit(pgp_mime(f"Hola, mi tarjeta es {CARD}."))
        (seen,) = [one for one in gateway.wait_for_messages(1) if one.message.direction == "in"]
        content = seen.message.content
        assert "[card ···· 1111]" in content.text
        assert content.trust.encrypted == "full"
        assert [(one.status, one.signer, one.covers) for one in content.trust.signatures] == [
            ("verified", "alice@example.org", "all")
        ]
        gateway.reply(seen.conversation, "Dear Alice, the refund is on its way.")
        mails = sink.wait(2)
        answer = next(mail for mail in mails if mail.sender)
        notice = next(mail for mail in mails if not mail.sender)
        assert answer.sender == "support@acme.example"
        assert answer.recipients == ["alice@example.org"]
        for mail in (answer, notice):
            message = email.message_from_bytes(mail.raw, policy=email.policy.default)
            assert message.get_content_type() == "multipart/encrypted"
            assert b"refund" not in mail.raw
            plain = people["alice"].gpg("--decrypt", stdin=message.get_payload()[1].get_content())
            inner = email.message_from_bytes(plain, policy=email.policy.default)
            if mail is answer:
                assert "the refund is on its way" in inner.get_content()
                assert inner["Subject"] == "Re: ..."
        message = email.message_from_bytes(answer.raw, policy=email.policy.default)
        assert message["In-Reply-To"] == "<2@example.org>"
        assert message["Subject"] == "[...]"

        def sent() -> bool:
            (opened,) = gateway.conversations()
            return any(one.delivery is not None and one.delivery.state == "sent" for one in opened.replies)

        gateway.wait_for(sent, what="the reply's state")
        (opened,) = gateway.conversations()
        assert [one.direction for one in opened.messages].count("out") == 1
        assert opened.intact


def test_gpg_verifies_the_answers_signature(tmp_path: Path, sink: Sink) -> None:
    people = identities()
    with Gateway(tmp_path / "g", smarthost_port=sink.port, trusted=["alice"]) as gateway:
        gateway.submit(pgp_mime("Hello"))
        (seen,) = gateway.wait_for_messages(1)
        gateway.reply(seen.conversation, "Hello Alice")
        message = email.message_from_bytes(sink.wait(1)[0].raw, policy=email.policy.default)
        people["alice"].gpg("--import", stdin=people["support"].certificate)
        status = people["alice"].gpg("--status-fd", "1", "--decrypt", stdin=message.get_payload()[1].get_content())
        assert b"GOODSIG" in status
        assert people["support"].fingerprint.encode() in status


def test_without_a_certificate_what_came_encrypted_is_not_answered_in_clear(tmp_path: Path, sink: Sink) -> None:
    with Gateway(tmp_path / "g", smarthost_port=sink.port) as gateway:
        gateway.submit(pgp_mime("Hello", by="bob", sign=False))
        (seen,) = gateway.wait_for_messages(1)
        gateway.reply(seen.conversation, "Hello Bob")
        gateway.wait_for_log("reply.stopped", reason="outbound.downgrade")
        (opened,) = gateway.conversations()
        assert opened.replies[0].state == "stopped"
        assert (opened.conversation.protect, opened.conversation.protect_why) == (
            "blocked", "came-encrypted-no-certificate",
        )  # fmt: skip
        assert not sink.mails


def test_a_clear_message_is_answered_in_clear_by_permit_and_threads(tmp_path: Path, store_url: str, sink: Sink) -> None:
    with Gateway(tmp_path / "g", url=store_url, smarthost_port=sink.port) as gateway:
        gateway.submit(clear("Where is my parcel?"))
        (seen,) = gateway.wait_for_messages(1)
        gateway.reply(seen.conversation, "It is on its way.")
        message = email.message_from_bytes(sink.wait(1)[0].raw, policy=email.policy.default)
        assert "It is on its way." in message.get_content()
        assert "parcel" not in message.get_content()
        assert message["Subject"].startswith("Re: My order")
        answer = clear("Thanks!", subject="Re: My order", number="3").replace(
            b"\r\n\r\n", f"\r\nIn-Reply-To: {message['Message-ID']}\r\n\r\n".encode(), 1
        )
        gateway.submit(answer)
        gateway.wait_for_messages(3)
        (opened,) = gateway.conversations()
        assert [one.direction for one in opened.messages] == ["in", "out", "in"]


def test_a_held_message_passes_when_a_reviewer_releases_it(tmp_path: Path, store_url: str, sink: Sink) -> None:
    with Gateway(tmp_path / "g", url=store_url, smarthost_port=sink.port) as gateway:
        gateway.submit(clear("Not encrypted, though billing demands it."), to="billing@acme.example")
        (row,) = gateway.wait_for_held(1)
        assert "encryption.absent" in [finding.rule.code for finding in row.decision.findings]
        notice = email.message_from_bytes(sink.wait(1)[0].raw, policy=email.policy.default)
        assert notice["Auto-Submitted"] == "auto-replied"
        assert sink.mails[0].sender == ""
        gateway.submit(clear("Not encrypted either", number="9"), to="billing@acme.example")
        second = next(one for one in gateway.wait_for_held(2) if one.id != row.id)
        gateway.decide(row.id, Verb.RELEASE, ["encryption.absent"])
        (seen,) = gateway.wait_for_messages(1)
        assert seen.message.content.text == "Not encrypted, though billing demands it."
        assert "encryption.absent" in [finding.code for finding in seen.message.content.trust.findings]
        gateway.decide(second.id, Verb.REJECT)
        gateway.wait_for(lambda: not gateway.held(), what="the rejected one to go")
        assert gateway.rows("SELECT count(*) FROM spool") == [(0,)]
        gateway.wait_for(
            lambda: not list((gateway.keys / "inspector" / "held").glob("*.key")), what="the one-row keys to go"
        )


def test_a_held_message_expires_and_its_sender_is_told(tmp_path: Path, sink: Sink) -> None:
    settings = {"inspector": "held_hours = 0.0005"}
    with Gateway(tmp_path / "g", smarthost_port=sink.port, settings=settings) as gateway:
        gateway.submit(clear("Nobody will ever read this."), to="billing@acme.example")
        mails = sink.wait(2)
        subjects = {email.message_from_bytes(mail.raw, policy=email.policy.default)["Subject"] for mail in mails}
        assert subjects == {"Your message is being checked", "Your message could not be read"}
        assert gateway.rows("SELECT count(*) FROM spool") == [(0,)]
        assert gateway.held() == []
        gateway.wait_for(
            lambda: not list((gateway.keys / "inspector" / "held").glob("*.key")), what="its key to be destroyed"
        )


def test_intake_works_while_the_inspector_is_down(tmp_path: Path, store_url: str) -> None:
    with Gateway(tmp_path / "g", url=store_url, roles=["edge"]) as gateway:
        assert "Queued" in gateway.submit(clear("First"))
        assert "Queued" in gateway.submit(clear("Second", number="2"))
        assert gateway.rows("SELECT count(*) FROM spool") == [(2,)]
        gateway.stop()
        gateway.roles = ["edge", "inspector"]
        gateway.start()
        texts = [seen.message.content.text for seen in gateway.wait_for_messages(2)]
        assert texts == ["First", "Second"]


def test_a_retry_after_a_lost_answer_is_one_message(tmp_path: Path, store_url: str) -> None:
    with Gateway(tmp_path / "g", url=store_url) as gateway:
        first = gateway.submit(clear("Once"))
        assert gateway.submit(clear("Once")) == first
        gateway.wait_for_messages(1)
        assert gateway.submit(clear("Once")) == first
        time.sleep(0.5)
        assert len(gateway.wait_for_messages(1)) == 1

"""Senders that others wrote, against a whole gateway: Postfix with its own retries, swaks, smtp-source. What they were
told to be taken is in the queue, once each."""

from __future__ import annotations

import shutil
import smtplib
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from letters_out import clear
from lossy import LosingReplies
from peers import PeerGateway
from postfix_server import free_port, needs_postfix, postfix

pytestmark = [pytest.mark.peers, needs_postfix, pytest.mark.timeout(180)]

ALICIA = "alicia.núñez@example.org"
SMTP_SOURCE = shutil.which("smtp-source", path="/usr/sbin:/usr/bin") or "smtp-source"
SENDING = """myhostname = mail.example.org
relay_transport = smtp:[127.0.0.1]:{target}
smtp_tls_security_level = {tls}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
message_size_limit = 40000000
"""
LIMITS = """
[edge.limits]
messages_per_sender_hour = 100000
messages_per_peer_hour = 100000
connections_per_peer = 100
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PeerGateway]:
    folder = tmp_path_factory.mktemp("gateway") / "g"
    settings = {"inspector": 'recycling = "fast"'}
    with PeerGateway(folder, settings=settings, more=LIMITS) as running:
        yield running


def subjects(gateway: PeerGateway) -> list[str]:
    return [one.message.content.subject for one in gateway.wait_for_messages(0)]


def once(gateway: PeerGateway, subject: str, seconds: float = 40) -> Any:
    """The message with this subject; that there is one of it and no second on its way."""

    def look() -> Any:
        found = [one.message for one in gateway.wait_for_messages(0) if one.message.content.subject == subject]
        return found or None

    found = gateway.wait_for(look, seconds, subject)
    assert gateway.rows("SELECT count(*) FROM spool WHERE state IN ('waiting', 'working')") == [(0,)]
    assert len(found) == 1
    return found[0].content


def hand_to(relay: int, message: bytes, *, sender: str = "alice@example.org", options: tuple[str, ...] = ()) -> None:
    with smtplib.SMTP("127.0.0.1", relay, timeout=60) as client:
        client.ehlo()
        client.sendmail(sender, ["support@acme.example"], message, mail_options=options)


def test_postfix_delivers_by_starttls_in_8bit_and_in_utf8(gateway: PeerGateway) -> None:
    words = "¿Dónde está mi paquete? Señal: ñandú."
    with postfix(free_port(), settings=SENDING.format(target=gateway.smtp_port, tls="encrypt")) as relay:
        eight = clear(words, subject="eight bits").replace(
            b"\r\n\r\n", b"\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n", 1,
        )  # fmt: skip
        hand_to(relay, eight, options=("BODY=8BITMIME",))
        utf8 = eight.replace(b"alice@example.org", ALICIA.encode()).replace(b"eight bits", "señas".encode())
        hand_to(relay, utf8, sender=ALICIA, options=("BODY=8BITMIME", "SMTPUTF8"))
        assert once(gateway, "eight bits").text == words
        content = once(gateway, "señas")
    assert (content.author, content.text, content.trust.tls) == (ALICIA, words, "TLSv1.3")


def test_a_large_letter_comes_whole(gateway: PeerGateway) -> None:
    line = "0123456789abcdef" * 4 + "\r\n"
    head = (
        b"From: alice@example.org\r\nTo: support@acme.example\r\nSubject: large\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nSee the picture.\r\n"
        b"--b\r\nContent-Type: image/png; name=scan.png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    )
    message = head + line.encode() * 350_000 + b"--b--\r\n"
    assert 22_000_000 < len(message) < 26_000_000
    with postfix(free_port(), settings=SENDING.format(target=gateway.smtp_port, tls="encrypt")) as relay:
        hand_to(relay, message)
        content = once(gateway, "large", 60)
    assert "See the picture." in content.text
    assert [one.media_type for one in content.attachments] == ["image/png"]


def test_a_lost_250_and_postfixs_own_retry_make_one_message(gateway: PeerGateway) -> None:
    with (
        LosingReplies(gateway.smtp_port, losses=3) as between,
        postfix(free_port(), settings=SENDING.format(target=between.port, tls="none")) as relay,
    ):
        hand_to(relay, clear("Once, please.", subject="lost reply"))
        gateway.wait_for(lambda: len(between.lost) == 3, 40, "three lost replies")
        assert all(reply.startswith(b"250 ") for reply in between.lost)
        time.sleep(4)  # the retry that gets its reply
    once(gateway, "lost reply")
    assert len({reply.split(b"\r\n")[0] for reply in between.lost}) == 1  # the same id each time
    repeated = gateway.rows("SELECT count(*) FROM audit WHERE event = 'message.repeated'")
    assert repeated[0][0] >= 3


def test_what_we_defer_while_the_store_is_away_comes_again_and_once(gateway: PeerGateway) -> None:
    store = sqlite3.connect(gateway.store_url.removeprefix("sqlite:///"), isolation_level=None)
    with postfix(free_port(), settings=SENDING.format(target=gateway.smtp_port, tls="encrypt")) as relay:
        store.execute("BEGIN IMMEDIATE")
        try:
            with pytest.raises(smtplib.SMTPResponseException) as caught:
                gateway.submit(clear("By hand", subject="by hand"))
            assert caught.value.smtp_code == 451
            hand_to(relay, clear("After a while", subject="deferred"))
            time.sleep(7)
        finally:
            store.execute("ROLLBACK")
            store.close()
        once(gateway, "deferred", 60)
    assert "by hand" not in subjects(gateway)


def test_smtp_source_is_answered_for_what_is_in_the_queue(gateway: PeerGateway) -> None:
    before = len(gateway.wait_for_messages(0))
    command = [
        SMTP_SOURCE, "-s", "8", "-m", "80", "-l", "4096", "-f", "alice@example.org", "-t", "support@acme.example",
        "-S", "from smtp-source", f"127.0.0.1:{gateway.smtp_port}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    gateway.wait_for(lambda: len(gateway.wait_for_messages(0)) >= before + 80, 60, "80 messages")
    assert len(gateway.wait_for_messages(0)) == before + 80


@pytest.mark.parametrize("options", [("--tls",), ("--tls", "--pipeline"), ("--pipeline",), ("--protocol", "SMTP")])
def test_swaks_is_answered_for_what_is_in_the_queue(gateway: PeerGateway, options: tuple[str, ...]) -> None:
    swaks = shutil.which("swaks")
    if swaks is None:
        pytest.skip("swaks is not installed (tests/system.sh swaks)")
    subject = "swaks " + " ".join(options).replace("--", "")
    command = [
        swaks, "--server", "127.0.0.1", "--port", str(gateway.smtp_port), "--helo", "client.example.org",
        "--from", "alice@example.org", "--to", "support@acme.example", "--header", f"Subject: {subject}", *options,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout
    assert once(gateway, subject).trust.tls == ("TLSv1.3" if "--tls" in options else "")

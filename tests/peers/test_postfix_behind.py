"""Postfix behind us: our replies go through it as a smarthost, or straight to it as a customer's mail exchanger, and
are verified elsewhere by programs of others: dkimpy, pyspf, the customer's own gpg."""

from __future__ import annotations

import email
import email.policy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from elsewhere import Inbox, Zone, judged, txt
from letters_out import clear, pgp_mime
from peers import Authority, PeerGateway
from postfix_server import free_port, needs_postfix, postfix
from sink import Mail

from channels.email.dkim_sign import Signer
from keys.secret import Secret
from keys.testing import identities, meet

pytestmark = [pytest.mark.peers, needs_postfix, pytest.mark.timeout(180)]

SMARTHOST = "127.0.0.25"
RELAYING = """smtpd_relay_restrictions = permit_mynetworks, reject
mynetworks = 127.0.0.0/8
myhostname = smarthost.acme.example
smtpd_tls_security_level = may
smtp_bind_address = {address}
default_transport = smtp:[127.0.0.1]:{target}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
"""


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with Inbox() as running:
        yield running


def identity(authority: Authority, *names: str, **options: Any) -> str:
    """Postfix's settings for a server certificate."""
    pair = authority.issue(*(names or ("127.0.0.1",)), **options)
    return f"smtpd_tls_cert_file = {pair.certificate}\nsmtpd_tls_key_file = {pair.key}\n"


def signer(kind: str) -> tuple[bytes, str]:
    """A DKIM key in PEM, and the record to publish."""
    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem, Signer.load("acme.example", "s1", Secret(pem)).record()


def gateway_through(folder: Path, authority: Authority, port: int, *, dkim: bytes = b"", **more: Any) -> PeerGateway:
    """Its smarthost is at `port`; with `dkim`, it signs itself."""
    folder.mkdir(exist_ok=True)
    (folder / "dkim.pem").write_bytes(dkim)
    signing = '[sending.dkim]\ndomain = "acme.example"\nselector = "s1"\nkey_file = "dkim.pem"\n' if dkim else ""
    return PeerGateway(
        folder,
        smarthost_port=port,
        settings={"sending": signing, **more.pop("settings", {})},
        instead={'tls = "none"': f'tls = "starttls"\nca_file = "{authority.file}"'},
        **more,
    )


@pytest.mark.parametrize("kind", ["rsa", "ed25519"])
def test_a_reply_through_a_smarthost_is_dmarc_aligned_elsewhere(
    kind: str, tmp_path: Path, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    people, authority = identities(), Authority(tmp_path / "authority")
    pem, record = signer(kind)
    zone: Zone = {
        ("acme.example", "TXT"): [f'"v=spf1 ip4:{SMARTHOST} -all"'],
        ("_dmarc.acme.example", "TXT"): ['"v=DMARC1; p=reject; aspf=s; adkim=s"'],
        ("s1._domainkey.acme.example", "TXT"): [txt(record)],
    }
    settings = RELAYING.format(address=SMARTHOST, target=inbox.port) + identity(authority)
    with postfix(free_port(), settings=settings) as port:
        gateway = gateway_through(tmp_path / "g", authority, port, dkim=pem, trusted=["alice"])
        with gateway:
            gateway.submit(pgp_mime("Hello", by="alice"))
            gateway.submit(clear("Where is my parcel?", sender="bob@example.net"), sender="bob@example.net")
            found = {one.message.content.author: one.conversation for one in gateway.wait_for_messages(2)}
            gateway.reply(found["alice@example.org"], "Dear Alice, the refund is on its way.")
            gateway.reply(found["bob@example.net"], "Dear Bob, it is on its way, señor.")
            mails = inbox.wait(2, 40)
            gateway.wait_for_log("send.ended", state="sent", tls="TLSv1.3")
    assert {mail.recipients[0] for mail in mails} == {"alice@example.org", "bob@example.net"}
    for mail, (peer, helo) in zip(mails, inbox.peers, strict=True):
        assert (peer, helo) == (SMARTHOST, "smarthost.acme.example")
        seen = judged(mail, peer, helo, zone, monkeypatch)
        assert (seen.spf, seen.dkim, seen.dmarc) == ("pass", "pass", "pass")
        assert mail.sender == "support@acme.example"
        assert "with ESMTPS" in str(seen.message["Received"])
        assert judged(mail, "127.0.0.99", helo, zone, monkeypatch).spf == "fail"
    to_alice = next(mail for mail in mails if mail.recipients == ["alice@example.org"])
    message = email.message_from_bytes(to_alice.raw, policy=email.policy.default)
    meet(people["alice"], people["support"].certificate)
    sealed = message.get_payload()[1].get_content()
    status = people["alice"].gpg("--status-fd", "1", "--decrypt", stdin=sealed)
    assert b"GOODSIG" in status
    assert people["support"].fingerprint.encode() in status
    assert b"the refund is on its way" in status
    assert b"refund" not in to_alice.raw


def test_an_altered_reply_fails_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judges do judge."""
    pem, record = signer("rsa")
    zone: Zone = {("s1._domainkey.acme.example", "TXT"): [txt(record)]}
    raw = clear("Hello").replace(b"alice@example.org", b"support@acme.example")
    signed = Signer.load("acme.example", "s1", Secret(pem)).sign(raw, now=int(time.time())) + raw
    for content, expected in ((signed, "pass"), (signed.replace(b"Hello", b"Hallo"), "fail")):
        mail = Mail("support@acme.example", ["alice@example.org"], content)
        assert judged(mail, "127.0.0.1", "x", zone, monkeypatch).dkim == expected


def test_what_a_server_refuses_for_good_is_shown_to_the_agent(tmp_path: Path, inbox: Inbox) -> None:
    authority = Authority(tmp_path / "authority")
    gone = "inline:{ { alice@example.org = 550 5.1.1 gone } }"
    refusing = f"smtpd_recipient_restrictions = check_recipient_access {gone}, permit\n"
    settings = RELAYING.format(address=SMARTHOST, target=inbox.port) + identity(authority) + refusing
    with postfix(free_port(), settings=settings) as port, gateway_through(tmp_path / "g", authority, port) as gateway:
        gateway.submit(clear("Where is my parcel?"))
        (seen,) = gateway.wait_for_messages(1)
        gateway.reply(seen.conversation, "On its way.")
        gateway.wait_for_log("send.ended", state="refused", code=550, reason="smtp.rcpt")
        (opened,) = gateway.conversations()
        delivery = opened.replies[0].delivery
        assert (delivery.state, delivery.reason, delivery.code) == ("refused", "smtp.rcpt", 550)
    assert inbox.mails == []


def test_what_a_server_defers_is_sent_once_it_takes_it(tmp_path: Path, inbox: Inbox) -> None:
    authority, port = Authority(tmp_path / "authority"), free_port()
    usual = RELAYING.format(address=SMARTHOST, target=inbox.port) + identity(authority)
    deferring = "smtpd_recipient_restrictions = check_recipient_access static:{450 4.2.0 later}, permit\n"
    with gateway_through(tmp_path / "g", authority, port) as gateway:
        with postfix(port, settings=usual + deferring):
            gateway.submit(clear("Where is my parcel?"))
            (seen,) = gateway.wait_for_messages(1)
            gateway.reply(seen.conversation, "On its way.")
            gateway.wait_for_log("send.ended", reason="smtp.rcpt", code=450)
            assert inbox.mails == []
        with postfix(port, settings=usual):
            gateway.wait_for_log("send.ended", 60, state="sent", attempt=2)
            inbox.wait(1)
    assert len(inbox.mails) == 1


def test_what_came_over_a_stripped_connection_is_not_sent_in_clear(tmp_path: Path, inbox: Inbox) -> None:
    """A smarthost that stops offering STARTTLS, or somebody between who takes the offer away."""
    authority = Authority(tmp_path / "authority")
    stripped = RELAYING.format(address=SMARTHOST, target=inbox.port).replace("= may", "= none")
    with postfix(free_port(), settings=stripped) as port, gateway_through(tmp_path / "g", authority, port) as gateway:
        gateway.submit(clear("Where is my parcel?"))
        (seen,) = gateway.wait_for_messages(1)
        gateway.reply(seen.conversation, "On its way.")
        ended = gateway.wait_for_log("send.ended", reason="tls.unavailable")
        assert (ended["state"], ended["tls"]) == ("ready", "none")
    assert inbox.mails == inbox.refused == []

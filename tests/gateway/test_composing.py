"""Replies as bytes: read back by the standard library, and held to the wire's rules."""

from __future__ import annotations

import email
import email.message
import email.policy
import email.utils
import re
from email.header import decode_header, make_header
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import AT, passed, reply

from channels.contract import Address, MailboxName
from gateway.composing import compose, inner, message_id, return_path
from gateway.jobs import MailboxFace
from gateway.notices import words
from gateway.policy import permit
from gateway.reply import Reply
from keys.openpgp import Fingerprint, Sealed
from keys.secret import Secret

FACE = MailboxFace(
    name=MailboxName("support"), address=Address("support@acme.example"), sender_name="Acme Support", signature="Acme"
)
REPLY_TO = Address("support+c42.sig@acme.example")
CERTIFICATE = (Fingerprint("A" * 40),)
ARMORED = Sealed(b"-----BEGIN PGP MESSAGE-----\n\nhQEMA\n=abcd\n-----END PGP MESSAGE-----\n")


def in_clear(message: Reply, face: MailboxFace = FACE) -> bytes:
    leave = permit(message)
    assert leave
    return compose(passed(message), leave, face, reply_to=REPLY_TO, at=AT).reveal()


def sealed(message: Reply, seal: Sealed = ARMORED) -> bytes:
    return compose(passed(message), seal, FACE, reply_to=REPLY_TO, at=AT).reveal()


def parsed(data: bytes) -> email.message.EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    return message


def test_a_clear_reply_reads_back_as_it_was_written() -> None:
    message = parsed(in_clear(reply(text="Hola, señora:\n\nsu pedido está en camino.", language="es")))
    assert message["From"] == "Acme Support <support@acme.example>"
    assert message["To"] == "alice@example.org"
    assert message["Reply-To"] == "Acme Support <support+c42.sig@acme.example>"
    assert message["Subject"] == "Re: Where is my order?"
    assert message["Message-ID"] == "<01jzreply@acme.example>"
    assert message["In-Reply-To"] == "<m2@example.org>"
    assert message["References"].split() == ["<m0@example.org>", "<m1@example.org>", "<m2@example.org>"]
    assert message["Date"].datetime == AT
    assert message["Auto-Submitted"] is None
    body = message.get_content().replace("\r\n", "\n")
    assert body == "Hola, señora:\n\nsu pedido está en camino.\n\n-- \nAcme\nCaso 2026-000042\n"


def test_a_permit_is_for_one_reply_only() -> None:
    leave = permit(reply(id="other"))
    assert leave
    with pytest.raises(ValueError, match="permit"):
        compose(passed(reply()), leave, FACE, reply_to=None, at=AT)


@pytest.mark.parametrize("changes", [{"certificates": CERTIFICATE}, {"correspondent_encrypted": True}])
def test_a_permit_does_not_outlive_a_certificate(changes: dict[str, Any]) -> None:
    leave = permit(reply())
    assert leave
    with pytest.raises(ValueError, match="permit"):
        compose(passed(reply(**changes)), leave, FACE, reply_to=None, at=AT)


def test_nothing_is_sealed_to_nobody() -> None:
    with pytest.raises(ValueError, match="nobody"):
        sealed(reply())


def test_a_sealed_reply_shows_no_subject_outside() -> None:
    data = sealed(reply(certificates=CERTIFICATE, subject="My secret"))
    message = parsed(data)
    assert message["Subject"] == "[...]"
    assert b"secret" not in data
    assert message.get_content_type() == "multipart/encrypted"
    assert message.get_param("protocol") == "application/pgp-encrypted"
    version, body = list(message.iter_parts())
    assert version.get_content_type() == "application/pgp-encrypted"
    assert version.get_content() == b"Version: 1\r\n"
    assert body.get_content_type() == "application/octet-stream"
    assert body.get_content().replace(b"\r\n", b"\n") == ARMORED.data


def test_binary_is_armored() -> None:
    body = list(parsed(sealed(reply(certificates=CERTIFICATE), Sealed(bytes(range(200))))).iter_parts())[1]
    lines = body.get_content().split(b"\r\n")
    assert lines[0] == b"-----BEGIN PGP MESSAGE-----"
    assert lines[1] == b""
    assert lines[-2] == b"-----END PGP MESSAGE-----"


def test_the_protected_header_is_inside() -> None:
    data = inner(passed(reply(subject="Señal", certificates=CERTIFICATE)), FACE, reply_to=REPLY_TO, at=AT).reveal()
    message = parsed(data)
    assert message["Subject"] == "Señal"
    assert message.get_param("hp") == "cipher"
    assert message.get_param("protected-headers") == "v1"
    outer = {}
    for value in message.get_all("HP-Outer", []):
        name, _, rest = " ".join(str(value).split()).partition(": ")
        outer[name] = rest
    outside = parsed(sealed(reply(certificates=CERTIFICATE)))
    assert outer["Subject"] == "[...]"
    for name in ("From", "To", "Date", "Message-ID", "Reply-To", "In-Reply-To", "References"):
        assert outer[name] == " ".join(str(outside[name]).split())
    assert message["MIME-Version"] is None


def test_the_same_reply_gives_the_same_bytes() -> None:
    assert in_clear(reply()) == in_clear(reply())
    assert sealed(reply(certificates=CERTIFICATE)) == sealed(reply(certificates=CERTIFICATE))
    assert message_id("01JZREPLY", "acme.example") == reply().message_id


def test_a_notice_says_that_a_program_wrote_it() -> None:
    note = reply(
        text="", subject="", template="first-contact",
        values={"company": "Acme", "number": "42", "privacy_url": "https://acme.example/privacy", "hours": "72"},
    )  # fmt: skip
    message = parsed(in_clear(note))
    assert message["Auto-Submitted"] == "auto-replied"
    assert message["Subject"] == words(note).subject.reveal() == "We have your message (case 42)"
    assert "\n-- " not in message.get_content()
    assert return_path(note, FACE) is None
    assert return_path(reply(), FACE) == "support@acme.example"


@pytest.mark.parametrize("field", ["to", "message_id", "in_reply_to"])
def test_a_value_that_would_end_a_line_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        in_clear(reply(**{field: "<a@b>\r\nBcc: mallory@example.net"}))


@pytest.mark.parametrize("name", ["Acme, Inc.", 'The "Shop"', "Atención Ñ", "客服", "=?utf-8?q?x?=", "x" * 200, ""])
def test_any_sender_name_reads_back(name: str) -> None:
    face = MailboxFace(name=FACE.name, address=FACE.address, sender_name=name, signature="")
    data = in_clear(reply(), face)
    assert all(len(line) <= 76 for line in data.split(b"\r\n"))
    ((shown, address),) = email.utils.getaddresses([str(email.message_from_bytes(data)["From"])])
    assert address == "support@acme.example"
    assert str(make_header(decode_header(shown))) == name


LINES = st.lists(
    st.sampled_from(["From me", ".", "..", ". x", "", "-- ", "é" * 100, "a" * 200, "x ", "\t", "=20", "> quoted", "🎉"])
    | st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=120),
    max_size=8,
)


@settings(max_examples=200, deadline=None)
@given(LINES, st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=300))
def test_every_text_keeps_the_rules_of_the_wire_and_reads_back(lines: list[str], subject: str) -> None:
    text = "\n".join(lines)
    data = in_clear(reply(text=text, subject=subject))
    assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", data)
    assert all(len(line) <= 76 for line in data.split(b"\r\n"))
    assert data.isascii()
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"\r\nFrom " not in body
    assert not body.startswith(b"From ")
    assert b"\r\n.\r\n" not in body
    message = email.message_from_bytes(data, policy=email.policy.default)
    payload = message.get_payload(decode=True)
    assert isinstance(payload, bytes)
    shown = payload.decode("utf-8").replace("\r\n", "\n")
    assert shown == text.strip("\n") + "\n\n-- \nAcme\nCase 2026-000042\n"
    raw = email.message_from_bytes(data)["Subject"]
    assert str(make_header(decode_header(raw))).strip() == subject.strip()
    assert head


def test_secrets_stay_secret() -> None:
    leave = permit(reply())
    assert leave
    made = compose(passed(reply()), leave, FACE, reply_to=None, at=AT)
    assert isinstance(made, Secret)
    assert "order" not in repr(made)

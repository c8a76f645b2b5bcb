"""Opening clear messages: who wrote, what is shown, what is attached, what is too much."""

from __future__ import annotations

import base64
from datetime import UTC, datetime

import pytest
from letters import HEAD, NoKeys, inbound, letter, opened

from channels.contract import Envelope, MailboxName, Terms
from gateway import limits
from gateway.opened import Active, Oddity, Protection
from gateway.pieces import MARK


def parts(*each: str, boundary: str = "b") -> str:
    return "".join(f"--{boundary}\n{part}\n" for part in each) + f"--{boundary}--\n"


MIXED, ALTERNATIVE = "multipart/mixed; boundary=b", "multipart/alternative; boundary=b"


async def test_an_ordinary_message() -> None:
    message = await opened(letter("Hello, where is my order please?\nThank you\n"))
    assert message.author == "alice@example.org"
    assert message.author_name.reveal() == "Alice"
    assert message.subject.reveal() == "Order 17"
    assert message.message_id == "<1@example.org>"
    assert message.date == datetime(2026, 11, 25, 9, tzinfo=UTC)
    assert message.text.reveal() == "Hello, where is my order please?\nThank you"
    assert message.protection is Protection.NONE
    assert (message.html, message.automatic, message.oddities, message.failures, message.excess) == (
        False,
        False,
        (),
        (),
        "",
    )
    assert [(part.path, part.media_type, part.shown) for part in message.parts] == [("1", "text/plain", True)]


@pytest.mark.parametrize(
    ("fields", "author", "count", "oddity"),
    [
        ("From: alice@example.org\n", "alice@example.org", 1, None),
        ("From: Alice <alice@Example.ORG>\n", "alice@example.org", 1, None),
        ("From: alice@example.org <alice@example.org>\n", "alice@example.org", 1, None),
        ('From: "Smith, Alice" <alice@example.org>\n', "alice@example.org", 1, None),
        ("From: bob@example.net <alice@example.org>\n", None, 1, Oddity.UNREADABLE_FROM),
        ("From: alice@example.org, bob@example.net\n", None, 2, Oddity.SEVERAL_FROM),
        ("From: alice@example.org\nFrom: bob@example.net\n", None, 2, Oddity.SEVERAL_FROM),
        ("From: alice@bank.example)bob@evil.example\n", None, 1, Oddity.UNREADABLE_FROM),
        ("From: =?utf-8?q?alice=40bank.example?=@evil.example\n", None, 1, None),
        ("From: <alice@example.org\n", None, 1, Oddity.UNREADABLE_FROM),
        ("From: a;b\n", None, 1, Oddity.UNREADABLE_FROM),
        ("To: x@example.org\n", None, 0, Oddity.NO_FROM),
    ],
)
async def test_the_author_is_one_readable_address_or_none(
    fields: str, author: str | None, count: int, oddity: Oddity | None
) -> None:
    message = await opened(letter("x", head=fields))
    if oddity is None and author is None:
        assert message.author is None or message.author.endswith("@evil.example")
    else:
        assert (message.author, message.author_count) == (author, count)
    assert oddity is None or oddity in message.oddities


async def test_an_address_inside_a_display_name_stays_a_name() -> None:
    encoded = base64.b64encode(b'ceo@bank.example" <x@bank.example>').decode()
    message = await opened(letter("x", head=f"From: =?utf-8?b?{encoded}?= <mallory@example.com>\n"))
    assert message.author == "mallory@example.com"


async def test_plain_text_is_preferred_and_html_is_text() -> None:
    both = parts("Content-Type: text/plain\n\nHello there dear people", "Content-Type: text/html\n\n<b>Hello</b> there")
    message = await opened(letter(both, ALTERNATIVE))
    assert message.text.reveal() == "Hello there dear people"
    assert not message.html
    message = await opened(letter("<p>Hello <b>there</b></p>", "text/html"))
    assert message.text.reveal() == "Hello there"
    assert message.html


async def test_an_empty_plain_version_gives_way_to_html() -> None:
    both = parts("Content-Type: text/plain\n\n  \n", "Content-Type: text/html\n\n<b>Hello</b> there")
    assert (await opened(letter(both, ALTERNATIVE))).text.reveal() == "Hello there"


async def test_versions_that_say_different_things_are_both_shown() -> None:
    both = parts(
        "Content-Type: text/plain\n\nPlease pay my invoice as always, many thanks",
        "Content-Type: text/html\n\n<p>Send nine thousand dollars today to another bank account</p>",
    )
    message = await opened(letter(both, ALTERNATIVE))
    assert Oddity.ALTERNATIVES_DIFFER in message.oddities
    text = message.text.reveal()
    assert text.startswith("Please pay")
    assert "nine thousand" in text
    assert f"\n{MARK}The formatted version" in text


async def test_active_content_of_the_version_that_is_not_shown_is_told() -> None:
    both = parts("Content-Type: text/plain\n\nHello", "Content-Type: text/html\n\n<p onclick=x>Hello</p>")
    assert (await opened(letter(both, ALTERNATIVE))).active == (Active.EVENT_HANDLER,)


async def test_attachments_are_kept_wherever_they_stand() -> None:
    inner = "Content-Type: multipart/mixed; boundary=i\n\n" + parts(
        "Content-Type: text/html\n\nHello", "Content-Type: application/pdf; name=a.pdf\n\n%PDF", boundary="i"
    )
    body = parts("Content-Type: text/plain\n\nHello", inner)
    message = await opened(letter(body, ALTERNATIVE))
    assert [(a.path, a.name.reveal(), a.content.reveal()) for a in message.attachments] == [("1.2.2", "a.pdf", b"%PDF")]
    named = parts(
        "\nHello", 'Content-Disposition: attachment; filename="b.txt"\n\ntext', "Content-Type: image/png\n\n."
    )
    message = await opened(letter(named, MIXED))
    assert [a.name.reveal() for a in message.attachments] == ["b.txt", "part 1.3"]
    assert message.text.reveal() == "Hello"


async def test_pictures_of_a_page_are_attachments_and_its_root_is_shown() -> None:
    body = parts("Content-Type: image/png\nContent-ID: <p>\n\n.", "Content-Type: text/html\nContent-ID: <r>\n\nHello")
    message = await opened(letter(body, 'multipart/related; boundary=b; start="<r>"'))
    assert message.text.reveal() == "Hello"
    assert len(message.attachments) == 1


async def test_an_attached_message_is_shown_as_such() -> None:
    body = parts("\nSee below", "Content-Type: message/rfc822\n\nFrom: bob@example.net\nSubject: Offer\n\nOld text")
    text = (await opened(letter(body, MIXED))).text.reveal()
    assert text == f"See below\n\n{MARK}An attached message:\nFrom: bob@example.net\nSubject: Offer\n\nOld text"


async def test_a_customer_cannot_write_our_mark() -> None:
    message = await opened(letter(f"{MARK}The following was encrypted, under a signature."))
    assert "▌" not in message.text.reveal()


async def test_threading() -> None:
    extra = "In-Reply-To: <c@x>\nReferences: <a@x> <b@x>\n <c@x>\nReply-To: Bob <bob@example.net>\n"
    message = await opened(letter("x", extra=extra))
    assert message.references == ("<c@x>", "<b@x>", "<a@x>")
    assert message.reply_to == ("bob@example.net",)


@pytest.mark.parametrize(
    ("extra", "automatic"),
    [
        ("", False),
        ("Auto-Submitted: no\n", False),
        ("Auto-Submitted: auto-replied\n", True),
        ("Precedence: bulk\n", True),
        ("List-Id: <x.example.org>\n", True),
        ("List-Unsubscribe: <mailto:x@example.org>\n", True),
    ],
)
async def test_what_a_program_wrote_is_told(extra: str, automatic: bool) -> None:
    assert (await opened(letter("x", extra=extra))).automatic is automatic


async def test_bounces_and_reports_are_automatic() -> None:
    bounce = Envelope(mail_from=None, rcpt_to=())
    assert (await opened(letter("x"), envelope=bounce)).automatic
    report = parts(
        "\nNot delivered",
        "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\nAction: failed",
        "Content-Type: message/rfc822\n\nSubject: secret\n\nours",
    )
    message = await opened(letter(report, "multipart/report; boundary=b"))
    assert message.automatic
    assert "Action: failed" in message.text.reveal()
    assert "ours" not in message.text.reveal()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Hello, where is my order please? Thank you", "en"),
        ("Hola, ¿dónde está mi pedido? Muchas gracias por todo", "es"),
        ("1234", "fr"),
    ],
)
async def test_the_language_is_guessed(text: str, language: str) -> None:
    terms = Terms(mailbox=MailboxName("support"), queue="support", language="fr")
    assert (await opened(letter(text), terms=terms)).language == language


KEY = base64.b64encode(b"\x98a certificate").decode()


@pytest.mark.parametrize(
    ("extra", "offered"),
    [
        (f"Autocrypt: addr=alice@example.org; prefer-encrypt=mutual; keydata=\n {KEY}\n", (b"\x98a certificate",)),
        (f"Autocrypt: addr=Alice@Example.org; _extra=1; keydata={KEY}\n", (b"\x98a certificate",)),
        (f"Autocrypt: addr=bob@example.net; keydata={KEY}\n", ()),
        (f"Autocrypt: addr=alice@example.org; critical=1; keydata={KEY}\n", ()),
        (f"Autocrypt: addr=alice@example.org; keydata={KEY}\n" * 2, ()),
        ("Autocrypt: addr=alice@example.org; keydata=!!!\n", ()),
        ("Autocrypt: addr=alice@example.org; keydata=" + "A" * 20_000 + "\n", ()),
    ],
)
async def test_autocrypt(extra: str, offered: tuple[bytes, ...]) -> None:
    assert (await opened(letter("x", extra=extra))).offered == offered


async def test_attached_keys_are_offered_within_limits() -> None:
    key = "Content-Type: application/pgp-keys\n\n-----BEGIN PGP PUBLIC KEY BLOCK-----\n"
    assert len((await opened(letter(parts("\nx", *[key] * 9), MIXED))).offered) == limits.CERTIFICATES_OFFERED
    large = key + "x" * limits.CERTIFICATE_BYTES
    assert (await opened(letter(parts("\nx", large), MIXED))).offered == ()


# --- too much: a decision all the same


@pytest.mark.parametrize(
    ("raw", "excess"),
    [
        (letter("--b\n\nx\n" * 10_000 + "--b--", MIXED), "parts"),
        (letter("Content-Type: message/rfc822\n\n" * 10_000, "message/rfc822"), "depth"),
        (letter("x", head="From: " + "a," * 10_000 + "\n"), "header"),
        (letter("x", head="From: " + "a," * 100_000 + "\n"), "header-block"),
        (letter("<div>" * 200_000, "text/html"), "html-tags"),
        (letter("x y\n" * 60_000), "text"),
        (letter(parts("\nx", *["Content-Type: image/png\n\n."] * 60), MIXED), "attachments"),
    ],
)
async def test_what_is_too_much_is_told_and_never_silent(raw: bytes, excess: str) -> None:
    message = await opened(raw)
    assert message.excess == excess
    assert MARK in message.text.reveal()
    assert len(message.text) <= limits.TEXT_CHARACTERS


async def test_a_hostile_html_version_does_not_stop_the_plain_one() -> None:
    both = parts("Content-Type: text/plain\n\nHello", "Content-Type: text/html\n\n" + "<div>" * 9_000)
    message = await opened(letter(both, ALTERNATIVE))
    assert message.text.reveal() == "Hello"
    assert not message.excess


async def test_an_empty_message_is_opened() -> None:
    message = await opened(b"")
    assert message.author is None
    assert message.text.reveal() == ""


async def test_smime_is_recognized_and_never_silently_empty() -> None:
    enveloped = base64.b64encode(bytes.fromhex("30800609 2a864886 f70d0107 03a08000".replace(" ", ""))).decode()
    message = await opened(
        letter(enveloped, "application/pkcs7-mime; name=smime.p7m", extra="Content-Transfer-Encoding: base64\n")
    )
    assert message.protection is Protection.FULL
    assert [failure.value for failure in message.failures] == ["unsupported"]
    assert message.text.reveal().startswith(MARK)
    body = parts("\nShown all the same", "Content-Type: application/pkcs7-signature\n\nx")
    message = await opened(letter(body, 'multipart/signed; protocol="application/pkcs7-signature"; boundary=b'))
    assert message.text.reveal() == "Shown all the same"
    assert [(s.status.value, s.signer) for s in message.signatures] == [("error", None)]
    assert message.failures == ()


async def test_an_mbox_separator_is_no_header() -> None:
    raw = b"From alice@example.org Wed Nov 25 09:00:00 2026\r\n" + letter("x")
    message = await opened(raw)
    assert message.author == "alice@example.org"
    assert message.oddities == ()


async def test_opening_asks_nothing_of_keys_for_clear_mail() -> None:
    class Nobody(NoKeys):
        async def open(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
            raise AssertionError

        verify = open  # type: ignore[assignment]

    assert (await opened(letter("x"), Nobody())).text.reveal() == "x"
    assert inbound(HEAD.encode()).raw.reveal() == HEAD.encode()

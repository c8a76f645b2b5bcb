"""From what was opened to what an agent may read."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from messages import opened, passed, reply, with_attachment

from gateway import limits
from gateway.checks import RELEASE
from gateway.opened import Opened
from gateway.redact import MASK
from gateway.rules import Action, Code, Finding, Rule
from gateway.sanitized import SafeAttachment, Sanitized
from gateway.sanitizing import clean, glimpse, sanitize, sanitize_reply
from keys.secret import Secret


def seen(message: Opened) -> Sanitized:
    return sanitize(passed(message))


def attached(message: Opened) -> SafeAttachment:
    (attachment,) = seen(message).attachments
    return attachment


def test_every_text_goes_through_the_recognizers() -> None:
    shown = seen(
        opened(
            author="4111111111111111@example.org",
            author_name="Alice 5555 5555 5555 4444",
            subject="card 4111 1111 1111 1111",
            text="IBAN ES91 2100 0418 4502 0005 1332, CVV 123",
            message_id="<4111111111111111@example.org>",
            references=("<ok@example.org>", "<x.5555555555554444@example.org>"),
        )
    )
    assert shown.author == "[card ···· 1111]@example.org"
    assert shown.author_name == "Alice [card ···· 4444]"
    assert shown.subject == "card [card ···· 1111]"
    assert shown.text == "IBAN [IBAN ···· 1332], CVV [code hidden]"
    assert shown.message_id == ""
    assert shown.references == ("<ok@example.org>",)
    assert shown.redactions == {"card": 3, "iban": 1, "security-code": 1}


def test_a_card_that_begins_in_the_subject_and_ends_in_the_text_is_one_card() -> None:
    shown = seen(opened(subject="my card 4111 1111", text="1111 1111 is broken"))
    assert "1111 1111" not in shown.subject + shown.text
    assert "1111 1111" not in shown.text
    assert MASK.search(shown.subject)
    assert shown.text.endswith(" is broken")


def test_a_security_code_in_the_text_is_known_by_its_label_in_the_subject() -> None:
    assert seen(opened(subject="CVV", text="123\nThanks")).text == "[code hidden]\nThanks"


def test_file_names_are_texts_too() -> None:
    assert attached(with_attachment(b"x", name="4111111111111111.txt")).name == "[card ···· 1111].txt"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        ("a\x00b\x1b[31mc\x7f\x9b", "ab[31mc"),
        ("abc\u202edef\u2066", "abcdef"),
        ("tag\U000e0041\U000e0042", "tag"),
        ("<script>alert(1)</script>", "‹script›alert(1)‹/script›"),
        ("<img src=x", "‹img src=x"),
        ("1 < 2 && 3 > 2, <3", "1 < 2 && 3 > 2, <3"),
        ("<!-- x --> <?php", "‹!-- x --› ‹?php"),
        ("caf\u0065\u0301 ñ \u202f", "caf\u0065\u0301 ñ \u202f"),
        ("z" + "\u0301" * 40, "z" + "\u0301" * 8),
        ("👩\u200d💻", "👩\u200d💻"),
        ("\ud800", "\ufffd"),
    ],
)
def test_text_is_made_safe_and_otherwise_left_alone(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_names_and_subjects_are_one_line() -> None:
    shown = seen(opened(author_name="Al\r\nice\tM", subject="a\n\nb"))
    assert (shown.author_name, shown.subject) == ("Al ice M", "a b")


def test_a_text_attachment_is_shown_redacted() -> None:
    shown = attached(with_attachment("name;card\nAña;4111111111111111\n".encode(), "text/csv", "cards.csv"))
    assert shown.text == "name;card\nAña;[card ···· 1111]\n"
    assert (shown.reason, shown.octets, shown.media_type) == ("", 32, "text/csv")


def test_a_text_attachment_is_read_in_its_own_charset() -> None:
    assert attached(with_attachment("señal".encode("cp1252"), charset="windows-1252")).text == "señal"


@pytest.mark.parametrize(
    ("content", "media_type", "reason"),
    [
        (b"%PDF-1.7", "application/pdf", "unsupported-type"),
        (b"<b>4111</b>", "text/html", "unsupported-type"),
        (b"x" * (limits.ATTACHMENT_TEXT_BYTES + 1), "text/plain", "too-large"),
        (b"\x89PNG\x00\x00", "text/plain", "not-text"),
        (b"<pan>4111<i>1111</i>11111111</pan>", "application/xml", "unsure"),
        (b'{"pan": "\\u0034\\u0031\\u0031\\u0031111111111111"}', "application/json", "unsure"),
        (b"x", "Not a type\x00", "unsupported-type"),
    ],
)
def test_what_cannot_be_shown_is_withheld_with_a_reason(content: bytes, media_type: str, reason: str) -> None:
    shown = attached(with_attachment(content, media_type))
    assert shown.text is None
    assert shown.reason == reason
    assert shown.octets == len(content)


def test_a_media_type_is_one_or_it_is_octets() -> None:
    assert attached(with_attachment(b"x", "x/4111111111111111")).media_type == "application/octet-stream"


def test_a_text_over_the_limit_is_no_text() -> None:
    with pytest.raises(ValueError, match="limit"):
        seen(opened(text="x" * (limits.TEXT_CHARACTERS + 1)))


def test_the_trust_strip_tells_what_was_found() -> None:
    rule = Rule(Code("tls.absent"), Action.HOLD, "no", "7.0", "It came in clear.")
    trust = sanitize(passed(opened()), (Finding(rule),)).trust
    assert (trust.tls, trust.encrypted, trust.spf, trust.dmarc) == ("TLSv1.3", "none", "pass", "pass")
    assert trust.authenticated_domain == "example.org"
    assert [(found.code, found.layer, found.plain) for found in trust.findings] == [
        ("tls.absent", "admission", "It came in clear.")
    ]


def test_a_reviewer_glimpses_only_what_is_safe() -> None:
    sight = glimpse(opened(subject="4111 1111 1111 1111"), "inspection", ())
    assert sight.subject == "[card ···· 1111]"
    assert sight.octets == 3


async def test_the_copy_of_a_reply_is_sanitized_too() -> None:
    copy = sanitize_reply(passed(reply(text="<b>4111 1111 1111 1111</b>")), "support@acme.example")
    assert copy.text == "‹b›[card ···· 1111]‹/b›"
    await RELEASE.require(copy)


PIECES = st.sampled_from(["4111 1111 1111 1111", "CVV 123", "card ", "12345678Z", "\n", "1111 ", "<b>", " ", "\u202e"])
TEXTS = st.lists(PIECES | st.text(max_size=4), max_size=8).map("".join)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40) | TEXTS, TEXTS, st.text(max_size=20), st.binary(max_size=80))
async def test_whatever_comes_in_what_is_sanitized_passes_release(
    subject: str, text: str, name: str, content: bytes
) -> None:
    message = with_attachment(content)
    message = replace(message, subject=Secret(subject), text=Secret(text), author_name=Secret(name))
    await RELEASE.require(sanitize(passed(message)))

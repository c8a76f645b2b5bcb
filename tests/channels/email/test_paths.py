"""MAIL and RCPT: what is in the grammar, and nothing else."""

from __future__ import annotations

import pytest

from channels.email.paths import MailFrom, Refused, mail, recipient, routes


@pytest.mark.parametrize(
    ("argument", "found"),
    [
        ("FROM:<alice@example.org>", MailFrom("alice@example.org")),
        ("from: <alice@Example.org>", MailFrom("alice@example.org")),
        ("FROM:<>", MailFrom(None)),
        ("FROM:<alice@example.org> SIZE=1000 BODY=8BITMIME", MailFrom("alice@example.org", 1000)),
        ("FROM:<josé@example.org> SMTPUTF8", MailFrom("josé@example.org", 0, True)),
        ('FROM:<"a>b"@example.org>', MailFrom('"a>b"@example.org')),
        ('FROM:<"a\\"b"@example.org>', MailFrom('"a\\"b"@example.org')),
    ],
)
def test_a_sender_is_read(argument: str, found: MailFrom) -> None:
    assert mail(argument, extended=True, login=False) == found


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("", "501"),
        ("FROM", "501"),
        ("FROM:", "501"),
        ("FROM:alice@example.org", "501"),
        ("FROM:<a@x.org", "501"),
        ("FROM:<a@x.org>>", "501"),
        ("FROM:<<a@x.org>>", "501"),
        ("FROM:<a@x.org>SIZE=1", "501"),
        ("TO:<a@x.org>", "501"),
        ("FROM:<@a,@b:c@x.org>", "553"),
        ("FROM:<a@[192.0.2.1]>", "553"),
        ("FROM:<a b@x.org>", "553"),
        ("FROM:< >", "553"),
        ("FROM:<alice>", "553"),
        ("FROM:<josé@example.org>", "553"),
        ("FROM:<a\x00b@x.org>", "553"),
        ("FROM:<a@x.org> SIZE=x", "501"),
        ("FROM:<a@x.org> SIZE=1 SIZE=2", "501"),
        ("FROM:<a@x.org> SIZE", "501"),
        ("FROM:<a@x.org> BODY=BINARYMIME", "501"),
        ("FROM:<a@x.org> RET=FULL", "555"),
        ("FROM:<a@x.org> AUTH=<>", "555"),
        ("FROM:<a@x.org> AUTH=x", "555"),
        ("FROM:<a@x.org> SMTPUTF8=1", "501"),
        ("FROM:<a@x.org> SIZE=" + "9" * 30, "501"),
        ("FROM:<a@x.org> " + "X=1 " * 50, "501"),
        ('FROM:<"' + '\\"' * 900 + "@x.org>", "501"),
    ],
)
def test_what_is_no_sender_is_refused(argument: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        mail(argument, extended=True, login=False)
    assert refused.value.reply[:3] == code


def test_parameters_take_esmtp() -> None:
    with pytest.raises(Refused):
        mail("FROM:<a@x.org> SIZE=1", extended=False, login=False)


def test_a_recipient_is_read() -> None:
    assert recipient("TO:<support@ACME.example>", extended=True, smtputf8=False) == "support@acme.example"
    assert recipient("TO:<Postmaster>", extended=True, smtputf8=False) is None


@pytest.mark.parametrize(
    ("argument", "code"),
    [
        ("TO:<@acme.example:victim@example.net>", "550"),
        ("TO:<a@[127.0.0.1]>", "550"),
        ("TO:<a@x.org> NOTIFY=NEVER", "555"),
        ("TO:<>", "553"),
        ("TO:<josé@example.org>", "553"),
        ("TO:a@x.org", "501"),
        ("TO:<a@x.org>,<b@x.org>", "501"),
        ("TO:<support@acme.example victim@example.net>", "553"),
    ],
)
def test_what_is_no_recipient_is_refused(argument: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        recipient(argument, extended=True, smtputf8=False)
    assert refused.value.reply[:3] == code


@pytest.mark.parametrize("local", ["victim%example.net", "example.net!victim", '"victim@example.net"'])
def test_a_local_part_that_asks_for_relaying_is_seen(local: str) -> None:
    found = recipient(f"TO:<{local}@acme.example>", extended=True, smtputf8=False)
    assert found is not None
    assert routes(found)

"""The one author of a message: what is read, and what is refused."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Address
from channels.email.address import domain_name, parse
from channels.email.author import (
    FIELD_BYTES,
    Mailbox,
    MailboxFault,
    NoAuthor,
    author,
    mailboxes,
    only_mailbox,
)
from channels.email.headers import read
from gateway import limits


@pytest.mark.parametrize(
    ("value", "address", "name"),
    [
        (b" <alice@example.org>", "alice@example.org", ""),
        (b"alice@example.org", "alice@example.org", ""),
        (b" Alice <Alice@Example.ORG>", "Alice@example.org", "Alice"),
        (b" Alice Q. Example <alice@example.org>", "alice@example.org", "Alice Q. Example"),
        (b' "Example, Alice" <alice@example.org>', "alice@example.org", "Example, Alice"),
        (b' "say \\"hi\\"" <alice@example.org>', "alice@example.org", 'say "hi"'),
        (b" alice@example.org (Alice, Sales)", "alice@example.org", "Alice, Sales"),
        (b" =?utf-8?q?A=C3=AD?= =?utf-8?b?IEI=?= <a@b.example>", "a@b.example", "=?utf-8?q?A=C3=AD?= =?utf-8?b?IEI=?="),
        (b" =?iso-8859-1?Q?Jos=E9?=\r\n <jose@example.org>", "jose@example.org", "=?iso-8859-1?Q?Jos=E9?="),
        (
            b' "=?utf-8?b?Ym9iQGV4YW1wbGUubmV0?=" <mallory@evil.example>',
            "mallory@evil.example", "=?utf-8?b?Ym9iQGV4YW1wbGUubmV0?=",
        ),
        ("jörg@müller.example".encode(), "jörg@xn--mller-kva.example", ""),
        (b' <"al ice"@example.org>', '"al ice"@example.org', ""),
        (b' "alice"@example.org', "alice@example.org", ""),
        (' José <"josé ñ"@example.org>'.encode(), '"josé ñ"@example.org', "José"),
        (b' "O\\\'Hara" <alice@example.org>', "alice@example.org", "O'Hara"),
        (b" alice@example.org <alice@example.org>", "alice@example.org", ""),
        (b" Alice@EXAMPLE.org\t<alice@example.org> (Alice)", "alice@example.org", "Alice"),
        (b' "mallory@evil.example" <alice@example.org>', "alice@example.org", "mallory@evil.example"),
        (b"\r\n alice@example.org", "alice@example.org", ""),
        (b"\n alice@example.org", "alice@example.org", ""),
    ],
)  # fmt: skip
def test_one_mailbox_is_the_author(value: bytes, address: str, name: str) -> None:
    found = only_mailbox([value])
    assert isinstance(found, Mailbox)
    assert (found.address, found.name) == (address, name)
    assert parse(found.address) == found.address


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b" <alice@example.org>, <bob@example.net>", MailboxFault.SEVERAL),
        (b" alice@example.org, bob@example.net", MailboxFault.SEVERAL),
        (b" Example, Alice <alice@example.org>", MailboxFault.SEVERAL),
        (b" friends: alice@example.org;", MailboxFault.GROUP),
        (b" <@evil.example,@b.example:alice@example.org>", MailboxFault.ROUTE),
        (b" <mallory@evil.example>alice@example.org", MailboxFault.SYNTAX),
        (b" <mallory@evil.example> <alice@example.org>", MailboxFault.SYNTAX),
        (b" alice@example.org <mallory@evil.example>", MailboxFault.LOCAL_PART),
        (b" alice@example.org <mallory@example.org>", MailboxFault.LOCAL_PART),
        (b" alice@example.org <alice@example.org.>", MailboxFault.DOMAIN),
        (b" alice@example.org. <alice@example.org>", MailboxFault.LOCAL_PART),
        (b" alice@example.org alice@example.org <alice@example.org>", MailboxFault.LOCAL_PART),
        (b" alice@example.org <alice@example.org> <mallory@evil.example>", MailboxFault.LOCAL_PART),
        (b" alice@example.org (Alice (the first))", MailboxFault.COMMENT),
        (b" alice@exam_ple.org", MailboxFault.DOMAIN),
        (b" (alice@example.org) mallory@evil.example", MailboxFault.COMMENT),
        (b" alice@example.org(<mallory@evil.example>)", MailboxFault.COMMENT),
        (b" alice(x)@example.org", MailboxFault.COMMENT),
        (b" alice@example.org)mallory@evil.example", MailboxFault.COMMENT),
        (b" =?utf-8?q?alice=40example.org?=@evil.example", MailboxFault.ENCODED_WORD),
        (b" <=?utf-8?b?YWxpY2VAZXhhbXBsZS5vcmc=?=>", MailboxFault.SYNTAX),
        (b' "alice@example.org"@evil.example', MailboxFault.SYNTAX),
        (b' <"alice@example.org"@evil.example>', MailboxFault.LOCAL_PART),
        (b' <"al\\ice"@example.org>', MailboxFault.LOCAL_PART),
        (b" <alice @example.org>", MailboxFault.LOCAL_PART),
        (b" alice@example.org.", MailboxFault.DOMAIN),
        (b" alice@exam ple.org", MailboxFault.DOMAIN),
        (b" alice@192.0.2.1", MailboxFault.DOMAIN),
        (b" alice@[192.0.2.1]", MailboxFault.LITERAL),
        (b" alice@example.org\x00.evil.example", MailboxFault.CONTROL),
        (b" alice@example.org\r\r\n", MailboxFault.CONTROL),
        (b" alice@example.org\r\n \r\n", MailboxFault.SYNTAX),
        (b" alice@example.org\xe9", MailboxFault.NOT_UTF8),
        ("alice@example。org".encode(), MailboxFault.DOMAIN),
        (b" <>", MailboxFault.SYNTAX),
        (b"", MailboxFault.SYNTAX),
        (b' "Alice <alice@example.org>', MailboxFault.SYNTAX),
        (b"a" * (FIELD_BYTES + 1), MailboxFault.TOO_LARGE),
    ],
)
def test_what_programs_read_differently_has_no_author(value: bytes, fault: MailboxFault) -> None:
    assert only_mailbox([value]) is fault


def test_there_is_exactly_one_from_field() -> None:
    assert only_mailbox([]) is MailboxFault.MISSING
    assert only_mailbox([b"alice@example.org", b"alice@example.org"]) is MailboxFault.REPEATED


@given(st.binary(max_size=200))
def test_any_bytes_are_an_author_or_a_fault(value: bytes) -> None:
    found = only_mailbox([value])
    if isinstance(found, Mailbox):
        assert domain_name(found.domain) == found.domain
        assert found.address.count("@") == 1
        assert parse(found.address) == found.address
    mailboxes(value)


@pytest.mark.parametrize(
    "value",
    [
        b'"',
        b"\\",
        b"(",
        b"()",
        b"<",
        b"<>",
        b"a,",
        b'"\\"',
        b"=?",
        b"=?a?q?",
        b"a.",
        b"@",
        b" ",
        b"\r\n ",
        b":;",
        b"(\\",
        b'\\"',
        b"<,",
        b"(,",
        b'",',
    ],
)
def test_reading_an_author_is_linear(value: bytes) -> None:
    started = time.process_time()
    for _ in range(20):
        only_mailbox([value * (FIELD_BYTES // len(value))])
        only_mailbox([b'"x' + value * (FIELD_BYTES // len(value) - 2) + b'"<a@b.example>'])
    assert time.process_time() - started < 1.0


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("alice@example.org", [("", "alice@example.org")]),
        (" Alice Liddell <alice@example.org> ", [("Alice Liddell", "alice@example.org")]),
        ('"Liddell, Alice" <alice@example.org>', [("Liddell, Alice", "alice@example.org")]),
        ("Acme Inc. <alice@example.org>", [("Acme Inc.", "alice@example.org")]),
        ("=?utf-8?Q?Jos=C3=A9?= <jose@example.org>", [("=?utf-8?Q?Jos=C3=A9?=", "jose@example.org")]),
        (
            "Alice\r\n <alice@example.org>,\r\n bob@example.net (Bob, Sales)",
            [("Alice", "alice@example.org"), ("Bob, Sales", "bob@example.net")],
        ),
        ("José <jose@example.org>", [("José", "jose@example.org")]),
        ("<alice@example.org>", [("", "alice@example.org")]),
    ],
)  # fmt: skip
def test_a_mailbox_list_is_read(value: str, named: list[tuple[str, str]]) -> None:
    found = mailboxes(value.encode())
    assert not isinstance(found, MailboxFault)
    assert [(item.name, item.address) for item in found] == named


@pytest.mark.parametrize(
    "value",
    [
        "", ",", "alice", "alice@example.org,", "alice@example.org bob@example.net", "alice@bank.es)bob@evil.es",
        "alice@bank.es <mallory@evil.example>", "<alice@example.org> <bob@example.net>", "<<alice@example.org>>",
        "friends: alice@example.org;", "Alice <alice@example.org", "alice @example.org", "alice@ example.org",
        "(" * 3000, "(alice@example.org", "a" * 8193, '"alice <alice@example.org>', "alice@example.org\x00",
        "Alice <alice@example.org> x", "<@a.example:alice@example.org>", "Alice <>", "\x01 <alice@example.org>",
        "alice@example.org, x", "alice@example.org (a, bob@example.net", "alice@example.org,, bob@example.net",
    ],
)  # fmt: skip
def test_a_list_that_does_not_parse_wholly_is_none(value: str) -> None:
    assert isinstance(mailboxes(value.encode()), MailboxFault)


def test_two_authors_are_not_one() -> None:
    assert only_mailbox([b"alice@example.org, bob@example.net"]) is MailboxFault.SEVERAL
    assert only_mailbox([b"alice@example.org"]) == Mailbox(Address("alice@example.org"))


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"From: Alice <alice@example.org>\r\nTo: x\r\n", Mailbox(Address("alice@example.org"), "Alice")),
        (b"X-Odd : y\r\nFrom: alice@example.org\r\n", Mailbox(Address("alice@example.org"))),
        (b"To: x\r\n", NoAuthor("from.missing", 0)),
        (b"From: a@b.example, c@d.example, e\r\n", NoAuthor("from.several", 3)),
        (b"From: a@b.example\r\nFrom: c@d.example\r\n", NoAuthor("header.repeated", 2)),
        (b"From: a@b.example\r\nfrom: a@b.example\r\n", NoAuthor("header.repeated", 2)),
        (b"From: a@b.example\r\nFrom\x00: c@d.example\r\n", NoAuthor("header.bad-name", 2)),
        (b"From: a@b.example\r\nSubject: x\r\nSubject: y\r\n", NoAuthor("header.repeated", 1)),
        (b"From: a@b.example\r\nX: \x01\r\n", NoAuthor("header.control", 1)),
        (b"From: a@b.example\r\nX: y\nFrom: c@d.example\r\n", NoAuthor("header.bare-cr-or-lf", 2)),
        (b"From: a@b.example\r\njunk\r\n", NoAuthor("header.no-field", 1)),
        (b"From : a@b.example\r\n", NoAuthor("header.spaced-name", 1)),
        (b"From: a@b.example\r\nDate : x\r\n", NoAuthor("header.spaced-name", 1)),
        (b"From: a@b.example\r\n" + b"X: y\r\n" * 200, NoAuthor("header.too-many", 1)),
        (b"From: a@b.example\r\nX: " + b"y" * 70_000 + b"\r\n", NoAuthor("header.too-large", 1)),
        (b"From: (a, b\r\n", NoAuthor("from.several", 2)),
    ],
    ids=range(16),
)
def test_there_is_one_answer_to_who_wrote_a_message(head: bytes, answer: Mailbox | NoAuthor) -> None:
    assert author(read(head + b"\r\nhello\r\n")) == answer


def test_the_limit_is_the_gateway_s() -> None:
    assert FIELD_BYTES == limits.HEADER_BYTES

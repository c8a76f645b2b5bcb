"""The strict grammar of addresses."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.contract import Address
from channels.email.address import Named, mailboxes, only_mailbox, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("alice@example.org", "alice@example.org"),
        ("Alice.B+tag@Example.ORG", "Alice.B+tag@example.org"),
        ('"alice"@example.org', "alice@example.org"),
        ('"al ice"@example.org', '"al ice"@example.org'),
        (r'"a\"b"@example.org', r'"a\"b"@example.org'),
        (r'"a\l"@example.org', "al@example.org"),
        ("josé@example.org", "josé@example.org"),
        ("alice@bücher.example", "alice@xn--bcher-kva.example"),
        ("alice@localhost", "alice@localhost"),
        ("a" * 64 + "@example.org", "a" * 64 + "@example.org"),
    ],
)
def test_an_address_is_read_into_its_canonical_form(text: str, address: str) -> None:
    assert parse(text) == address
    assert parse(address) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "alice", "@example.org", "alice@", "alice@@example.org", "alice@exa mple.org", "al ice@example.org",
        ".alice@example.org", "alice.@example.org", "al..ice@example.org", "alice@.example.org", "alice@example.org.",
        "alice@-example.org", "alice@example-.org", "alice@exam_ple.org", "<alice@example.org>", "alice@[192.0.2.1]",
        "@a.example:alice@example.org", "alice@example.org\n", "alice\x00@example.org", "alice@example.org\x00",
        "alice\r\n@example.org", '"alice@example.org', '"al"ice"@example.org', "alice(c)@example.org",
        "a" * 65 + "@example.org",
        "alice@" + "a" * 64 + ".org", "alice@" + "a." * 130 + "org",
        "ali\u202ece@example.org", "ali\udc80ce@example.org",
        "alice@example.org>", "alice@ex\u2024ample..org",
    ],
)  # fmt: skip
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse(text) is None


def test_characters_beyond_ascii_take_smtputf8() -> None:
    assert parse("josé@example.org", utf8=False) is None
    assert parse("alice@bücher.example", utf8=False) is None


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ("alice@example.org", [("", "alice@example.org")]),
        (" Alice Liddell <alice@example.org> ", [("Alice Liddell", "alice@example.org")]),
        ('"Liddell, Alice" <alice@example.org>', [("Liddell, Alice", "alice@example.org")]),
        ("Acme Inc. <alice@example.org>", [("Acme Inc.", "alice@example.org")]),
        ("alice@example.org (Alice (the first))", [("", "alice@example.org")]),
        ("=?utf-8?Q?Jos=C3=A9?= <jose@example.org>", [("=?utf-8?Q?Jos=C3=A9?=", "jose@example.org")]),
        (
            "Alice\r\n <alice@example.org>,\r\n bob@example.net",
            [("Alice", "alice@example.org"), ("", "bob@example.net")],
        ),
        ("José <jose@example.org>", [("José", "jose@example.org")]),
        ("<alice@example.org>", [("", "alice@example.org")]),
    ],
)  # fmt: skip
def test_a_mailbox_list_is_read(value: str, named: list[tuple[str, str]]) -> None:
    found = mailboxes(value)
    assert found is not None
    assert [(item.name, item.address) for item in found] == named


@pytest.mark.parametrize(
    "value",
    [
        "", ",", "alice", "alice@example.org,", "alice@example.org bob@example.net", "alice@bank.es)bob@evil.es",
        "alice@bank.es <mallory@evil.example>", "<alice@example.org> <bob@example.net>", "<<alice@example.org>>",
        "friends: alice@example.org;", "Alice <alice@example.org", "alice @example.org", "alice@ example.org",
        "(" * 3000, "(alice@example.org", "a" * 8193, '"alice <alice@example.org>', "alice@example.org\x00",
        "Alice <alice@example.org> x", "<@a.example:alice@example.org>", "Alice <>", "\x01 <alice@example.org>",
    ],
)  # fmt: skip
def test_a_list_that_does_not_parse_wholly_is_none(value: str) -> None:
    assert mailboxes(value) is None


def test_two_authors_are_not_one() -> None:
    assert only_mailbox("alice@example.org, bob@example.net") is None
    assert only_mailbox("alice@example.org") == Named("", Address("alice@example.org"))


@pytest.mark.parametrize(
    "value", ["a," * 4096, "\\" * 8192, '"' * 8192, "(" * 8192, '"\\' * 4096, "a." * 4096, "<" * 8192, "=?a?q?" * 1300]
)
def test_hostile_lists_cost_no_time(value: str) -> None:
    start = time.process_time()
    mailboxes(value)
    parse(value)
    assert time.process_time() - start < 0.1


@given(st.text(max_size=80))
def test_whatever_parses_parses_to_itself(text: str) -> None:
    address = parse(text)
    if address is not None:
        assert parse(address) == address
    mailboxes(text)

"""The strict grammar of addresses."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.address import domain_name, parse


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
        ('"josé ñ"@example.org', '"josé ñ"@example.org'),
        ("alice@BÜCHER.example", "alice@xn--bcher-kva.example"),
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
        "alice@example.org>", "alice@ex\u2024ample..org", "alice@example\u3002org", "alice@192.0.2.1", "alice@1",
        "al\u200dice@example.org", "\U0001f600@example.org", '"al\u202eice"@example.org',
        "a" * 64 + "@" + "b." * 95 + "org",
    ],
)  # fmt: skip
def test_what_is_no_address_is_none(text: str) -> None:
    assert parse(text) is None


def test_characters_beyond_ascii_take_smtputf8() -> None:
    assert parse("josé@example.org", utf8=False) is None
    assert parse("alice@bücher.example", utf8=False) is None


@pytest.mark.parametrize(
    "value", ["a," * 4096, "\\" * 8192, '"' * 8192, "(" * 8192, '"\\' * 4096, "a." * 4096, "<" * 8192, "=?a?q?" * 1300]
)
def test_hostile_addresses_cost_no_time(value: str) -> None:
    start = time.process_time()
    parse(value)
    parse(value + "@example.org")
    assert time.process_time() - start < 0.1


@given(st.text(max_size=80))
def test_whatever_parses_parses_to_itself(text: str) -> None:
    address = parse(text)
    if address is not None:
        assert parse(address) == address
        assert domain_name(address.rpartition("@")[2]) == address.rpartition("@")[2]

"""The one author of a message: what is read, and what is refused."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.author import FROM_BYTES, Author, FromFault, decode_words, domain_name, parse_from
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
        (b" =?utf-8?q?Al=C3=ADcia?= =?utf-8?b?IEI=?= <alice@example.org>", "alice@example.org", "Al\u00edcia B"),
        (b" =?iso-8859-1?Q?Jos=E9?=\r\n <jose@example.org>", "jose@example.org", "Jos\u00e9"),
        (b' "=?utf-8?b?Ym9iQGV4YW1wbGUubmV0?=" <mallory@evil.example>', "mallory@evil.example", "bob@example.net"),
        ("jörg@müller.example".encode(), "jörg@xn--mller-kva.example", ""),
        (b' <"al ice"@example.org>', '"al ice"@example.org', ""),
    ],
)  # fmt: skip
def test_one_mailbox_is_the_author(value: bytes, address: str, name: str) -> None:
    author = parse_from([value])
    assert isinstance(author, Author)
    assert (author.address, author.name.reveal()) == (address, name)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (b" <alice@example.org>, <bob@example.net>", FromFault.SEVERAL),
        (b" alice@example.org, bob@example.net", FromFault.SEVERAL),
        (b" Example, Alice <alice@example.org>", FromFault.SEVERAL),
        (b" friends: alice@example.org;", FromFault.GROUP),
        (b" <@evil.example,@b.example:alice@example.org>", FromFault.ROUTE),
        (b" <mallory@evil.example>alice@example.org", FromFault.SYNTAX),
        (b" <mallory@evil.example> <alice@example.org>", FromFault.SYNTAX),
        (b" alice@example.org <mallory@evil.example>", FromFault.LOCAL_PART),
        (b" (alice@example.org) mallory@evil.example", FromFault.COMMENT),
        (b" alice@example.org(<mallory@evil.example>)", FromFault.COMMENT),
        (b" alice(x)@example.org", FromFault.COMMENT),
        (b" alice@example.org)mallory@evil.example", FromFault.COMMENT),
        (b" =?utf-8?q?alice=40example.org?=@evil.example", FromFault.ENCODED_WORD),
        (b" <=?utf-8?b?YWxpY2VAZXhhbXBsZS5vcmc=?=>", FromFault.SYNTAX),
        (b' "alice@example.org"@evil.example', FromFault.SYNTAX),
        (b' <"alice@example.org"@evil.example>', FromFault.LOCAL_PART),
        (b' <"al\\ice"@example.org>', FromFault.LOCAL_PART),
        (b" <alice @example.org>", FromFault.LOCAL_PART),
        (b" alice@example.org.", FromFault.DOMAIN),
        (b" alice@exam ple.org", FromFault.DOMAIN),
        (b" alice@192.0.2.1", FromFault.DOMAIN),
        (b" alice@[192.0.2.1]", FromFault.LITERAL),
        (b" alice@example.org\x00.evil.example", FromFault.CONTROL),
        (b" alice@example.org\r\r\n", FromFault.CONTROL),
        (b" alice@example.org\r\n \r\n", FromFault.SYNTAX),
        (b" alice@example.org\xe9", FromFault.NOT_UTF8),
        ("alice@example。org".encode(), FromFault.DOMAIN),
        (b" <>", FromFault.SYNTAX),
        (b"", FromFault.SYNTAX),
        (b' "Alice <alice@example.org>', FromFault.SYNTAX),
        (b"a" * (FROM_BYTES + 1), FromFault.TOO_LARGE),
    ],
)
def test_what_programs_read_differently_has_no_author(value: bytes, fault: FromFault) -> None:
    assert parse_from([value]) is fault


def test_there_is_exactly_one_from_field() -> None:
    assert parse_from([]) is FromFault.MISSING
    assert parse_from([b"alice@example.org", b"alice@example.org"]) is FromFault.REPEATED


@given(st.binary(max_size=200))
def test_any_bytes_are_an_author_or_a_fault(value: bytes) -> None:
    found = parse_from([value])
    if isinstance(found, Author):
        assert domain_name(found.domain) == found.domain
        assert found.address.count("@") == 1


@pytest.mark.parametrize(
    "value",
    [b'"', b"\\", b"(", b"()", b"<", b"<>", b"a,", b'"\\"', b"=?", b"=?a?q?", b"a.", b"@", b" ", b"\r\n ", b":;"],
)
def test_reading_an_author_is_linear(value: bytes) -> None:
    started = time.process_time()
    for _ in range(20):
        parse_from([value * (FROM_BYTES // len(value))])
        parse_from([b'"x' + value * (FROM_BYTES // len(value) - 2) + b'"<a@b.example>'])
    assert time.process_time() - started < 1.0


def test_encoded_words_are_decoded_once_and_only_from_charsets_of_mail() -> None:
    assert decode_words("=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=") == "=?utf-8?q?x?="
    for charset in ("punycode", "unicode-escape", "idna", "utf-7", "nonesuch", "hex"):
        word = f"=?{charset}?q?abc?="
        assert decode_words(word) == word


def test_the_limit_is_the_gateway_s() -> None:
    assert FROM_BYTES == limits.HEADER_BYTES

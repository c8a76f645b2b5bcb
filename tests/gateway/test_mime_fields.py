"""Header fields, parameters, charsets, transfer encodings."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.decoding import base64_octets, codec, declared_charset, octets, text_of, tidy, unflow
from gateway.fields import header, words
from gateway.opened import Oddity
from gateway.parameters import valued
from gateway.reading import Reading


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?q?caf=C3=A9_au_lait?=", "café au lait"),
        (b"=?UTF-8?B?w7E=?=", "ñ"),
        (b"=?utf-8?b?ww==?= =?utf-8?b?sQ==?=", "ñ"),
        (b"=?utf-8?q?a?=  =?utf-8?q?b?=", "ab"),
        (b"=?utf-8?q?a?= b =?utf-8?q?c?=", "a b c"),
        (b"=?iso-8859-1*en?q?=E9?=", "é"),
        (b"=?nonsense?q?=41?=", "A"),
        (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
        ("señor".encode(), "señor"),
        (b"se\xf1or", "señor"),
        (b"a\r\n b\0c", "a  b c"),
        (b"=?utf-8?q?a=0D=0ABcc=3A_x?=", "a Bcc: x"),
        (b"=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3F=3D?=", "=?utf-8?q?x?="),
        *((f"=?{charset}?q?abc-?=".encode(), "abc-") for charset in ("punycode", "unicode-escape", "idna", "hex")),
    ],
)
def test_encoded_words(value: bytes, text: str) -> None:
    assert words(value) == text


@pytest.mark.parametrize(
    ("value", "name", "param"),
    [
        (b'attachment; filename="a b.txt"', "filename", "a b.txt"),
        (b'attachment; filename="a\\"b"', "filename", 'a"b'),
        (b"attachment; filename=a.txt; filename=b.txt", "filename", "a.txt"),
        (b"attachment; filename*=utf-8'es'a%C3%B1o.txt", "filename", "año.txt"),
        (b"attachment; filename*0*=utf-8''a%C3; filename*1*=%B1o; filename*2=.txt", "filename", "año.txt"),
        (b"attachment; filename*1=b; filename*0=a", "filename", "ab"),
        (b"attachment; filename*0=a; filename*2=c", "filename", "a"),
        (b"attachment; filename=x; filename*=utf-8''y", "filename", "y"),
        (b'attachment; filename="=?utf-8?q?a=C3=B1o?="', "filename", "año"),
        (b'attachment; filename="unclosed', "filename", "unclosed"),
        (b"attachment (a comment; filename=no); filename=yes", "filename", "yes"),
        (b"attachment ; filename = spaced.txt", "filename", "spaced.txt"),
    ],
)
def test_parameters(value: bytes, name: str, param: str) -> None:
    found = valued(value)
    assert found.value == "attachment"
    assert found.params[name] == param


def test_a_parameter_that_stands_twice_is_told() -> None:
    assert valued(b"multipart/mixed; boundary=a; boundary=b").doubled == {"boundary"}
    assert valued(b"multipart/mixed; boundary=a; boundary*=utf-8''b").doubled == {"boundary"}
    assert not valued(b"multipart/mixed; boundary=a; boundary=a").doubled


@pytest.mark.parametrize(
    ("data", "charset", "text", "oddity"),
    [
        (b"caf\xc3\xa9", "utf-8", "café", None),
        (b"caf\xe9", "iso-8859-1", "café", None),
        (b"\x93quoted\x94", "iso-8859-1", "“quoted”", None),
        (b"caf\xc3\xa9", "us-ascii", "café", None),
        (b"caf\xe9", "", "café", Oddity.UNDECODABLE_TEXT),
        (b"caf\xe9", "utf-8", "café", Oddity.UNDECODABLE_TEXT),
        (b"caf\xc3\xa9 \xc3", "utf-8", "café \ufffd", Oddity.UNDECODABLE_TEXT),
        (b"caf\xc3\xa9", "no-such-charset", "café", Oddity.UNKNOWN_CHARSET),
        (b"uryyb", "rot13", "uryyb", Oddity.UNKNOWN_CHARSET),
        (b"a" * 99, "punycode", "a" * 99, Oddity.UNKNOWN_CHARSET),
        (b"x", "utf\0-8", "x", Oddity.UNKNOWN_CHARSET),
        (b"\xfe", "utf-16", "\ufffd", Oddity.UNDECODABLE_TEXT),
        ("año".encode("utf-16-le"), "utf-16le", "año", None),
        (b"\x1b$B%F%9%H\x1b(B", "iso-2022-jp", "テスト", None),
        (b"\xe5\xe4\xe8\xed\xe8\xf6\xe0", "windows-1251", "единица", None),
    ],
)
def test_charsets(data: bytes, charset: str, text: str, oddity: Oddity | None) -> None:
    assert text_of(data, charset) == (text, oddity)


def test_compressors_and_ciphers_are_no_charsets() -> None:
    assert [codec(name) for name in ("zlib", "bz2", "base64", "rot13", "idna", "punycode", "unicode_escape")] == [
        None
    ] * 7


@pytest.mark.parametrize(
    ("body", "data", "sound"),
    [
        (b"aGVsbG8=\r\n", b"hello", True),
        (b"aGVs\r\nbG8=", b"hello", True),
        (b"aGVsbG8", b"hello", False),
        (b"aGVs*bG8=aaaaaaaa", b"hello\x69\xa6\x9a\x69\xa6\x9a", False),
        (b"aGk=aGk=", b"hihi", False),
        (b"... no base64, just text! ...", b"... no base64, just text! ...", False),
        (b"", b"", True),
    ],
)
def test_base64(body: bytes, data: bytes, sound: bool) -> None:
    assert base64_octets(body) == (data, sound)


def test_uuencode() -> None:
    body = b"begin 644 x\r\n%:&5L;&\\ \r\n`\r\nend\r\n"
    assert octets(body, "x-uuencode") == (b"hello", None)


@pytest.mark.parametrize(
    ("text", "delete_space", "unflowed"),
    [
        ("a \nb\nc", False, "a b\nc"),
        ("4111 \n1111", True, "41111111"),
        ("> a \n> b\n>> c \nd", False, "> a b\n>> c \nd"),
        ("bye \n-- \nAlice \nSmith", False, "bye \n-- \nAlice Smith"),
    ],
)
def test_flowed_text(text: str, delete_space: bool, unflowed: str) -> None:
    assert unflow(text, delete_space=delete_space) == unflowed


def test_a_page_may_declare_its_charset() -> None:
    assert declared_charset(b'<meta charset="gb2312">') == "gb2312"
    assert declared_charset(b"<META http-equiv=x content='text/html; charset=windows-1251'>") == "windows-1251"
    assert declared_charset(b"<meta " * 50_000) == ""


def test_control_characters_are_taken_out_and_told() -> None:
    assert tidy("a\r\nb\rc\x00\x1b[31md\te") == ("a\nb\nc[31md\te", True)
    assert tidy("a\r\nb\u2028c") == ("a\nb\nc", False)


@given(st.binary(max_size=2_000))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    words(data)
    valued(data)
    base64_octets(data)
    header(data, 0, len(data), Reading(), mail=True)
    for charset in ("utf-8", "utf-7", "utf-16", "iso-2022-kr", "hz", "gb18030", data[:20].decode("latin-1")):
        text_of(data, charset)
    for encoding in ("base64", "quoted-printable", "x-uuencode", "nonsense"):
        octets(data, encoding)


@pytest.mark.parametrize("charset", ["utf-7", "hz", "iso-2022-jp", "iso-2022-kr", "gb18030", "big5", "utf-8"])
def test_megabytes_of_broken_text_take_no_time(charset: str) -> None:
    start = time.process_time()
    for data in (b"\xff" * 1_000_000, b"+" * 1_000_000, b"~{" * 500_000, b"\x1b$" * 500_000):
        tidy(text_of(data, charset)[0])
    assert time.process_time() - start < 4

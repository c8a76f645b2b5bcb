"""What is known of a message before gpg sees it: grammar, and nothing that isn't there."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import packets
from keys.errors import BadData, CannotDecrypt, KeysError
from keys.testing import encrypted, gpg, identities, new_home

ALICE = "alice"


def packet(tag: int, body: bytes) -> bytes:
    return bytes([0xC0 | tag, 255]) + len(body).to_bytes(4, "big") + body


def pkesk(key_id: bytes, version: int = 3) -> bytes:
    return packet(1, bytes([version]) + key_id + b"\x12rest")


SEIPD = packet(18, b"\x01" + bytes(40))


def test_recipients_are_counted_and_named() -> None:
    message = pkesk(b"\xab" * 8) + pkesk(bytes(8)) + packet(3, b"\x04\x09\x03rest") + packet(10, b"PGP") + SEIPD
    outline = packets.outline(message)
    assert [name for name, _ in outline.recipients] == ["AB" * 8, ""]
    assert (outline.hidden, outline.passwords) == (1, 1)
    assert message[outline.data :] == SEIPD
    assert message[outline.recipients[0][1]] == pkesk(b"\xab" * 8)


def test_a_version_6_session_key_names_a_fingerprint() -> None:
    v4 = packet(1, bytes([6, 21, 4]) + b"\x11" * 12 + b"\xcd" * 8 + b"\x19rest")
    v6 = packet(1, bytes([6, 33, 6]) + b"\xef" * 8 + b"\x11" * 24 + b"\x19rest")
    anonymous = packet(1, bytes([6, 0]) + b"\x19rest" + bytes(8))
    outline = packets.outline(v4 + v6 + anonymous + packet(18, b"\x02" + bytes(40)))
    assert [name for name, _ in outline.recipients] == ["CD" * 8, "EF" * 8, ""]


@pytest.mark.parametrize("message", [
    b"", b"\xc1", SEIPD[:-1], SEIPD + b"\x00", SEIPD + SEIPD, pkesk(b"x" * 8), pkesk(b"x" * 8, 2) + SEIPD,
    packet(1, b"\x03short") + SEIPD, pkesk(b"x" * 8) + packet(11, b"b\x00\x00\x00\x00\x00"), packet(6, b"key"), b"\x3f",
    packet(60, b"x"), bytes([0xC1, 0xEA]) + bytes(2000), bytes([0x87]) + bytes(20), packet(10, b"PGP") * 1_001,
])  # fmt: skip
def test_other_grammar_is_bad_data(message: bytes) -> None:
    with pytest.raises(BadData):
        packets.outline(message)


def test_an_unprotected_packet_is_refused_before_gpg() -> None:
    with pytest.raises(CannotDecrypt):
        packets.outline(pkesk(b"x" * 8) + packet(9, bytes(40)))


def test_lengths_of_every_kind_are_read() -> None:
    body = b"\x01" + bytes(9_000)
    chunks = bytes([0xD2, 0xEC]) + body[:4096] + bytes([0xEC]) + body[4096:8192] + bytes([0xC2, 0x69]) + body[8192:]
    short = bytes([0xD2, 0xE2, *b"\x01abc", 0x05, *b"defgh"])
    for form in (short, bytes([0xD2, 191]) + bytes(191), bytes([0xD2, 192, 0]) + bytes(192), packet(18, body), chunks):
        assert packets.outline(form).encrypted
    for old in (b"\xa3\x01abc", b"\xa0\x04\x01abc", b"\xa1\x00\x04\x01abc", b"\xa2\x00\x00\x00\x04\x01abc"):
        assert not packets.outline(old).encrypted


@given(st.binary(max_size=400))
def test_junk_gives_an_answer_or_a_keys_error(junk: bytes) -> None:
    for read in (packets.outline, packets.signatures, packets.certificates, packets.dearmor, packets.clear_signed):
        try:
            read(junk)
        except KeysError:
            continue


@given(st.binary(min_size=1, max_size=300).map(lambda data: bytes([data[0] | 0x80]) + data[1:]))
def test_armor_comes_off_whatever_stands_around_it(data: bytes) -> None:
    text = base64.encodebytes(data)
    armored = b"-----BEGIN PGP MESSAGE-----\nVersion: x\nComment: y\n\n" + text + b"=abcd\n-----END PGP MESSAGE-----\n"
    assert packets.dearmor(armored) == data
    assert packets.dearmor(b"hello\r\n" + armored.replace(b"\n", b"\r\n") + b"\r\nbye") == data
    for bad in (armored * 2, armored.replace(b"END PGP MESSAGE", b"END PGP SIGNATURE"), armored[:-40], b"no armor"):
        with pytest.raises(BadData):
            packets.dearmor(bad)


def test_what_gpg_makes_is_understood() -> None:
    people = identities()
    to = [people["support"].certificate, people["bob"].certificate]
    message = packets.dearmor(encrypted(bytes(100_000), to=to, by=people[ALICE], options=("--compress-algo", "none")))
    outline = packets.outline(message)
    assert len(outline.recipients) == 2
    listed = gpg(new_home(), "--list-packets", stdin=message, check=False).decode()
    assert all(f"keyid {name}" in listed for name, _ in outline.recipients)
    assert packets.certificates(people[ALICE].certificate) == 1
    armored = people[ALICE].gpg("--armor", "--export", people[ALICE].fingerprint)
    assert packets.certificates(packets.dearmor(armored)) == 1
    with pytest.raises(BadData):
        packets.certificates(people[ALICE].secret)

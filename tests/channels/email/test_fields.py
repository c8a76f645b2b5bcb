"""Splitting a header block without mending it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.fields import HEADER_BLOCK_BYTES, HeaderFault, read, to_crlf, units
from gateway import limits

F = HeaderFault


@pytest.mark.parametrize(
    ("raw", "names", "faults", "body"),
    [
        (b"A: 1\r\nB:2\r\n\r\nx", ["a", "b"], set(), b"x"),
        (b"A: 1\r\n more\r\nB:2\r\n\r\n", ["a", "b"], set(), b""),
        (b"A: 1\r\n", ["a"], set(), b""),
        (b"A: 1", ["a"], set(), b""),
        (b"", [], set(), b""),
        (b"\r\nFrom: x", [], set(), b"From: x"),
        (b"A : 1\r\n\r\n", ["a"], {F.SPACED_NAME}, b""),
        (b"A\r\n : 1\r\n\r\n", ["a"], {F.BAD_NAME}, b""),
        (b" A: 1\r\nB: 2\r\n\r\n", ["a", "b"], {F.LEADING_FOLD, F.BAD_NAME}, b""),
        (b"A: 1\r\njunk\r\n\r\n", ["a"], {F.NO_COLON}, b""),
        (b"A: 1\r\n \r\nB: 2\r\n\r\n", ["a", "b"], {F.BLANK_FOLD}, b""),
        (b"A: 1\nB: 2\r\n\r\n", ["a"], {F.BARE_CR_OR_LF}, b""),
        (b"A: 1\rB: 2\r\n\r\n", ["a"], {F.BARE_CR_OR_LF}, b""),
        (b"A: \x00\r\n\r\n", ["a"], {F.CONTROL}, b""),
        (b"From: a\r\nfrom: b\r\n\r\n", ["from", "from"], {F.REPEATED}, b""),
        (b"Received: a\r\nReceived: b\r\n\r\n", ["received", "received"], set(), b""),
    ],
)
def test_a_block_is_split_and_its_faults_named(
    raw: bytes, names: list[str], faults: set[HeaderFault], body: bytes
) -> None:
    block = read(raw)
    assert [each.name for each in block.fields] == names
    assert block.faults == faults
    assert raw[block.body :] == body


def test_a_block_that_is_too_large_is_not_read() -> None:
    block = read(b"A: " + b"x" * HEADER_BLOCK_BYTES + b"\r\n\r\n")
    assert block.fields == ()
    assert block.faults == {F.TOO_LARGE}
    assert HEADER_BLOCK_BYTES == limits.HEADER_BLOCK_BYTES


@given(st.lists(st.sampled_from([b"From", b":", b" ", b"\t", b"\r\n", b"\r", b"\n", b"x", b"\x00"]), max_size=40))
def test_no_byte_of_a_block_is_lost(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    assert b"\r\n".join(units(raw)) == raw
    block = read(raw)
    if F.NO_COLON not in block.faults and block.fields:
        assert raw.startswith(b"\r\n".join(each.raw for each in block.fields))


def test_lone_line_feeds_of_a_file_become_crlf_but_mixed_ends_stay() -> None:
    assert to_crlf(b"A: 1\n\nx\n") == b"A: 1\r\n\r\nx\r\n"
    assert to_crlf(b"A: 1\r\nB: 2\n") == b"A: 1\r\nB: 2\n"


def test_reading_a_block_is_linear() -> None:
    started = time.process_time()
    for piece in (b"\r\n ", b" \r\n", b":", b"\r\n", b"\r\n \r\n", b"a:\r\n", b"\t"):
        read(b"x:" + piece * (HEADER_BLOCK_BYTES // len(piece) - 10))
    assert time.process_time() - started < 1.0

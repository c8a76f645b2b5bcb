"""One reading of a header block, without mending it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.email.headers import (
    CONTENT_SINGLE,
    HEADER_BLOCK_BYTES,
    HEADERS,
    SINGLE,
    HeaderFault,
    read,
    read_block,
    to_crlf,
    without,
)
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
        (b"\xe2\x80\x8bFrom: 1\r\n\r\n", ["from"], {F.BAD_NAME}, b""),
        (b"A\x00: 1\r\nA: 2\r\n\r\n", ["a", "a"], {F.BAD_NAME, F.CONTROL}, b""),
        (b" A: 1\r\nB: 2\r\n\r\n", [], {F.NO_FIELD}, b" A: 1\r\nB: 2\r\n\r\n"),
        (b"A: 1\r\njunk\r\nB: 2\r\n\r\n", ["a"], {F.NO_FIELD}, b"junk\r\nB: 2\r\n\r\n"),
        (b"A: 1\r\nB b: 2\r\n\r\n", ["a"], {F.NO_FIELD}, b"B b: 2\r\n\r\n"),
        (b": 1\r\n\r\n", [], {F.NO_FIELD}, b": 1\r\n\r\n"),
        (b"A: 1\r\n \r\nB: 2\r\n\r\n", ["a", "b"], {F.BLANK_FOLD}, b""),
        (b"A: 1\nB: 2\r\n\r\n", ["a", "b"], {F.BARE_CR_OR_LF}, b""),
        (b"A: 1\nB: 2\n\nx\n", ["a", "b"], {F.LF_ENDS}, b"x\n"),
        (b"A: 1\nB: 2\n\nx\r\n", ["a", "b"], {F.BARE_CR_OR_LF}, b"x\r\n"),
        (b"A: 1\r\r\nB: 2\r\n\r\n", ["a", "b"], {F.BARE_CR_OR_LF}, b""),
        (b"A: 1\rB: 2\r\n\r\n", ["a"], {F.BARE_CR_OR_LF}, b""),
        (b"A: \x00\r\n\r\n", ["a"], {F.CONTROL}, b""),
        (b"From: a\r\nfrom: b\r\n\r\n", ["from", "from"], {F.REPEATED}, b""),
        (b"Received: a\r\nReceived: b\r\n\r\n", ["received", "received"], set(), b""),
        (b"From alice@example.org Mon Jan  1 00:00:00 2024\r\nA: 1\r\n\r\n", ["a"], set(), b""),
        (b"From : bob@example.net\r\n\r\n", ["from"], {F.SPACED_NAME}, b""),
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
    block = read(b"A: 1\r\nB: " + b"x" * HEADER_BLOCK_BYTES + b"\r\n\r\n")
    assert [each.name for each in block.fields] == ["a"]
    assert block.faults == {F.TOO_LARGE}
    assert F.TOO_MANY in read(b"A: 1\r\n" * (HEADERS + 1)).faults
    assert F.TOO_MANY not in read(b"A: 1\r\n" * HEADERS).faults
    assert (HEADER_BLOCK_BYTES, HEADERS) == (limits.HEADER_BLOCK_BYTES, limits.HEADERS)


def test_a_part_may_repeat_what_only_a_message_may_not() -> None:
    part = b"xxSubject: a\r\nSubject: b\r\n\r\n"
    assert read_block(part, 2, len(part), single=CONTENT_SINGLE).faults == set()
    assert read_block(part, 2, len(part), single=SINGLE).faults == {F.REPEATED}
    assert read_block(part, 2, 14, single=SINGLE).fields[0].value == b" a"


def test_fields_know_their_place_and_can_be_taken_out() -> None:
    raw = b"From x\r\nA: 1\r\n 2\r\nB : 3\r\nC: 4\r\n\r\nbody"
    block = read(raw)
    assert [raw[each.start : each.end] for each in block.fields] == [b"A: 1\r\n 2\r\n", b"B : 3\r\n", b"C: 4\r\n"]
    assert [each.raw for each in block.fields] == [b"A: 1\r\n 2", b"B : 3", b"C: 4"]
    assert [(each.value, each.text(), each.exact) for each in block.fields] == [
        (b" 1\r\n 2", "1 2", True),
        (b" 3", "3", False),
        (b" 4", "4", True),
    ]
    assert without(raw, block.named("b")) == raw.replace(b"B : 3\r\n", b"")


@given(st.lists(st.sampled_from([b"From", b":", b" ", b"\t", b"\r\n", b"\r", b"\n", b"x", b"\x00"]), max_size=40))
def test_no_byte_of_a_block_is_lost(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    block = read(raw)
    starts = [each.start for each in block.fields] + [block.fields[-1].end if block.fields else block.body]
    assert [each.end for each in block.fields] == starts[1:]
    assert raw[starts[-1] : block.body] in (b"", b"\r\n", b"\n")
    for each in block.fields:
        assert raw[each.start : each.end].removesuffix(b"\n").removesuffix(b"\r") == each.raw.removesuffix(b"\r")
        assert each.raw.endswith(b":" + each.value)
    assert read(without(raw, block.fields)).fields == () or F.NO_FIELD in block.faults


def test_lone_line_feeds_of_a_file_become_crlf_but_mixed_ends_stay() -> None:
    assert to_crlf(b"A: 1\n\nx\n") == b"A: 1\r\n\r\nx\r\n"
    assert to_crlf(b"A: 1\r\nB: 2\n") == b"A: 1\r\nB: 2\n"


def test_reading_a_block_is_linear() -> None:
    started = time.process_time()
    for piece in (b"\r\n ", b" \r\n", b":", b"\r\n", b"\r\n \r\n", b"a:\r\n", b"\t"):
        read(b"x:" + piece * (HEADER_BLOCK_BYTES // len(piece) - 10))
    assert time.process_time() - started < 1.0

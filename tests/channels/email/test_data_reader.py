"""The content of DATA: only CRLF.CRLF ends it, and nothing costs more than it should."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.email.data_reader import DataReader, Endless, Fault

MAX = 1_000_000


def read(data: bytes, sizes: list[int] | None = None, max_bytes: int = MAX) -> tuple[DataReader, bytes | None]:
    reader = DataReader(max_bytes=max_bytes, line_bytes=2048)
    at, rest = 0, None
    for size in [*(sizes or []), len(data)]:
        if at >= len(data):
            break
        rest = reader.feed(data[at : at + size])
        at += size
        if rest is not None:
            return reader, rest + data[at:]
    return reader, rest


@pytest.mark.parametrize(
    ("sent", "content"),
    [
        (b".\r\n", b""),
        (b"\r\n.\r\n", b"\r\n"),
        (b"a\r\n.\r\n", b"a\r\n"),
        (b"..\r\n.\r\n", b".\r\n"),
        (b"a\r\n..b\r\n...\r\n.\r\n", b"a\r\n.b\r\n..\r\n"),
        (b".a\r\n.\r\n", b"a\r\n"),
        (b"a\r\n..\r\n..\r\n.\r\n", b"a\r\n.\r\n.\r\n"),
        (b"a.\r\n.\r\n", b"a.\r\n"),
        (b"x" * 2048 + b"\r\n.\r\n", b"x" * 2048 + b"\r\n"),
    ],
)
def test_dots_are_unstuffed_and_the_end_is_found(sent: bytes, content: bytes) -> None:
    reader, rest = read(sent + b"RSET\r\n")
    assert (reader.content(), rest, reader.fault) == (content, b"RSET\r\n", None)
    reader, rest = read(sent, [1] * len(sent))
    assert (reader.content(), rest) == (content, b"")


@given(
    st.lists(st.sampled_from([b"a", b".", b"\r\n", b"\r\n.", b"\r\n..", b"bc", b"\r", b"\n", b"\0"]), max_size=30),
    st.lists(st.integers(1, 7), max_size=60),
)
@settings(max_examples=300, deadline=None)
def test_how_the_bytes_are_cut_changes_nothing(pieces: list[bytes], sizes: list[int]) -> None:
    data = b"".join(pieces) + b"\r\n.\r\nNOOP\r\n"
    whole, rest = read(data)
    cut, cut_rest = read(data, sizes)
    assert rest == cut_rest
    assert (whole.fault is None) == (cut.fault is None)
    if whole.fault is None:
        assert whole.content() == cut.content()
        # what a reader by lines makes of it
        lines = data[: len(data) - len(rest or b"")].split(b"\r\n")[:-2]
        assert whole.content() == b"".join((line[1:] if line[:1] == b"." else line) + b"\r\n" for line in lines)
        assert b"\0" not in whole.content()
        assert whole.content().count(b"\n") == whole.content().count(b"\r") == whole.content().count(b"\r\n")


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (b"a\nb\r\n", Fault.BARE_NEWLINE),
        (b"a\rb\r\n", Fault.BARE_NEWLINE),
        (b"a\r\r\n", Fault.BARE_NEWLINE),
        (b"a\n\r\n", Fault.BARE_NEWLINE),
        (b"a\0b\r\n", Fault.NUL),
        (b"x" * 2049 + b"\r\n", Fault.LONG_LINE),
        (b"x" * 4097, Fault.LONG_LINE),
        (b"ok\r\n" * 1000 + b"x" * 2049 + b"\r\n" + b"ok\r\n" * 1000, Fault.LONG_LINE),
        (b"ok\r\n" * 250_001, Fault.TOO_LARGE),
    ],
)
def test_what_must_not_be_in_it_refuses_it_whole(sent: bytes, fault: Fault) -> None:
    for sizes in (None, [100] * (len(sent) // 100)):
        reader, rest = read(sent + b"\r\n.\r\nQUIT\r\n", sizes)
        assert (reader.fault, rest) == (fault, b"QUIT\r\n")
        assert reader.held <= 16
        with pytest.raises(ValueError):
            reader.content()


def test_a_line_without_an_end_takes_no_memory() -> None:
    reader = DataReader(max_bytes=26_214_400, line_bytes=2048)
    tracemalloc.start()
    for _ in range(500):
        assert reader.feed(b"x" * 65_536) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert reader.fault is Fault.LONG_LINE
    assert peak < 1_000_000


def test_refused_content_has_an_end_even_without_one() -> None:
    reader = DataReader(max_bytes=10_000, line_bytes=2048)


    def forever() -> None:
        while True:
            reader.feed(b"x" * 1000)

    with pytest.raises(Endless):
        forever()
    assert reader.received < 40_000


@pytest.mark.parametrize("line", [b"x" * 70 + b"\r\n", b"\r\n", b"\r\n..", b".\r", b"..\r\n"])
def test_time_grows_with_size_and_no_faster(line: bytes) -> None:
    def seconds(size: int) -> float:
        data = line * (size // len(line))
        reader = DataReader(max_bytes=10 * size, line_bytes=2048)
        start = time.process_time()
        for at in range(0, len(data), 1460):
            reader.feed(data[at : at + 1460])
        reader.feed(b"\r\n.\r\n")
        return time.process_time() - start

    seconds(500_000)
    assert seconds(8_000_000) < 0.5 + 40 * seconds(500_000)

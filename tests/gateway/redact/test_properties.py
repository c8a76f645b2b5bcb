"""What holds for every text: masks are final, maps are exact, time is linear."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.redact import MASK, RECOGNIZERS, Kind, Reason, Span, View, find, fires, redact
from gateway.redact.spans import merged

VALUES = st.sampled_from(
    [
        "4111 1111 1111 1111",
        "5555555555554444",
        "3782-822463-10005",
        "2223 0031 2200 3222",
        "6304000000000000",
        "ES91 2100 0418 4502 0005 1332",
        "GB29NWBK60161331926819",
        "12345678Z",
        "X-1234567-L",
        "078-05-1120",
        "CVV 123",
        "cvc",
        "card",
        "tarjeta",
        "order",
        "IMEI",
        "ssn",
        "dni",
        "12/27",
        "123",
        "1111",
        "4",
        "0",
        " ",
        "\n",
        "-",
        ".",
        "[",
        "]",
        "[card ···· 1111]",
        "[IBAN ···· 1332]",
        "[ID number]",
        "[code hidden]",
        "\u200b",
        "\u00a0",
        "é",
        "😀",
        "１",
        "②",
        "٤",
        "é",
        "a",
        "Z",
    ]
)
TEXTS = st.lists(VALUES | st.text("0123456789 -.\n", max_size=8) | st.text(max_size=6), max_size=14).map("".join)


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_no_recognizer_fires_on_what_was_masked(text: str) -> None:
    done = redact(text)
    assert not fires(done.text)
    assert redact(done.text).text == done.text


@settings(max_examples=400, deadline=None)
@given(TEXTS)
def test_what_is_not_masked_stays_as_it_was(text: str) -> None:
    done = redact(text)
    if done.withheld:
        return
    at = 0
    rest = done.text
    for span in done.spans:
        assert at <= span.start < span.end <= len(text)
        kept = text[at : span.start]
        assert rest.startswith(kept)
        rest = rest[len(kept) :]
        mask = MASK.match(rest)
        assert mask
        rest = rest[mask.end() :]
        at = span.end
    assert rest == text[at:]


@settings(max_examples=300, deadline=None)
@given(TEXTS | st.text(max_size=60), st.data())
def test_a_view_leads_back_to_what_it_was_folded_from(text: str, data: st.DataObject) -> None:
    view = View(text)
    if not view.folded:
        return
    start = data.draw(st.integers(0, len(view.folded) - 1))
    end = data.draw(st.integers(start + 1, len(view.folded)))
    first, last = view.origin(start, end)
    assert 0 <= first < last <= len(text)
    assert view.folded[start:end] in View(text[first:last]).folded


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_recognizers_are_pure(text: str) -> None:
    for recognizer in RECOGNIZERS:
        assert list(recognizer(text)) == list(recognizer(View(text)))


@given(st.lists(st.tuples(st.sampled_from(Kind), st.integers(0, 50), st.integers(1, 20)), max_size=12))
def test_merged_spans_cover_the_same_and_never_overlap(parts: list[tuple[Kind, int, int]]) -> None:
    spans = [Span(kind, start, start + size, reason=Reason.PATTERN) for kind, start, size in parts]
    done = merged(spans)
    assert {at for span in spans for at in range(span.start, span.end)} == {
        at for span in done for at in range(span.start, span.end)
    }
    assert all(one.end <= two.start for one, two in pairwise(done))


HUNDRED_KB = 100_000
ADVERSARIAL = {
    "one digit": "4" * HUNDRED_KB,
    "digits one by one": "4 " * (HUNDRED_KB // 2),
    "digits one by one, labelled": "card " + "4 " * (HUNDRED_KB // 2),
    "pairs": "41 " * (HUNDRED_KB // 3),
    "groups of four": "4111 " * (HUNDRED_KB // 5),
    "cards": "4111 1111 1111 1111 " * (HUNDRED_KB // 20),
    "solid cards": "4111111111111111 " * (HUNDRED_KB // 17),
    "bad cards": "4111111111111112 " * (HUNDRED_KB // 17),
    "eleven digits": "41111111111 x" * (HUNDRED_KB // 13),
    "far apart": "4    " * (HUNDRED_KB // 5),
    "iban starts": "ES91" * (HUNDRED_KB // 4),
    "iban starts apart": "ES91 " * (HUNDRED_KB // 5),
    "maltese ibans": "MT84MALT0110000" * (HUNDRED_KB // 15),
    "ibans that fail": "ES91 2100 0418 4502 0005 1333 " * (HUNDRED_KB // 30),
    "nine digits": "219099999 " * (HUNDRED_KB // 10),
    "nine digits, labelled": "ssn 000099999 " * (HUNDRED_KB // 14),
    "eight digits": "12345678 " * (HUNDRED_KB // 9),
    "identity numbers": "12345678Z " * (HUNDRED_KB // 10),
    "labels": "cvv " * (HUNDRED_KB // 4),
    "labels and codes": "cvv 123 " * (HUNDRED_KB // 8),
    "labels and blanks": "cvv" + " " * 40 + "cvv",
    "blanks": " " * HUNDRED_KB,
    "zero-width": "4\u200b" * (HUNDRED_KB // 2),
    "circled": "④" * (HUNDRED_KB // 3),
    "circled twelves": "⑫" * (HUNDRED_KB // 3),
    "combining": "4\u0301" * (HUNDRED_KB // 3),
    "full-width": "４" * (HUNDRED_KB // 3),
    "hexadecimal": "4111111111111111abcdef0123456789" * (HUNDRED_KB // 32),
    "uuids": "550e8400-e29b-41d4-a716-446655440000 " * (HUNDRED_KB // 37),
    "masks": "[card ···· 1111]" * (HUNDRED_KB // 16),
    "url": "https://shop.example/" + "501800000009/" * (HUNDRED_KB // 13),
    "prose": "The quick brown fox jumps over the lazy dog. " * (HUNDRED_KB // 45),
}


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_a_hundred_kilobytes_cost_little_whatever_they_hold(name: str) -> None:
    text = ADVERSARIAL[name]
    best = min(_seconds(text) for _ in range(2))
    assert best < 1.0


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_the_cost_grows_with_the_size_alone(name: str) -> None:
    text = ADVERSARIAL[name]
    half = min(_seconds(text[: len(text) // 4]) for _ in range(3))
    whole = min(_seconds(text) for _ in range(3))
    assert whole < 12 * half + 0.05, (half, whole)


def _seconds(text: str) -> float:
    started = time.process_time()
    find(text)
    return time.process_time() - started


@given(st.lists(st.sampled_from(["LC", "GB", "CVV", "cvc", "dni", "ssn", "card", " ", "-", ":", "X", "Z", "é", "abc"])),
       st.sampled_from("0123456789"), st.lists(st.sampled_from(["Z", " ", "-", "card", "DNI", "X"])))  # fmt: skip
def test_no_recognizer_fires_on_fewer_than_two_digits(before: list[str], digit: str, after: list[str]) -> None:
    """The engine doesn't ask them then."""
    text = "".join((*before, digit, *after))
    assert [span for recognizer in RECOGNIZERS for span in recognizer(text)] == []

"""Reading bodies: one meaning, bounded, and a problem that names the field and repeats nothing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.desk.problems import TITLES, Problem
from gateway.desk.schemas import NewReply, Release
from gateway.desk.strict import DEPTH, parse


def refused(body: bytes) -> Problem:
    with pytest.raises(Problem) as caught:
        parse(body, NewReply)
    return caught.value


def test_a_good_body_is_read() -> None:
    assert parse(b'{"text": "Hello", "seen": 3}', NewReply) == NewReply(text="Hello", seen=3)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"nul", b"\xff\xfe", b'{"text": "a", "text": "b"}', b'{"text": "a", "seen": NaN}',
        b'{"text": "a", "seen": Infinity}', b'{"text": "a", "seen": ' + b"9" * 5000 + b"}",
        b'{"text": "a", "seen": 1e999}', b"[" * (DEPTH + 1) + b"]" * (DEPTH + 1), b"[" * 1_000_000,
        b'{"a":' * 100_000, b"\xef\xbb\xbf{}", b'{"text": "\\ud800"}',
    ],
)  # fmt: skip
def test_a_body_with_two_meanings_or_none_is_malformed(body: bytes) -> None:
    assert refused(body).kind == "malformed"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"text": 1}', "text"),
        (b'{"text": ""}', "text"),
        (b'{"seen": 1}', "text"),
        (b'{"text": "a", "seen": -1}', "seen"),
        (b'{"text": "a", "seen": "1"}', "seen"),
        (b'{"text": "a", "role": "admin"}', ""),
        (b"[]", ""),
    ],
)
def test_a_wrong_field_is_named(body: bytes, field: str) -> None:
    problem = refused(body)
    assert (problem.kind, problem.field) == ("invalid", field)
    assert "admin" not in json.dumps(problem.document())


def test_a_wrong_item_of_a_list_is_named() -> None:
    with pytest.raises(Problem) as caught:
        parse(b'{"reason": "false-alarm", "waived": ["ok.code", "<script>"]}', Release)
    assert "waived" in caught.value.field
    assert "script" not in json.dumps(caught.value.document())


def test_brackets_in_strings_are_no_nesting() -> None:
    assert parse(json.dumps({"text": "[" * 500 + '"\\' + "{" * 500}).encode(), NewReply).text.startswith("[[")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    kind = "malformed"
    try:
        parse(body, NewReply)
    except Problem as problem:
        kind = problem.kind
    assert kind in TITLES

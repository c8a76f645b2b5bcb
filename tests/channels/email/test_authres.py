"""Authentication-Results: written safely, read with patience, ours taken off what comes in."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testdata import email_cases

from channels.contract import Authentication, DkimResult, Result
from channels.email.authres import Claim, parse, without_ours, write

FACTS = Authentication(
    spf=Result.PASS,
    spf_domain="example.org",
    dkim=(
        DkimResult(result=Result.PASS, domain="example.org", selector="s1", algorithm="rsa-sha256"),
        DkimResult(result=Result.POLICY, domain="lists.example.net", selector="x", reason="algorithm.sha1"),
    ),
    dmarc=Result.PASS,
    dmarc_policy="reject",
    author_domain="example.org",
)


def test_what_is_written_reads_back() -> None:
    raw = write("mx.acme.example", FACTS)
    assert raw.startswith(b"Authentication-Results: mx.acme.example;\r\n\t")
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78
    found = parse(raw.partition(b":")[2].removesuffix(b"\r\n"))
    assert found is not None
    assert found.server == "mx.acme.example"
    assert found.claims == (
        Claim("spf", "pass", (("smtp.mailfrom", "example.org"),)),
        Claim("dkim", "pass", (("header.d", "example.org"), ("header.s", "s1"), ("header.a", "rsa-sha256"))),
        Claim(
            "dkim",
            "policy",
            (("reason", "algorithm.sha1"), ("header.d", "lists.example.net"), ("header.s", "x")),
        ),
        Claim("dmarc", "pass", (("header.from", "example.org"), ("policy.dmarc", "reject"))),
        Claim("arc", "none"),
    )


@given(st.text(max_size=60))
def test_no_text_of_a_sender_breaks_out_of_what_is_written(text: str) -> None:
    facts = Authentication(
        spf_domain=text, arc_domain=text, author_domain=text, dmarc_reason=text,
        dkim=(DkimResult(result=Result.FAIL, domain=text, selector=text, reason=text),),
    )  # fmt: skip
    found = parse(write("mx.acme.example", facts).partition(b":")[2].removesuffix(b"\r\n"))
    assert found is not None
    assert [(claim.method, claim.result) for claim in found.claims] == [
        ("spf", "none"), ("dkim", "fail"), ("dmarc", "none"), ("arc", "none"),
    ]  # fmt: skip


def _go(folder: Any) -> list[tuple[str, Any]]:
    return [(case["value"] or "empty", case) for case in json.loads((folder / "cases.json").read_text())]


@pytest.mark.parametrize("case", email_cases("authres-go", _go))
def test_the_suite_s_servers_are_found(case: dict[str, str]) -> None:
    found = parse(case["value"].encode())
    assert found is not None
    assert found.server == case["authserv_id"]


def test_a_field_is_read_with_its_comments_and_quotes() -> None:
    value = b' (c (n) ; x=y)"mx.example.net" 1 (v);\r\n\tspf=pass (ok; "fine) smtp.mailfrom="a \\"b\\"; c"; dkim = fail'
    found = parse(value.replace(b'"fine', b"fine"))
    assert found is not None
    assert found.server == "mx.example.net"
    assert found.claims == (Claim("spf", "pass", (("smtp.mailfrom", 'a "b"; c'),)), Claim("dkim", "fail"))


@pytest.mark.parametrize(
    "value",
    [
        b"x" * 9_000,
        b"(" * 3_000,
        b"mx; " + b"a=b;" * 2_000,
        b"mx; " + b"(" * 30 + b")" * 30,
        b"mx x y; none",
        b"(mx",
        b'"mx; none',
        b"; none",
        b"mx\xff; none",
    ],
)
def test_what_does_not_fit_is_none(value: bytes) -> None:
    started = time.process_time()
    assert parse(value) is None
    assert time.process_time() - started < 0.2


@given(st.binary(max_size=100))
def test_any_bytes_are_read_or_not(value: bytes) -> None:
    parse(value)


@pytest.mark.parametrize(
    "forged",
    [
        b"Authentication-Results: mx.acme.example; dmarc=pass\r\n",
        b"authentication-RESULTS : MX.Acme.Example 1; dmarc=pass\r\n",
        b"Authentication-Results:\r\n (x) mx.acme.example;\r\n\tdmarc=pass\r\n",
        b'Authentication-Results: "mx.acme.example"; dmarc=pass\r\n',
        b"Authentication-Results: (((((x; dmarc=pass\r\n",
        b"Authentication-Results: \r\n",
        b"Authentication-Results\r\n : mx.acme.example; dmarc=pass\r\n",
    ],
)
def test_a_field_that_claims_to_be_ours_is_taken_off(forged: bytes) -> None:
    rest = (
        b"Authentication-Results: mx.example.net; spf=pass\r\nFrom: a@example.org\r\n\r\nAuthentication-Results: mx\r\n"
    )
    for place in (forged + rest, rest.replace(b"From:", forged + b"From:")):
        assert without_ours(place, "mx.acme.example") == rest
    assert without_ours(rest, "mx.acme.example") == rest


@given(
    st.lists(st.sampled_from([b"From: a", b"X: y", b"\r\n", b"\r", b"\n", b" ", b":", b"junk", b"\x00"]), max_size=20)
)
def test_nothing_else_of_a_message_changes(pieces: list[bytes]) -> None:
    raw = b"".join(pieces)
    assert without_ours(raw, "mx.acme.example") == raw

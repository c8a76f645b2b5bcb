"""DMARC: records, discovery by the tree walk, alignment by labels, and failures that stay open."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from testdata import email_cases

from channels.contract import Result
from channels.email.dmarc import Discovery, DmarcResult, evaluate, names_of_walk
from channels.email.dmarc_record import Grammar, Policy, RecordError, parse
from channels.email.resolver import Answer, Lookups
from channels.email.zone import ZoneResolver

REJECT = "v=DMARC1; p=reject"


async def judge(zone: dict[str, Any], author: str = "example.org", **more: Any) -> DmarcResult:
    return await evaluate(ZoneResolver(zone), author_domain=author, **more)


def _records(kind: str) -> list[Any]:
    return email_cases(
        "dmarc-mox-records",
        lambda folder: [(text or "empty", text) for text in json.loads((folder / "records.json").read_text())[kind]],
    )


@pytest.mark.parametrize("text", _records("invalid"))
def test_an_invalid_record_is_refused(text: str) -> None:
    with pytest.raises(RecordError):
        parse(text.encode())


@pytest.mark.parametrize("text", _records("valid"))
@pytest.mark.parametrize("grammar", Grammar)
def test_a_valid_record_is_read(text: str, grammar: Grammar) -> None:
    assert parse(text.encode(), grammar=grammar).p in Policy


def _upstream(folder: Path) -> list[tuple[str, Any]]:
    return [(case["title"], case) for case in json.loads((folder / "cases.json").read_text())]


@pytest.mark.parametrize("case", email_cases("dmarc-record", _upstream))
async def test_the_record_suite_is_decided_as_stated(case: dict[str, Any]) -> None:
    call = case["calls"][0]
    found = await judge(call["dns"], call["input"]["domain"])
    for each in case["expect"]:
        path, value = each["path"], each["value"]
        if path == "" and each["op"] == "false":
            assert found.record is None
            assert found.result is Result.NONE
        elif value == "ETIMEOUT":
            assert found.result is Result.TEMPERROR
        elif path == "isOrgRecord":
            assert (found.record_domain != call["input"]["domain"]) is (each["op"] == "true")
        elif path in ("p", "sp", "pct"):
            assert found.record is not None
            assert getattr(found.record, path) == value
        elif path in ("v", "adkim", "aspf", "fo", "rua", "ruf"):
            assert found.record is not None
            assert found.record.tags[path] == value


@pytest.mark.parametrize(
    ("record", "p", "sp", "np"),
    [
        ("v=DMARC1; sp=reject; p=none", "none", "reject", None),
        ("v=DMARC1; np=reject; psd=y; t=y; p=quarantine", "quarantine", None, "reject"),
        ("v=DMARC1; p=REJECT;", "reject", None, None),
        ("v=DMARC1;p=none;;rua=x", "none", None, None),
        ("v=DMARC1; p=reject; np=never; rua=mailto:a@b.example", "none", None, None),
        ("v=DMARC1; p=never; rua=never, mailto:a@b.example!10m", "none", None, None),
        ("v=DMARC1; p=reject; x=1; x=2", "reject", None, None),
    ],
)
def test_rfc_9989_lets_tags_stand_anywhere(record: str, p: str, sp: str | None, np: str | None) -> None:
    found = parse(record.encode(), grammar=Grammar.RFC9989)
    assert (found.p, found.sp, found.np) == (p, sp, np)


@pytest.mark.parametrize(
    "record", ["p=reject; v=DMARC1", " v=DMARC1; p=none", "v=DMARC1x; p=none", "v=DMARC1; p=none; sp=x",
               "v=DMARC1; adkim=r; adkim=s; p=none", "v=DMARC1" + "; a=b" * 100, "v=DMARC1; p=no\u00f1e"],
)  # fmt: skip
def test_a_record_that_is_in_doubt_is_void(record: str) -> None:
    with pytest.raises(RecordError):
        parse(record.encode(), grammar=Grammar.RFC9989)


def test_a_walk_asks_at_most_eight_names() -> None:
    assert names_of_walk("a.b.c.d.e.f.g.h.i.j.mail.example.com") == [
        "a.b.c.d.e.f.g.h.i.j.mail.example.com",
        "g.h.i.j.mail.example.com",
        "h.i.j.mail.example.com",
        "i.j.mail.example.com",
        "j.mail.example.com",
        "mail.example.com",
        "example.com",
        "com",
    ]
    assert names_of_walk("example.com") == ["example.com", "com"]
    assert names_of_walk("localhost") == ["localhost"]


async def test_the_policy_comes_from_the_author_then_the_organization_then_the_public_suffix() -> None:
    zone: dict[str, Any] = {"_dmarc.org": "v=DMARC1; p=none; sp=quarantine; psd=y", "a.example.org": "x"}
    assert (await judge(zone, "a.example.org")).record_domain == "org"
    zone["_dmarc.example.org"] = REJECT
    assert (await judge(zone, "a.example.org")).record_domain == "example.org"
    zone["_dmarc.a.example.org"] = "v=DMARC1; p=none"
    found = await judge(zone, "a.example.org")
    assert (found.record_domain, found.domain, found.policy) == ("a.example.org", "example.org", Policy.NONE)


async def test_below_the_organization_sp_counts_and_np_where_there_is_no_such_name() -> None:
    zone = {"_dmarc.example.org": "v=DMARC1; p=none; sp=quarantine; np=reject", "a.example.org": [{"A": "192.0.2.1"}]}
    assert (await judge(zone)).policy is Policy.NONE
    assert (await judge(zone, "a.example.org")).policy is Policy.QUARANTINE
    assert (await judge(zone, "b.example.org")).policy is Policy.REJECT
    assert (await judge({"_dmarc.example.org": REJECT}, "b.example.org")).policy is Policy.REJECT


async def test_a_domain_in_testing_mode_asks_for_one_step_less() -> None:
    for p, asked in (("reject", Policy.QUARANTINE), ("quarantine", Policy.NONE), ("none", Policy.NONE)):
        found = await judge({"_dmarc.example.org": f"v=DMARC1; p={p}; t=y"})
        assert (found.result, found.policy) == (Result.FAIL, asked)


@pytest.mark.parametrize(
    ("author", "proved", "record", "result"),
    [
        ("example.org", "example.org", REJECT, Result.PASS),
        ("example.org", "mail.example.org", REJECT, Result.PASS),
        ("mail.example.org", "example.org", REJECT, Result.PASS),
        ("a.example.org", "b.example.org", REJECT, Result.PASS),
        ("example.org", "mail.example.org", REJECT + "; adkim=s; aspf=s", Result.FAIL),
        ("example.org", "example.org", REJECT + "; adkim=s; aspf=s", Result.PASS),
        ("example.org", "badexample.org", REJECT, Result.FAIL),
        ("example.org", "example.org.evil.example", REJECT, Result.FAIL),
        ("example.org", "org", REJECT, Result.FAIL),
        ("example.org", "example", REJECT, Result.FAIL),
        ("my-bank.example.org", "my.example.org-x.net", REJECT, Result.FAIL),
        ("example.org", "", REJECT, Result.FAIL),
    ],
)
@pytest.mark.parametrize("discovery", Discovery)
async def test_alignment_is_by_labels(
    author: str, proved: str, record: str, result: Result, discovery: Discovery
) -> None:
    for given in ({"dkim_domains": [proved]}, {"spf_domains": [proved]}):
        found = await judge({"_dmarc.example.org": record}, author, discovery=discovery, **given)
        assert found.result is result


@pytest.mark.parametrize("record", [None, "v=DMARC1; p=none", "v=DMARC1; p=none; psd=y"])
async def test_customers_of_one_public_suffix_do_not_vouch_for_each_other(record: str | None) -> None:
    zone = {"_dmarc.alice.github.io": REJECT, "_dmarc.mallory.github.io": REJECT}
    if record:
        zone["_dmarc.github.io"] = record
    found = await judge(zone, "alice.github.io", dkim_domains=["mallory.github.io", "github.io", "io"])
    assert found.result is Result.FAIL
    assert (await judge(zone, "alice.github.io", dkim_domains=["alice.github.io"])).result is Result.PASS


async def test_psd_n_makes_a_department_an_organization_of_its_own() -> None:
    zone = {"_dmarc.example.org": REJECT, "_dmarc.lab.example.org": "v=DMARC1; p=reject; psd=n"}
    assert (await judge(zone, "lab.example.org", dkim_domains=["example.org"])).result is Result.FAIL
    assert (await judge(zone, "a.lab.example.org", dkim_domains=["lab.example.org"])).result is Result.PASS
    assert (await judge(zone, "example.org", dkim_domains=["lab.example.org"])).result is Result.FAIL


async def test_without_one_usable_record_dmarc_says_nothing() -> None:
    for records in ([REJECT, REJECT], ["v=DMARC1; p=reject", "v=DMARC1; p=none"], ["v=spf1 -all"], ["v=DMARC1; p=x"]):
        zone = {"_dmarc.example.org": [{"TXT": each} for each in records]}
        found = await judge(zone, dkim_domains=["example.org"])
        assert (found.result, found.policy) == (Result.NONE, None)


@pytest.mark.parametrize("name", ["_dmarc.a.example.org", "_dmarc.example.org", "_dmarc.org"])
async def test_a_question_that_fails_leaves_the_result_open(name: str) -> None:
    zone: dict[str, Any] = {"_dmarc.example.org": REJECT, name: ["TIMEOUT"]}
    found = await judge(zone, "a.example.org", dkim_domains=["b.example.org"])
    assert found.result is Result.TEMPERROR


async def test_what_is_aligned_without_the_question_passes_all_the_same() -> None:
    zone: dict[str, Any] = {"_dmarc.a.example.org": REJECT, "_dmarc.example.org": ["TIMEOUT"]}
    assert (await judge(zone, "a.example.org", dkim_domains=["a.example.org"])).result is Result.PASS
    assert (await judge(zone, "a.example.org", dkim_domains=["b.example.org"])).result is Result.TEMPERROR


async def test_domains_that_share_nothing_with_the_author_are_not_asked_for() -> None:
    asked: list[str] = []

    class Census:
        async def query(self, name: str, kind: str, /) -> Answer:
            asked.append(name)
            return await ZoneResolver({"_dmarc.example.org": REJECT}).query(name, kind)

    found = await evaluate(Census(), author_domain="example.org", dkim_domains=["esp.example", "other.org"])
    assert found.result is Result.FAIL
    assert set(asked) == {"_dmarc.example.org", "_dmarc.org"}


async def test_a_resolver_that_raises_is_a_permerror() -> None:
    class Boom:
        async def query(self, name: str, kind: str, /) -> Answer:
            raise RuntimeError

    assert (await evaluate(Boom(), author_domain="example.org")).result is Result.PERMERROR


async def test_many_signers_cost_no_more_than_the_budget() -> None:
    zone = {"_dmarc.example.org": REJECT, "_dmarc.lab.example.org": REJECT + "; psd=n"}
    lookups = Lookups(ZoneResolver(zone), questions=80)
    domains = [f"{'a.' * 100}b.c.d.e.n{number}.example.org" for number in range(50)]
    started = time.process_time()
    found = await evaluate(lookups, author_domain="lab.example.org", dkim_domains=domains)
    assert found.result is Result.TEMPERROR
    assert lookups.exhausted
    assert time.process_time() - started < 0.5


async def test_rfc_7489_finds_the_organization_by_the_public_suffix_list() -> None:
    zone = {"_dmarc.example.co.uk": REJECT}
    for author, at in (("a.b.example.co.uk", "example.co.uk"), ("example.co.uk", "example.co.uk")):
        found = await judge(zone, author, dkim_domains=["x.example.co.uk"], discovery=Discovery.PUBLIC_SUFFIX)
        assert (found.result, found.record_domain, found.domain) == (Result.PASS, at, "example.co.uk")
    several = {"_dmarc.a.example.co.uk": [{"TXT": REJECT}, {"TXT": REJECT}]} | zone
    assert (await judge(several, "a.example.co.uk", discovery=Discovery.PUBLIC_SUFFIX)).result is Result.NONE

"""SPF: the openspf suite, an oracle, and records made to hurt."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import spf as pyspf
import yaml
from testdata import email_cases

from channels.contract import Result
from channels.email.resolver import Answer, Lookups, Status
from channels.email.spf import SpfResult, check
from channels.email.spf_record import RecordError, expand, macro_string, parse
from channels.email.zone import ZoneResolver


def _suite(folder: Path) -> Iterable[tuple[str, Any]]:
    for document in yaml.safe_load_all((folder / "rfc7208-tests.yml").read_text("utf-8")):
        for name, case in document["tests"].items():
            yield name, (document["zonedata"], case)


@pytest.mark.parametrize("given", email_cases("spf-rfc7208-a", _suite))
async def test_the_openspf_suite_is_decided_as_stated(given: Any) -> None:
    zone, case = given
    found = await check(Lookups(ZoneResolver(zone)), peer=case["host"], helo=case["helo"], mail_from=case["mailfrom"])
    wanted = case["result"] if isinstance(case["result"], list) else [case["result"]]
    assert found.result in wanted
    if "explanation" in case:
        assert (found.explanation or "DEFAULT") == case["explanation"]


MECHANISMS = (
    "all", "a", "mx", "ptr", "a:b.example.org", "mx:m.example.org", "include:i1.example.org", "include:i2.example.org",
    "include:none.example.org", "exists:%{i}._e.example.org", "exists:%{l1r-}.%{d2}", "a:%{d}", "a/24", "a//64",
    "mx/24//96", "ip4:1.2.3.0/24", "ip4:1.2.3.4", "ip6:2001:db8::/32", "ip6:::1", "ptr:example.org", "a:museum",
    "a:111.222.33.44", "a:b.example.org/33", "ip4:1.2.3", "ip4:1.2.3.4/0", "ip4:1.2.3.4/032", "a:b.example.org:80/x",
    "redirect=r.example.org", "redirect=", "foo=%{x}", "a:%{h}", "exists:%{ir}.%{v}.example.org", "a:b.example.org.",
    "a:", "include", "all:x", "moo", "-", "exists:%%.example.org", "exists:%{S}.example.org", "exists:%{o}",
    "a:b.example.org/0//0", "a:-x.org-", "a:x.o-g", "a:x.or_g", "exists:%(d)", "exists:%{d", "exp=e.example.org",
)  # fmt: skip


def _zone(seed: random.Random) -> dict[str, Any]:
    zone: dict[str, Any] = {}
    for name in ("example.org", "r.example.org", "i1.example.org", "i2.example.org", "b.example.org"):
        terms = [seed.choice(("", "-", "~", "?")) * ("=" not in m) + m for m in seed.choices(MECHANISMS, k=3)]
        if sum(term.startswith("foo=") for term in terms) > 1:
            terms = terms[:1]
        data: list[Any] = [{"SPF": " ".join(["v=spf1", *terms, seed.choice(("", "-all", "~all"))])}]
        if seed.random() < 0.5:
            data.append({"A": seed.choice(("1.2.3.4", "1.2.3.9", "9.9.9.9"))})
        if seed.random() < 0.3:
            data.append({"AAAA": "2001:db8::1"})
        if seed.random() < 0.4:
            data.append({"MX": [seed.randint(0, 9), seed.choice(("b.example.org", "gone.example.org"))]})
        zone[name] = data
    zone["m.example.org"] = [{"A": "1.2.3.4"}, {"MX": [1, "b.example.org"]}]
    zone["4.3.2.1._e.example.org"] = [{"A": "127.0.0.2"}]
    zone["e.example.org"] = [{"TXT": seed.choice(("no %{i} for %{d}", "bad %{x}", "see %{S} %{c}"))}]
    zone["4.3.2.1.in-addr.arpa"] = [{"PTR": "b.example.org"}, {"PTR": "other.example.net"}]
    return zone


async def test_it_agrees_with_pyspf_on_records_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    seed = random.Random(7208)
    for _ in range(600):
        data = _zone(seed)
        if str(data).count("ptr") > 1:
            continue  # pyspf counts the same void look-up twice
        zone = ZoneResolver(data)

        def lookup(name: str, kind: str, *_: object, zone: ZoneResolver = zone) -> list[Any]:
            step = zone.query(name, kind)
            try:
                step.send(None)
            except StopIteration as done:
                answer: Answer = done.value
            if kind == "TXT":
                return [((name, kind), (text,)) for text in answer.texts]
            if kind == "MX":
                return [((name, kind), pair) for pair in answer.exchanges]
            return [((name, kind), text) for text in answer.names]

        monkeypatch.setattr(pyspf, "DNSLookup", lookup)
        peer = seed.choice(("1.2.3.4", "1.2.3.4", "2001:db8::1", "::ffff:1.2.3.4"))
        sender = seed.choice(("foo@example.org", "foo-bar@b.example.org", ""))
        helo = seed.choice(("b.example.org", "example.org", "[1.2.3.4]"))
        oracle = pyspf.query(i=peer, s=sender, h=helo)
        oracle.set_default_explanation("")
        result, _, explanation = oracle.check()
        found = await check(Lookups(zone), peer=peer, helo=helo, mail_from=sender)
        assert (found.result, found.explanation) == (result, explanation if result == "fail" else "")


async def _check(zone: dict[str, Any], **more: Any) -> SpfResult:
    given: dict[str, Any] = {"peer": "192.0.2.1", "helo": "mx.example.org", "mail_from": "alice@example.org"} | more
    return await check(Lookups(ZoneResolver(zone)), **given)


async def test_with_a_null_reverse_path_the_helo_name_is_checked() -> None:
    zone = {"mx.example.org": "v=spf1 a -all", "example.org": "v=spf1 -all"}
    found = await _check(zone, mail_from=None)
    assert (found.result, found.domain, found.identity) == (Result.FAIL, "mx.example.org", "helo")


async def test_the_domain_is_what_stands_behind_the_last_at() -> None:
    zone = {"example.org": "v=spf1 +all", "evil.example": "v=spf1 -all"}
    found = await _check(zone, mail_from="alice@example.org@evil.example")
    assert (found.result, found.domain) == (Result.FAIL, "evil.example")


@pytest.mark.parametrize("peer", ["", "list", "list6", "localhost", "1.2.3", "1.2.3.4/0"])
async def test_a_peer_that_is_no_address_never_passes(peer: str) -> None:
    assert (await _check({"example.org": "v=spf1 +all"}, peer=peer)).result is Result.PERMERROR


async def test_a_question_that_fails_is_never_a_pass() -> None:
    class Broken:
        async def query(self, name: str, kind: str, /) -> Answer:
            return Answer(Status.FAILED)

    found = await check(Broken(), peer="192.0.2.1", helo="x.example", mail_from="a@example.org")
    assert found.result is Result.TEMPERROR


async def test_a_resolver_that_raises_is_a_permerror() -> None:
    class Boom:
        async def query(self, name: str, kind: str, /) -> Answer:
            raise RuntimeError

    found = await check(Boom(), peer="192.0.2.1", helo="x.example", mail_from="a@example.org")
    assert found.result is Result.PERMERROR


@pytest.mark.parametrize(
    "record",
    [
        "a:" + "a" * 8_000,
        "a:" + "a." * 4_000,
        "exists:" + "%{s}" * 2_000,
        "exp=" + "%{l}" * 2_000,
        "ip4:1.2.3.4 " * 680,
        "a:%{" * 2_000,
        "a/" * 4_000,
        "%" * 8_000,
        "a" * 8_000,
        "include:example.org",
        "redirect=example.org",
        "mx ptr a:%{p}.example.org exists:%{p1r+-.}.example.org",
    ],
)
async def test_hostile_records_cost_little_and_never_pass(record: str) -> None:
    started = time.process_time()
    found = await _check({"example.org": f"v=spf1 {record}"})
    assert found.result is not Result.PASS
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize("digits", ["0", "00000", "99999"])
def test_the_number_of_parts_in_a_macro_is_sane(digits: str) -> None:
    with pytest.raises(RecordError):
        parse(f"v=spf1 exists:%{{d{digits}}}.example.org".encode())


def test_expansion_is_bounded() -> None:
    from ipaddress import ip_address

    from channels.email.spf_record import MacroValues

    values = MacroValues(
        sender="a" * 64 + "@" + "b" * 253, local="a" * 64, domain="b" * 253, ip=ip_address("::1"), helo="h",
        receiver="r", timestamp=0,
    )  # fmt: skip
    with pytest.raises(RecordError):
        expand(macro_string("%{S}" * 100), values)

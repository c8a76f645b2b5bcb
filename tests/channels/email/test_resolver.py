"""DNS: bounded, cached, never raising; against a server of our own on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import ClassVar, cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from channels.email import resolver as module
from channels.email.resolver import Answer, DnsResolver, Lookups, Status
from channels.email.zone import ZoneError, ZoneResolver, parse
from gateway import limits


class Server(asyncio.DatagramProtocol):
    """Answers from a table of texts in zone-file form; "slow" names never, "servfail" ones with an error."""

    RECORDS: ClassVar[dict[str, dict[str, list[str]]]] = {
        "example.org.": {
            "A": ["192.0.2.1"],
            "MX": ["10 MX.example.org.", "5 b.example.org."],
            "TXT": ['"v=spf1 " "-all"'],
            "TLSA": ["3 1 1 " + "ab" * 32],
        },
        "1.2.0.192.in-addr.arpa.": {"PTR": ["MX.Example.org."]},
        "alias.example.org.": {"CNAME": ["example.org."]},
        "large.example.org.": {"TXT": [" ".join(f'"{"x" * 250}"' for _ in range(40))]},
        "many.example.org.": {"TXT": [f'"{i}"' for i in range(150)]},
    }

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.port = 0
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        (question,) = query.question
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        if name.startswith("slow."):
            return
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AD
        soa = dns.rrset.from_text("example.org.", 600, "IN", "SOA", "a. b. 1 1 1 1 60")
        if name.startswith("servfail."):
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self.RECORDS:
            response.set_rcode(dns.rcode.NXDOMAIN)
            response.authority.append(soa)
        else:
            records = self.RECORDS[name]
            if "CNAME" in records:
                response.answer.append(dns.rrset.from_text(name, 60, "IN", "CNAME", *records["CNAME"]))
                name = records["CNAME"][0]
                records = self.RECORDS[name]
            if kind in records:
                response.answer.append(dns.rrset.from_text(name, 60, "IN", kind, *records[kind]))
            else:
                response.authority.append(soa)
        assert self._transport is not None
        self._transport.sendto(response.to_wire(max_size=65_535), addr)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(Server, local_addr=("127.0.0.1", 0))
    yield protocol
    transport.close()


class Hand:
    """A clock turned by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


def _resolver(server: Server, **more: object) -> DnsResolver:
    return DnsResolver(servers=("127.0.0.1",), port=server.port, **more)  # type: ignore[arg-type]


async def test_records_come_in_one_form(server: Server) -> None:
    resolver = _resolver(server)
    assert (await resolver.query("Example.ORG.", "A")).records == ("192.0.2.1",)
    assert (await resolver.query("example.org", "TXT")).texts == (b"v=spf1 -all",)
    assert (await resolver.query("example.org", "MX")).exchanges == ((5, "b.example.org"), (10, "mx.example.org"))
    assert (await resolver.query("1.2.0.192.in-addr.arpa", "PTR")).names == ("mx.example.org",)
    assert (await resolver.query("example.org", "TLSA")).names == ("3 1 1 " + "ab" * 32,)
    assert (await resolver.query("alias.example.org", "A")).records == ("192.0.2.1",)
    assert (await resolver.query("example.org", "A")).authentic


async def test_none_missing_and_failed_are_told_apart(server: Server) -> None:
    resolver = _resolver(server, seconds=0.5)
    assert (await resolver.query("example.org", "AAAA")).status is Status.EMPTY
    assert (await resolver.query("gone.example.org", "A")).status is Status.MISSING
    assert (await resolver.query("servfail.example.org", "A")).status is Status.FAILED
    assert (await resolver.query("slow.example.org", "A")).status is Status.FAILED
    assert (await resolver.query("example.org", "ANY")).status is Status.MISSING
    assert (await resolver.query("a" * 64 + ".example.org", "A")).status is Status.MISSING


async def test_an_answer_that_is_too_large_has_failed(server: Server) -> None:
    resolver = _resolver(server)
    assert (await resolver.query("large.example.org", "TXT")).status is Status.FAILED
    assert (await resolver.query("many.example.org", "TXT")).status is Status.FAILED


async def test_answers_are_kept_for_their_time_to_live_negative_ones_too(server: Server) -> None:
    clock = Hand()
    resolver = _resolver(server, monotonic=clock)
    for name in ("example.org", "gone.example.org"):
        for _ in range(3):
            await resolver.query(name, "A")
    assert len(server.asked) == 2
    clock.at = 59.0
    await resolver.query("example.org", "A")
    assert len(server.asked) == 2
    clock.at = 61.0
    await resolver.query("example.org", "A")
    await resolver.query("gone.example.org", "A")
    assert len(server.asked) == 4


async def test_the_cache_has_an_end(server: Server) -> None:
    resolver = _resolver(server, entries=5)
    for number in range(20):
        await resolver.query(f"n{number}.example.org", "A")
    assert len(resolver._cache._known) == 5


async def test_one_question_asked_by_many_at_once_is_sent_once(server: Server) -> None:
    resolver = _resolver(server)
    await asyncio.gather(*(resolver.query("example.org", "TXT") for _ in range(50)))
    assert len(server.asked) == 1


async def test_one_who_stops_waiting_does_not_stop_the_others(server: Server) -> None:
    resolver = _resolver(server)
    first = asyncio.create_task(resolver.query("example.org", "TXT"))
    await asyncio.sleep(0)
    second = asyncio.create_task(resolver.query("example.org", "TXT"))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).status is Status.FOUND


async def test_a_message_has_a_budget_of_questions() -> None:
    lookups = Lookups(ZoneResolver({f"n{number}.example": "x" for number in range(9)}), questions=3)
    statuses = [(await lookups.query(f"n{number}.example", "TXT")).status for number in (0, 1, 0, 2, 3, 4, 1)]
    found, failed = Status.FOUND, Status.FAILED
    assert statuses == [found, found, found, found, failed, failed, found]
    assert lookups.exhausted


async def test_a_message_has_a_deadline() -> None:
    class Slow:
        async def query(self, name: str, kind: str, /) -> Answer:
            await asyncio.sleep(60)
            raise AssertionError

    loop = asyncio.get_running_loop()
    lookups = Lookups(Slow(), deadline=loop.time() + 0.05)
    assert (await lookups.query("example.org", "A")).status is Status.FAILED
    assert lookups.exhausted


ZONE = """
zonedata:
  example.org:
    - SPF: v=spf1 -all
    - MX: [10, mx.example.org]
  both.example.org:
    - SPF: v=spf1 +all
    - TXT: v=spf1 -all
  bare.example.org:
    - SPF: v=spf1 -all
    - TXT: NONE
  slow.example.org:
    - A: 192.0.2.1
    - TIMEOUT
  long.example.org:
    - TXT: [v=spf1, " -all"]
  loop.example.org:
    - CNAME: loop.example.org
  alias.example.org:
    - CNAME: example.org
---
txt-records:
  s._domainkey.example.org: >-
    v=DKIM1;
    p=abc
---
_dmarc.example.org: {"TXT": [["v=DMARC1; p=re", "ject"]]}
none.example.org: {"!TXT": "ENODATA", "!A": "ENOTFOUND", "!MX": "ESERVFAIL"}
"""


@pytest.mark.parametrize(
    ("name", "kind", "status", "records"),
    [
        ("example.org", "TXT", Status.FOUND, (b"v=spf1 -all",)),
        ("EXAMPLE.org.", "MX", Status.FOUND, ("10 mx.example.org",)),
        ("both.example.org", "TXT", Status.FOUND, (b"v=spf1 -all",)),
        ("bare.example.org", "TXT", Status.EMPTY, ()),
        ("slow.example.org", "A", Status.FOUND, ("192.0.2.1",)),
        ("slow.example.org", "TXT", Status.FAILED, ()),
        ("long.example.org", "TXT", Status.FOUND, (b"v=spf1 -all",)),
        ("loop.example.org", "A", Status.FAILED, ()),
        ("alias.example.org", "TXT", Status.FOUND, (b"v=spf1 -all",)),
        ("error.example.org", "TXT", Status.FAILED, ()),
        ("s._domainkey.example.org", "TXT", Status.FOUND, (b"v=DKIM1; p=abc",)),
        ("_domainkey.example.org", "TXT", Status.EMPTY, ()),
        ("_dmarc.example.org", "TXT", Status.FOUND, (b"v=DMARC1; p=reject",)),
        ("none.example.org", "TXT", Status.EMPTY, ()),
        ("none.example.org", "A", Status.MISSING, ()),
        ("none.example.org", "MX", Status.FAILED, ()),
        ("gone.example.org", "TXT", Status.MISSING, ()),
        ("org", "TXT", Status.EMPTY, ()),
    ],
)
async def test_zone_data_of_each_form_is_served(
    name: str, kind: str, status: Status, records: tuple[bytes | str, ...]
) -> None:
    answer = await ZoneResolver(parse(ZONE)).query(name, kind)
    assert (answer.status, answer.records) == (status, records)


@pytest.mark.parametrize("text", ["[", "- a", "text", "a: 5", "a: [5]", "a: [{MX: x}]", "[" * 5_000])
def test_what_is_no_zone_data_is_an_error_with_words(text: str) -> None:
    with pytest.raises(ZoneError):
        ZoneResolver(parse(text))


def test_the_limits_are_the_gateway_s() -> None:
    for name in ("DNS_SECONDS", "DNS_MESSAGE_SECONDS", "DNS_QUESTIONS", "DNS_CACHE_ENTRIES", "DNS_TXT_BYTES"):
        assert getattr(module, name) == getattr(limits, name)

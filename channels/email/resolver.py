"""DNS for sender authentication: bounded, cached, time-limited, and never raising.

Rules:
1. A failure is an answer (`Status.FAILED`); nobody may take it for "there is none".
2. All checks of one message share one `Lookups`: a budget of questions, a deadline, a memory of what was asked.
3. Answers are capped in number and size before a check sees them; one that is too large has failed, it isn't cut.
4. Negative answers are remembered too, by the zone's own time to live, within bounds (RFC 2308, section 5); failures
   only for a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rdatatype
import dns.resolver

# as gateway.limits; a test holds them equal
DNS_SECONDS: Final = 4.0
DNS_MESSAGE_SECONDS: Final = 15.0
DNS_QUESTIONS: Final = 80
DNS_CACHE_ENTRIES: Final = 10_000
DNS_TXT_BYTES: Final = 8_192
DNS_ANSWER_BYTES: Final = 65_536
DNS_RECORDS: Final = 100
DNS_AT_ONCE: Final = 256
DNS_TTL_SECONDS: Final = 3_600.0
DNS_NEGATIVE_SECONDS: Final = 300.0
DNS_FAILURE_SECONDS: Final = 5.0
KINDS: Final = frozenset({"A", "AAAA", "MX", "PTR", "TXT", "TLSA", "CNAME"})


class Status(Enum):
    """FOUND: records. EMPTY: the name has no such records. MISSING: no such name (RFC 8020). FAILED: not known."""

    FOUND = "found"
    EMPTY = "empty"
    MISSING = "missing"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """Records of one type. TXT as bytes, its strings joined; A, AAAA as text; PTR, CNAME as lower-case names without
    the last dot; MX as "preference name", TLSA as "usage selector type hex". `authentic`: the resolver says that it
    validated them (AD, RFC 4035). `ttl` in seconds."""

    status: Status
    records: tuple[bytes | str, ...] = ()
    authentic: bool = False
    ttl: float = 0.0

    @property
    def texts(self) -> tuple[bytes, ...]:
        return tuple(each for each in self.records if isinstance(each, bytes))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(each for each in self.records if isinstance(each, str))

    @property
    def exchanges(self) -> tuple[tuple[int, str], ...]:
        """Of MX: preference and host, by preference."""
        pairs = (each.split(" ", 1) for each in self.names)
        return tuple(sorted((int(preference), host) for preference, host in pairs))


FAILED: Final = Answer(Status.FAILED)
MISSING: Final = Answer(Status.MISSING)
EMPTY: Final = Answer(Status.EMPTY)


class Resolver(Protocol):
    async def query(self, name: str, kind: str, /) -> Answer:
        """`kind` is one of KINDS. Never raises but for cancellation."""
        ...


def is_dns_name(name: str) -> bool:
    """Whether a name can be asked for: labels of 1 to 63 octets, 253 in all, ASCII. Any characters else (RFC 2181)."""
    return 0 < len(name) <= 253 and name.isascii() and all(0 < len(label) <= 63 for label in name.split("."))


class Lookups:
    """One message's share of a resolver. FAILED once the budget or the time is spent, and `exhausted` then says so."""

    def __init__(self, resolver: Resolver, *, questions: int = DNS_QUESTIONS, deadline: float | None = None) -> None:
        """`deadline` in the running loop's time."""
        self._resolver = resolver
        self._left = questions
        self._deadline = deadline
        self._seen: dict[tuple[str, str], Answer] = {}
        self.exhausted = False

    async def query(self, name: str, kind: str, /) -> Answer:
        name = name.lower().rstrip(".")
        if not is_dns_name(name):
            return MISSING
        key = (name, kind)
        if key in self._seen:
            return self._seen[key]
        if self._left <= 0:
            self.exhausted = True
            return FAILED
        self._left -= 1
        answer = FAILED
        try:
            async with asyncio.timeout_at(self._deadline):
                answer = await self._resolver.query(name, kind)
        except TimeoutError:
            self.exhausted = True
        self._seen[key] = answer
        return answer


class DnsResolver:
    """The network's resolver, by dnspython. One for a process; use it from one event loop."""

    def __init__(
        self,
        *,
        servers: Sequence[str] = (),
        port: int = 53,
        seconds: float = DNS_SECONDS,
        entries: int = DNS_CACHE_ENTRIES,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`servers` are IP addresses; none: the system's. `seconds` for one question, retries included."""
        self._dns = dns.asyncresolver.Resolver(configure=not servers)
        if servers:
            self._dns.nameservers = list(servers)
            self._dns.port = port
        self._dns.flags = dns.flags.RD | dns.flags.AD
        self._dns.use_edns(0, 0, 1232)
        self._dns.cache = None
        self._dns.timeout = min(2.0, seconds)
        self._seconds = seconds
        self._cache = _Cache(entries, monotonic)
        self._running: dict[tuple[str, str], asyncio.Task[Answer]] = {}
        self._slots = asyncio.Semaphore(DNS_AT_ONCE)

    async def query(self, name: str, kind: str, /) -> Answer:
        key = (name.lower().rstrip("."), kind)
        if kind not in KINDS or not is_dns_name(key[0]):
            return MISSING
        known = self._cache.get(key)
        if known is not None:
            return known
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._ask(*key))
            self._running[key] = task
            task.add_done_callback(lambda _: self._running.pop(key, None))
        return await asyncio.shield(task)

    async def _ask(self, name: str, kind: str) -> Answer:
        try:
            async with self._slots, asyncio.timeout(self._seconds * 2):
                answer = await self._resolve(name, kind)
        except Exception:  # noqa: BLE001 - whatever goes wrong with a foreign answer, it is not known
            answer = FAILED
        self._cache.put((name, kind), answer)
        return answer

    async def _resolve(self, name: str, kind: str) -> Answer:
        question = dns.name.Name([*(label.encode("ascii") for label in name.split(".")), b""])
        try:
            found = await self._dns.resolve(
                question, kind, raise_on_no_answer=False, search=False, lifetime=self._seconds
            )
        except dns.resolver.NXDOMAIN as missing:
            responses: dict[dns.name.Name, dns.message.Message] = missing.kwargs.get("responses", {})
            return Answer(Status.MISSING, ttl=max((_negative_ttl(each) for each in responses.values()), default=0.0))
        authentic = bool(found.response.flags & dns.flags.AD)
        if found.rrset is None:
            return Answer(Status.EMPTY, authentic=authentic, ttl=_negative_ttl(found.response))
        records = tuple(_record(rdata, kind) for rdata in found.rrset)
        if not within_bounds(records):
            return FAILED
        return Answer(Status.FOUND, records, authentic, float(found.rrset.ttl))


def within_bounds(records: Sequence[bytes | str]) -> bool:
    """Whether an answer is small enough to be looked at."""
    return (
        len(records) <= DNS_RECORDS
        and all(len(each) <= DNS_TXT_BYTES for each in records)
        and sum(len(each) for each in records) <= DNS_ANSWER_BYTES
    )


def _record(rdata: object, kind: str) -> bytes | str:
    match kind:
        case "TXT":
            strings: tuple[bytes, ...] = rdata.strings  # type: ignore[attr-defined]
            return b"".join(strings)
        case "MX":
            preference, exchange = rdata.preference, rdata.exchange  # type: ignore[attr-defined]
            return f"{preference} {_text(exchange)}"
        case "PTR" | "CNAME":
            return _text(rdata.target)  # type: ignore[attr-defined]
        case "TLSA":
            usage, selector, mtype = rdata.usage, rdata.selector, rdata.mtype  # type: ignore[attr-defined]
            return f"{usage} {selector} {mtype} {rdata.cert.hex()}"  # type: ignore[attr-defined]
        case _:
            return str(rdata.address)  # type: ignore[attr-defined]


def _text(name: dns.name.Name) -> str:
    return name.to_text(omit_final_dot=True).lower() if len(name) > 1 else ""


def _negative_ttl(response: dns.message.Message) -> float:
    for rrset in response.authority:
        if rrset.rdtype == dns.rdatatype.SOA:
            return float(min(rrset.ttl, rrset[0].minimum))
    return 0.0


class _Cache:
    """Least recently used goes first."""

    def __init__(self, entries: int, monotonic: Callable[[], float]) -> None:
        self._entries = entries
        self._now = monotonic
        self._known: OrderedDict[tuple[str, str], tuple[float, Answer]] = OrderedDict()

    def get(self, key: tuple[str, str]) -> Answer | None:
        known = self._known.get(key)
        if known is None:
            return None
        if known[0] <= self._now():
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return known[1]

    def put(self, key: tuple[str, str], answer: Answer) -> None:
        match answer.status:
            case Status.FOUND:
                seconds = min(answer.ttl, DNS_TTL_SECONDS)
            case Status.FAILED:
                seconds = DNS_FAILURE_SECONDS
            case _:
                seconds = min(answer.ttl, DNS_NEGATIVE_SECONDS)
        if seconds <= 0:
            return
        self._known[key] = (self._now() + seconds, answer)
        self._known.move_to_end(key)
        while len(self._known) > self._entries:
            self._known.popitem(last=False)

"""DKIM signatures, verified (RFC 6376, RFC 8301, RFC 8463). Ours rather than dkimpy's, which is the oracle in the
tests: it enforces neither key flags nor RFC 8301, counts no signatures, and is quadratic in trailing blanks.

Rules:
1. A pass says: the fields named in `h=` and the *whole* body are as the domain signed them. A signature over part of
   the body (l=), one without From, one below which a signed field was added again, never passes.
2. Important fields that a passing signature leaves out are named in `unsigned`, for others to judge.
3. Malformed is "permerror", not known is "temperror", refused by our rules is "policy", doesn't match is "fail".
4. What a domain or selector may look like is decided before it is used in a question or shown to anybody.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from channels.contract import DkimResult, Result
from channels.email import dkim_key
from channels.email.address import domain_name
from channels.email.canonical import (
    Body,
    Form,
    TagError,
    canonical_field,
    signed_fields,
    tags,
    unsigned,
    without_blanks,
)
from channels.email.dkim_key import Algorithm, Refusal
from channels.email.headers import SINGLE, Field
from channels.email.resolver import Resolver

DKIM_SIGNATURES: Final = 8  # as gateway.limits; a test holds them equal
SIGNED_NAMES: Final = 500  # names in one h=
CLOCK_SKEW_SECONDS: Final = 3_600
BODY_IN_THREAD_BYTES: Final = 262_144  # a larger body is hashed beside the event loop
IMPORTANT: Final = (
    "subject", "date", "to", "cc", "reply-to", "sender", "message-id", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding",
)  # fmt: skip
"""Fields whose meaning changes what an agent sees (RFC 6376, section 5.4.1)."""

_NUMBER: Final = re.compile(rb"[0-9]{1,12}")
_LENGTH: Final = re.compile(rb"[0-9]{1,76}")
_FIELD_NAME: Final = re.compile(rb"[!-9<-~]+")
_SELECTOR: Final = re.compile(rb"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_HEX: Final = re.compile(rb"=([0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class Signature:
    """The tags of one signature that follow the rules; RFC 6376, section 3.5."""

    domain: str
    selector: str
    algorithm: Algorithm
    header_form: Form
    body_form: Form
    names: tuple[str, ...]
    body_hash: bytes
    value: bytes
    length: int | None
    agent_local: str
    agent_domain: str


async def verify(
    resolver: Resolver,
    *,
    fields: Sequence[Field],
    body: Body,
    now: int,
    limit: int = DKIM_SIGNATURES,
    least_bits: int = dkim_key.RSA_BITS_LEAST,
) -> tuple[DkimResult, ...]:
    """The result of each DKIM-Signature from the top, up to `limit`; if there are more, one last result says so.
    `now` in seconds since 1970. Never raises but for cancellation."""
    found = [each for each in fields if each.name == "dkim-signature"]
    results = [
        await _verify(resolver, each, fields=fields, body=body, now=now, least_bits=least_bits)
        for each in found[:limit]
    ]
    if len(found) > limit:
        results.append(DkimResult(result=Result.POLICY, reason="signatures.too-many"))
    return tuple(results)


async def _verify(
    resolver: Resolver, signature: Field, *, fields: Sequence[Field], body: Body, now: int, least_bits: int
) -> DkimResult:
    domain = selector = algorithm = ""
    try:
        found = tags(signature.value)
        domain, selector = _names(found)
        read = parse(found, domain, selector, now)
        algorithm = read.algorithm.value
        left_out = await _check(resolver, read, signature, fields=fields, body=body, least_bits=least_bits)
    except TagError as error:
        return DkimResult(result=Result.PERMERROR, domain=domain, selector=selector, reason=str(error))
    except Refusal as refusal:
        return DkimResult(
            result=refusal.result, domain=domain, selector=selector, algorithm=algorithm, reason=refusal.reason
        )
    except Exception:  # noqa: BLE001 - a hostile signature must not reach further than this
        return DkimResult(result=Result.PERMERROR, domain=domain, selector=selector, reason="unexpected")
    return DkimResult(result=Result.PASS, domain=domain, selector=selector, algorithm=algorithm, unsigned=left_out)


async def _check(
    resolver: Resolver,
    read: Signature,
    signature: Field,
    *,
    fields: Sequence[Field],
    body: Body,
    least_bits: int,
) -> tuple[str, ...]:
    """Raises Refusal; returns the important fields that are not signed."""
    if len(body.data) > BODY_IN_THREAD_BYTES:
        await asyncio.to_thread(body.sha256, read.body_form, read.length)
    length = body.length(read.body_form)
    if read.length is not None and read.length > length:
        raise Refusal(Result.PERMERROR, "body.short")
    if body.sha256(read.body_form, read.length) != read.body_hash:
        raise Refusal(Result.FAIL, "body.altered")
    key = await dkim_key.fetch(resolver, read.selector, read.domain, read.algorithm, least_bits=least_bits)
    if key.strict and read.agent_domain != read.domain:
        raise Refusal(Result.PERMERROR, "key.strict")
    if key.granularity is not None and not _matches(key.granularity, read.agent_local):
        raise Refusal(Result.PERMERROR, "key.granularity")
    others = [each for each in fields if each is not signature]
    chosen = signed_fields(others, read.names)
    data = b"".join(canonical_field(each, read.header_form) + b"\r\n" for each in chosen)
    data += canonical_field(unsigned(signature), read.header_form)
    if not dkim_key.verifies(key, read.value, data, hashlib.sha256(data).digest()):
        raise Refusal(Result.FAIL, "signature.mismatch")
    if read.length is not None and read.length < length:
        raise Refusal(Result.POLICY, "body.partial")
    return _unsigned_fields(others, chosen)


def _unsigned_fields(fields: Sequence[Field], chosen: Sequence[Field]) -> tuple[str, ...]:
    """A second Subject put on top of a signed one is shown by some programs: no pass for that (RFC 6376, section
    8.15)."""
    present, signed = Counter(each.name for each in fields), Counter(each.name for each in chosen)
    for name in SINGLE:
        if present[name] > 1 and signed[name] < present[name]:
            raise Refusal(Result.POLICY, "field.added")
    return tuple(name for name in IMPORTANT if present[name] > signed[name])


def _names(found: Mapping[str, bytes]) -> tuple[str, str]:
    for tag in ("v", "a", "b", "bh", "d", "h", "s"):
        if tag not in found:
            raise Refusal(Result.PERMERROR, "tags.missing")
    if found["v"] != b"1":
        raise Refusal(Result.PERMERROR, "version")
    return host(found["d"]), selector_name(found["s"])


def host(value: bytes) -> str:
    """d= as lower-case A-labels. Raises Refusal."""
    try:
        name = domain_name(without_blanks(value).decode("utf-8"))
    except UnicodeDecodeError:
        name = None
    if name is None or "." not in name:
        raise Refusal(Result.PERMERROR, "domain")
    return name


def selector_name(value: bytes) -> str:
    """s=, which may have dots. Raises Refusal."""
    if len(value) > 253 or not all(_SELECTOR.fullmatch(label) for label in value.split(b".")):
        raise Refusal(Result.PERMERROR, "selector")
    return value.decode("ascii").lower()


def algorithm_of(value: bytes) -> Algorithm:
    """a=. Raises Refusal."""
    if value == b"rsa-sha1":
        raise Refusal(Result.POLICY, "algorithm.sha1")
    try:
        return Algorithm(value.decode("ascii"))
    except ValueError:
        raise Refusal(Result.PERMERROR, "algorithm") from None


def forms(value: bytes) -> tuple[Form, Form]:
    """c=: of header and body. Raises Refusal."""
    header, slash, body = value.partition(b"/")
    known: dict[bytes, Form] = {b"simple": "simple", b"relaxed": "relaxed"}
    if not slash:
        body = b"simple"
    if header not in known or body not in known:
        raise Refusal(Result.PERMERROR, "canonicalization")
    return known[header], known[body]


def times(found: Mapping[str, bytes], now: int) -> None:
    """t= and x= against the clock. Raises Refusal."""
    for tag in ("t", "x"):
        if tag in found and not _NUMBER.fullmatch(found[tag]):
            raise Refusal(Result.PERMERROR, "time")
    if "t" in found and int(found["t"]) > now + CLOCK_SKEW_SECONDS:
        raise Refusal(Result.POLICY, "signature.future")
    if "x" in found:
        if "t" in found and int(found["x"]) <= int(found["t"]):
            raise Refusal(Result.PERMERROR, "time")
        if int(found["x"]) < now:
            raise Refusal(Result.POLICY, "signature.expired")


def header_names(value: bytes) -> tuple[str, ...]:
    """h=. Raises Refusal."""
    names = [each.strip(b" \t\r\n") for each in value.split(b":")]
    if len(names) > SIGNED_NAMES or not all(_FIELD_NAME.fullmatch(name) for name in names):
        raise Refusal(Result.PERMERROR, "fields")
    return tuple(name.decode("ascii").lower() for name in names)


def octets(value: bytes) -> bytes:
    """b= and bh=. Raises Refusal."""
    try:
        return dkim_key.unbase64(value)
    except ValueError:
        raise Refusal(Result.PERMERROR, "base64") from None


def parse(found: Mapping[str, bytes], domain: str, selector: str, now: int) -> Signature:
    """The rest of the tags. Raises Refusal."""
    algorithm = algorithm_of(found["a"])
    header_form, body_form = forms(found.get("c", b"simple/simple"))
    names = header_names(found["h"])
    if "from" not in names:
        raise Refusal(Result.PERMERROR, "from.unsigned")
    if b"dns/txt" not in (each.strip(b" \t\r\n") for each in found.get("q", b"dns/txt").split(b":")):
        raise Refusal(Result.PERMERROR, "query")
    length = None
    if "l" in found:
        if not _LENGTH.fullmatch(found["l"]):
            raise Refusal(Result.PERMERROR, "length")
        length = int(found["l"])
    agent_local, agent_domain = _agent(found.get("i", b"@" + domain.encode()), domain)
    times(found, now)
    return Signature(
        domain, selector, algorithm, header_form, body_form, names, octets(found["bh"]), octets(found["b"]), length,
        agent_local, agent_domain,
    )  # fmt: skip


def _agent(value: bytes, domain: str) -> tuple[str, str]:
    """i=: in the signing domain or below it; quoted-printable as section 2.11 has it."""
    decoded = _HEX.sub(lambda match: bytes.fromhex(match[1].decode()), without_blanks(value))
    local, at, name = decoded.rpartition(b"@")
    agent = host(name) if at else ""
    if agent != domain and not agent.endswith("." + domain):
        raise Refusal(Result.PERMERROR, "agent")
    return local.decode("utf-8", "replace"), agent


def _matches(granularity: str, local: str) -> bool:
    before, star, after = granularity.partition("*")
    if not star:
        return local == granularity != ""
    return len(local) >= len(before) + len(after) and local.startswith(before) and local.endswith(after)

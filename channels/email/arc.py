"""ARC chains, validated (RFC 8617). A pass says only that the sealers' records are as they wrote them; whom to believe
is for others to decide.

Rules:
1. At most fifty sets (section 4.2.1); more are a fail before any key is asked for.
2. Each set has exactly one field of each kind, instances run from 1 without a gap; the first seal says none, all others
   pass (sections 4.2.2 and 5.2). Seals sign no fields of their own choice: `h=` in one is a fail.
3. The newest message signature and every seal must verify. A look-up that fails makes the chain "temperror".
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from channels.contract import Result
from channels.email import dkim, dkim_key
from channels.email.canonical import (
    Body,
    TagError,
    canonical_field,
    signed_fields,
    tags,
    unsigned,
)
from channels.email.dkim_key import Refusal
from channels.email.headers import Field
from channels.email.resolver import Resolver

ARC_SETS: Final = 50  # RFC 8617, section 4.2.1; as gateway.limits
_INSTANCE: Final = re.compile(rb"[1-9][0-9]?")
_AAR: Final = re.compile(rb"[ \t\r\n]*+i[ \t\r\n]*+=[ \t\r\n]*+([0-9]{1,3})[ \t\r\n]*+;(.*)", re.DOTALL)
_KINDS: Final = ("arc-authentication-results", "arc-message-signature", "arc-seal")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcResult:
    """`domain` is the newest sealer's, "" unless the chain passes; `sealers` all of them, oldest first. `claimed_fail`:
    a seal itself says that the chain had failed by then, which nothing can mend. `reason` is a fixed token."""

    result: Result
    domain: str = ""
    sealers: tuple[str, ...] = ()
    claimed_fail: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Set:
    results: Field
    message: Field
    seal: Field
    message_tags: Mapping[str, bytes]
    seal_tags: Mapping[str, bytes]


async def validate(
    resolver: Resolver,
    *,
    fields: Sequence[Field],
    body: Body,
    now: int,
    least_bits: int = dkim_key.RSA_BITS_LEAST,
) -> ArcResult:
    """The chain's validation status: none, pass, fail or temperror. Never raises but for cancellation."""
    try:
        sets = _sets(fields)
        if not sets:
            return ArcResult(result=Result.NONE)
        claims = [each.seal_tags.get("cv", b"") for each in sets]
        if b"fail" in claims:
            return ArcResult(result=Result.FAIL, claimed_fail=True, reason="claimed")
        if claims[0] != b"none" or any(each != b"pass" for each in claims[1:]):
            raise Refusal(Result.FAIL, "claims")
        for each in sets:
            _check_seal_tags(each.seal_tags)
        await _check_message(resolver, sets[-1], fields=fields, body=body, now=now, least_bits=least_bits)
        sealers = [await _check_seal(resolver, sets[:end], now, least_bits) for end in range(len(sets), 0, -1)]
    except TagError as error:
        return ArcResult(result=Result.FAIL, reason=str(error))
    except Refusal as refusal:
        temporary = refusal.result is Result.TEMPERROR
        return ArcResult(result=Result.TEMPERROR if temporary else Result.FAIL, reason=refusal.reason)
    except Exception:  # noqa: BLE001 - a hostile chain must not reach further than this
        return ArcResult(result=Result.FAIL, reason="unexpected")
    return ArcResult(result=Result.PASS, domain=sealers[0], sealers=tuple(reversed(sealers)))


def _sets(fields: Sequence[Field]) -> list[_Set]:
    """Section 5.2, steps 1 to 3. Raises Refusal, TagError."""
    found: dict[str, list[Field]] = {kind: [] for kind in _KINDS}
    for each in fields:
        if each.name in found:
            found[each.name].append(each)
    count = max(len(each) for each in found.values())
    if count > ARC_SETS:
        raise Refusal(Result.FAIL, "sets.too-many")
    if any(len(each) != count for each in found.values()):
        raise Refusal(Result.FAIL, "sets.incomplete")
    results = {_instance_of_results(each): each for each in found[_KINDS[0]]}
    messages = {_instance(read): (each, read) for each in found[_KINDS[1]] for read in (tags(each.value),)}
    seals = {_instance(read): (each, read) for each in found[_KINDS[2]] for read in (tags(each.value),)}
    expected = set(range(1, count + 1))
    if not results.keys() == messages.keys() == seals.keys() == expected:
        raise Refusal(Result.FAIL, "sets.instances")
    return [_Set(results[i], messages[i][0], seals[i][0], messages[i][1], seals[i][1]) for i in sorted(expected)]


def _instance(found: Mapping[str, bytes]) -> int:
    if not _INSTANCE.fullmatch(found.get("i", b"")):
        raise Refusal(Result.FAIL, "instance")
    return int(found["i"])


def _instance_of_results(each: Field) -> int:
    match = _AAR.fullmatch(each.value)
    if not match:
        raise Refusal(Result.FAIL, "instance")
    return int(match[1])


async def _check_message(
    resolver: Resolver, newest: _Set, *, fields: Sequence[Field], body: Body, now: int, least_bits: int
) -> None:
    found = newest.message_tags
    if any(tag not in found for tag in ("a", "b", "bh", "d", "h", "s")):
        raise Refusal(Result.FAIL, "message.tags")
    algorithm = dkim.algorithm_of(found["a"])
    names = dkim.header_names(found["h"])
    if "arc-seal" in names or "l" in found:
        raise Refusal(Result.FAIL, "message.fields")
    dkim.times({tag: found[tag] for tag in ("t", "x") if tag in found}, now)
    domain, selector = dkim.host(found["d"]), dkim.selector_name(found["s"])
    # without c= sealers have meant either: DKIM's default, or the one form that seals know
    stated = [found["c"]] if "c" in found else [b"relaxed/relaxed", b"simple/simple"]
    value, body_hash = dkim.octets(found["b"]), dkim.octets(found["bh"])
    chosen = signed_fields([each for each in fields if each is not newest.message], names)
    reason = "message.body"
    for header_form, body_form in map(dkim.forms, stated):
        if len(body.data) > dkim.BODY_IN_THREAD_BYTES:
            await asyncio.to_thread(body.sha256, body_form)
        if body.sha256(body_form) != body_hash:
            continue
        key = await dkim_key.fetch(resolver, selector, domain, algorithm, least_bits=least_bits)
        data = b"".join(canonical_field(each, header_form) + b"\r\n" for each in chosen)
        data += canonical_field(unsigned(newest.message), header_form)
        if dkim_key.verifies(key, value, data, hashlib.sha256(data).digest()):
            return
        reason = "message.mismatch"
    raise Refusal(Result.FAIL, reason)


async def _check_seal(resolver: Resolver, sets: Sequence[_Set], now: int, least_bits: int) -> str:
    """The newest seal of these sets (section 5.1.1); returns its domain. Raises Refusal."""
    found = sets[-1].seal_tags
    algorithm = dkim.algorithm_of(found["a"])
    dkim.times({tag: found[tag] for tag in ("t",) if tag in found}, now)
    domain, selector = dkim.host(found["d"]), dkim.selector_name(found["s"])
    key = await dkim_key.fetch(resolver, selector, domain, algorithm, least_bits=least_bits)
    data = sealed_data(
        [(each.results, each.message, each.seal) for each in sets[:-1]],
        (sets[-1].results, sets[-1].message, unsigned(sets[-1].seal)),
    )
    if not dkim_key.verifies(key, dkim.octets(found["b"]), data, hashlib.sha256(data).digest()):
        raise Refusal(Result.FAIL, "seal.mismatch")
    return domain


def _check_seal_tags(found: Mapping[str, bytes]) -> None:
    if any(tag not in found for tag in ("a", "b", "cv", "d", "s")):
        raise Refusal(Result.FAIL, "seal.tags")
    if "h" in found or "bh" in found:
        raise Refusal(Result.FAIL, "seal.fields")


def sealed_data(older: Sequence[tuple[Field, Field, Field]], newest: tuple[Field, Field, Field]) -> bytes:
    """What a seal signs: all sets, oldest first, always relaxed; the newest seal last, its b= empty."""
    fields = [each for one in (*older, newest) for each in one]
    return b"\r\n".join(canonical_field(each, "relaxed") for each in fields)

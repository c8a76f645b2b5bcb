"""ARC: the ValiMail suites, and chains made to hurt."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from testdata import email_cases

from channels.contract import Result
from channels.email import arc
from channels.email.arc_sign import seal
from channels.email.canonical import Body, tags, without_blanks
from channels.email.dkim_sign import Signer
from channels.email.headers import read, to_crlf
from channels.email.resolver import Answer, Lookups, Status
from channels.email.zone import ZoneResolver
from gateway import limits

NOW = 1_700_000_000
MESSAGE = b"From: alice@example.org\r\nSubject: Hello\r\n\r\nHello\r\n"


async def validate(raw: bytes, resolver: Any) -> arc.ArcResult:
    block = read(raw, max_bytes=1 << 26)
    return await arc.validate(resolver, fields=block.fields, body=Body(raw[block.body :]), now=NOW)


def _validation(folder: Path) -> Iterable[tuple[str, Any]]:
    for document in yaml.safe_load_all((folder / "arc-validation-tests.yml").read_text("utf-8")):
        for name, case in document["tests"].items():
            yield name, (document["txt-records"], case)


@pytest.mark.parametrize("given", email_cases("arc-validation-a", _validation))
@pytest.mark.parametrize("crlf", [False, True])
async def test_the_validation_suite_is_decided_as_stated(given: Any, crlf: bool) -> None:
    records, case = given
    message = (case["message"] or "").encode()
    if crlf:
        message = message.replace(b"\n", b"\r\n")
    found = await validate(to_crlf(message), ZoneResolver(records))
    wanted = case["cv"].strip().lower()
    assert ("" if found.claimed_fail else found.result) == wanted
    assert wanted or found.result is Result.FAIL


def _signing(folder: Path) -> Iterable[tuple[str, Any]]:
    for document in yaml.safe_load_all((folder / "arc-draft-sign-tests.yml").read_text("utf-8")):
        for name, case in document["tests"].items():
            yield name, (document, case)


@pytest.mark.parametrize("given", email_cases("arc-signing", _signing))
def test_the_signing_suite_is_sealed_as_stated(given: Any) -> None:
    document, case = given
    key: Any = load_pem_private_key(document["privatekey"].encode(), None)
    signer = Signer(document["domain"], document["sel"], key, least_bits=1_024)
    made = seal(
        to_crlf(case["message"].encode()),
        signer,
        server=case["srv-id"],
        now=int(case["t"]),
        names=case["sig-headers"].split(":"),
    )
    if not (case["AMS"] or "").strip():
        assert made is None
        return
    assert made is not None
    for wanted, raw in ((case["AMS"], made.message), (case["AS"], made.seal)):
        ours = {name: without_blanks(value) for name, value in tags(raw.partition(b":")[2]).items()}
        theirs = {name: without_blanks(value) for name, value in tags(to_crlf(wanted.strip().encode())).items()}
        assert ours == theirs
    assert without_blanks(made.results.partition(b":")[2]) == without_blanks(case["AAR"].encode())


def _chain(length: int) -> tuple[bytes, ZoneResolver]:
    signer = Signer("example.org", "s", Ed25519PrivateKey.generate())
    raw = MESSAGE
    for instance in range(1, length + 1):
        results = f"Authentication-Results: mx.acme.example; arc={'pass' if instance > 1 else 'none'}\r\n".encode()
        made = seal(results + raw, signer, server="mx.acme.example", now=NOW, names=("from", "subject"))
        if made is None:
            break
        raw = made.seal + made.message + made.results + raw
    return raw, ZoneResolver({"s._domainkey.example.org": signer.record()})


async def test_a_chain_of_ours_passes_and_names_its_sealers() -> None:
    raw, zone = _chain(3)
    found = await validate(raw, zone)
    assert (found.result, found.domain, found.sealers) == (Result.PASS, "example.org", ("example.org",) * 3)
    assert (await validate(raw.replace(b"Subject: Hello", b"Subject: Hullo"), zone)).reason == "message.mismatch"
    assert (await validate(raw + b"more\r\n", zone)).reason == "message.body"


async def test_a_chain_ends_at_fifty_sets() -> None:
    raw, zone = _chain(60)
    assert raw.count(b"ARC-Seal:") == arc.ARC_SETS == limits.ARC_SETS
    started = time.process_time()
    assert (await validate(raw, zone)).result is Result.PASS
    assert time.process_time() - started < 1.0


async def test_three_thousand_sets_fail_without_a_question() -> None:
    class Census:
        async def query(self, name: str, kind: str, /) -> Answer:
            raise AssertionError

    one = _chain(1)[0].partition(b"From:")[0]
    raw = b"".join(one.replace(b"i=1;", b"i=%d;" % number) for number in range(1, 3_001)) + MESSAGE
    started = time.process_time()
    assert (await validate(raw, Census())).reason == "sets.too-many"
    assert time.process_time() - started < 1.0


async def test_a_chain_that_says_it_failed_can_not_be_mended() -> None:
    raw, zone = _chain(2)
    assert (await validate(raw.replace(b"cv=none", b"cv=fail"), zone)).claimed_fail
    assert seal(raw.replace(b"cv=pass", b"cv=fail"), Signer("example.org", "s", Ed25519PrivateKey.generate()),
                server="mx.acme.example", now=NOW) is None  # fmt: skip


async def test_a_key_that_is_not_known_is_a_temperror() -> None:
    class Failing:
        async def query(self, name: str, kind: str, /) -> Answer:
            return Answer(Status.FAILED)

    raw, zone = _chain(2)
    assert (await validate(raw, Failing())).result is Result.TEMPERROR
    assert (await validate(raw, Lookups(zone, questions=0))).result is Result.TEMPERROR

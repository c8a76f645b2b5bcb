"""DKIM: vectors, our own signatures read by an oracle, and every hole that a bare library leaves open."""

from __future__ import annotations

import base64
import re
import time
from pathlib import Path
from typing import Any

import dkim as dkimpy
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from testdata import email_cases

from channels.contract import DkimResult, Result
from channels.email import dkim
from channels.email.canonical import Body, canonical_body, relaxed_field
from channels.email.dkim_sign import Signer, SigningError
from channels.email.headers import read
from channels.email.resolver import Answer, Status
from channels.email.zone import ZoneResolver
from gateway import limits
from keys.secret import Secret

NOW = int(time.time())  # the oracle signs by the real clock
RSA = generate_private_key(65_537, 2_048)
ED25519 = Ed25519PrivateKey.generate()
MESSAGE = (
    b"From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: Hello\r\n"
    b"Date: Tue, 14 Nov 2023 22:13:20 +0000\r\nMessage-ID: <1@example.org>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain\r\n\r\nDear all,\r\n\r\n  yours \t\r\nAlice\r\n\r\n"
)


def public(key: RSAPrivateKey, **tags: str) -> str:
    data = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    found = {"v": "DKIM1"} | tags | {"p": base64.b64encode(data).decode()}
    return "; ".join(f"{name}={value}" for name, value in found.items())


def pem(key: RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())


def by_dkimpy(message: bytes = MESSAGE, key: RSAPrivateKey = RSA, **more: Any) -> bytes:
    """Signed by the oracle, which signs what ours would refuse to."""
    given: dict[str, Any] = {"canonicalize": (b"relaxed", b"relaxed")} | more
    signature: bytes = dkimpy.sign(message, b"s", b"example.org", pem(key), **given)
    return signature + message


def restated(tag: bytes, value: bytes, *, without: bytes = b"") -> bytes:
    """Signed by the oracle; one tag says something else then, and one is gone."""
    raw = by_dkimpy()
    for name in filter(None, (tag, without)):
        raw = re.sub(rb"([ ;])" + name + rb"=[^;]*;", rb"\1", raw, count=1)
    return raw.replace(b"v=1;", b"v=1; " + tag + b"=" + value + b";", 1)


async def verify(raw: bytes, record: str | None = None, *, resolver: Any = None, **more: Any) -> tuple[DkimResult, ...]:
    block = read(raw, max_bytes=1 << 26)
    zone = resolver or ZoneResolver({"s._domainkey.example.org": public(RSA) if record is None else record})
    return await dkim.verify(zone, fields=block.fields, body=Body(raw[block.body :]), **({"now": NOW} | more))


async def only(raw: bytes, record: str | None = None, **more: Any) -> DkimResult:
    (found,) = await verify(raw, record, **more)
    return found


def _vectors(folder: Path) -> list[tuple[str, Any]]:
    return [(each.name, each) for each in sorted(folder.glob("0*.txt"))]


@pytest.mark.parametrize("file", email_cases("dkim-vectors", _vectors))
async def test_each_signature_of_the_vectors_verifies(file: Path) -> None:
    head, _, text = file.read_bytes().replace(b"\r\n", b"\n").partition(b"\n\n")
    zone = dict(line.split(" ", 1) for line in head.decode().split("\n"))
    results = await verify(text.replace(b"\n", b"\r\n"), resolver=ZoneResolver(zone))
    assert results
    assert {each.result for each in results} == {Result.PASS}


@pytest.mark.parametrize("header", [b"simple", b"relaxed"])
@pytest.mark.parametrize("body", [b"simple", b"relaxed"])
async def test_what_the_oracle_signs_verifies_in_each_canonical_form(header: bytes, body: bytes) -> None:
    found = await only(by_dkimpy(canonicalize=(header, body)))
    assert (found.result, found.domain, found.selector, found.algorithm) == (
        Result.PASS, "example.org", "s", "rsa-sha256",
    )  # fmt: skip


@pytest.mark.parametrize("key", [RSA, ED25519])
async def test_what_we_sign_verifies_with_us_and_with_the_oracle(key: Any) -> None:
    signer = Signer("example.org", "s", key)
    raw = signer.sign(MESSAGE, now=NOW) + MESSAGE
    found = await only(raw, signer.record())
    assert (found.result, found.unsigned) == (Result.PASS, ())
    assert dkimpy.verify(raw, dnsfunc=lambda *_, **__: signer.record().encode())
    assert max(len(line) for line in raw.split(b"\r\n")) <= 78


@pytest.mark.parametrize("name", ["From", "Subject", "To", "Reply-To", "Content-Type", "Cc", "Sender"])
async def test_no_field_can_be_added_to_what_we_sign(name: str) -> None:
    raw = Signer("example.org", "s", RSA).sign(MESSAGE, now=NOW) + MESSAGE
    for altered in (f"{name}: x\r\n".encode() + raw, raw.replace(b"\r\n\r\n", f"\r\n{name}: x\r\n\r\n".encode(), 1)):
        assert (await only(altered)).result is not Result.PASS
        assert not dkimpy.verify(altered, dnsfunc=lambda *_, **__: public(RSA).encode())


async def test_a_body_or_signed_field_that_was_altered_fails() -> None:
    raw = by_dkimpy()
    assert (await only(raw.replace(b"yours", b"Yours"))).reason == "body.altered"
    assert (await only(raw.replace(b"Subject: Hello", b"Subject: Hullo"))).reason == "signature.mismatch"
    assert (await only(raw.replace(b"Hello", b"  Hello "))).result is Result.PASS


HOLES = {
    "rsa-sha1": (by_dkimpy(signature_algorithm=b"rsa-sha1"), None, "algorithm.sha1"),
    "from-not-signed": (
        by_dkimpy(include_headers=[b"from", b"to"]).replace(b"h=from : to", b"h=to"), None, "from.unsigned",
    ),
    "second-subject": (b"Subject: Other\r\n" + by_dkimpy(include_headers=[b"from", b"subject"]), None, "field.added"),
    "second-content-type": (
        b"Content-Type: text/html\r\n" + by_dkimpy(include_headers=[b"from", b"subject"]), None, "field.added",
    ),
    "body-appended": (by_dkimpy(length=True) + b"more\r\n", None, "body.partial"),
    "key-hash": (by_dkimpy(), public(RSA, h="sha1"), "key.hash"),
    "key-service": (by_dkimpy(), public(RSA, s="tlsrpt"), "key.service"),
    "key-testing": (by_dkimpy(), public(RSA, t="y"), "key.testing"),
    "key-strict": (by_dkimpy(identity=b"alice@mail.example.org"), public(RSA, t="s"), "key.strict"),
    "key-granularity": (by_dkimpy(identity=b"bob@example.org"), public(RSA, g="alice*"), "key.granularity"),
    "key-revoked": (by_dkimpy(), "v=DKIM1; p=", "key.revoked"),
    "key-version": (by_dkimpy(), "v=DKIM2; p=abcd", "key.version"),
    "key-version-late": (by_dkimpy(), "k=rsa; v=DKIM1; p=abcd", "key.version"),
    "key-type": (by_dkimpy(), public(RSA, k="ed25519"), "key.algorithm"),
    "key-junk": (by_dkimpy(), "v=DKIM1; p=AAAA", "key.syntax"),
    "expired": (restated(b"x", b"%d" % (NOW - 1), without=b"t"), None, "signature.expired"),
    "future": (restated(b"t", b"%d" % (NOW + 86_400)), None, "signature.future"),
    "expired-before-signed": (restated(b"x", b"1"), None, "time"),
    "endless-time": (restated(b"t", b"9" * 5_000), None, "time"),
    "agent-elsewhere": (restated(b"i", b"@evil.example"), None, "agent"),
    "agent-suffix": (restated(b"i", b"@badexample.org"), None, "agent"),
    "repeated-tag": (by_dkimpy().replace(b"v=1;", b"v=1; d=evil.example;"), None, "tags.repeated"),
    "no-version": (by_dkimpy().replace(b"v=1;", b"w=1;"), None, "tags.missing"),
    "wrong-version": (by_dkimpy().replace(b"v=1;", b"v=2;"), None, "version"),
    "unknown-form": (by_dkimpy().replace(b"c=relaxed/relaxed", b"c=nowsp/relaxed"), None, "canonicalization"),
    "unknown-query": (by_dkimpy().replace(b"v=1;", b"v=1; q=http;"), None, None),
}  # fmt: skip


@pytest.mark.parametrize("hole", HOLES)
async def test_a_hole_of_the_bare_libraries_never_passes(hole: str) -> None:
    raw, record, reason = HOLES[hole]
    found = await only(raw, record)
    assert found.result is not Result.PASS
    assert reason is None or found.reason == reason


@pytest.mark.parametrize("bits", [512, 1_000, 1_023])
async def test_a_short_key_verifies_nothing(bits: int) -> None:
    number = (1 << bits) - 159
    data = base64.b64encode(_pkcs1(number)).decode()
    assert (await only(by_dkimpy(), f"v=DKIM1; p={data}")).reason in ("key.short", "key.syntax")


def _pkcs1(modulus: int) -> bytes:
    def integer(value: int) -> bytes:
        data = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return b"\x02" + _length(len(data)) + data

    content = integer(modulus) + integer(65_537)
    return b"\x30" + _length(len(content)) + content


def _length(size: int) -> bytes:
    return bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")


async def test_a_key_in_pkcs1_form_and_with_folding_blanks_is_taken() -> None:
    data = RSA.public_key().public_bytes(Encoding.DER, PublicFormat.PKCS1)
    text = base64.b64encode(data).decode()
    assert (await only(by_dkimpy(), f"k = rsa ; n=a note;; p= {text[:50]} {text[50:]} ;")).result is Result.PASS


async def test_a_domainkeys_record_without_granularity_is_taken() -> None:
    assert (await only(by_dkimpy(), public(RSA, g="").removeprefix("v=DKIM1; "))).result is Result.PASS
    assert (await only(by_dkimpy(), public(RSA, g=""))).reason == "key.granularity"


ODD = (
    b"example.org'a.evil.example", b"example.org(x).evil.example", b"org", b"-.org", b"example.org\x00.evil.example",
    b"example.org,evil.example", b"192.0.2.1",
)  # fmt: skip


@pytest.mark.parametrize("domain", ODD)
async def test_an_odd_domain_or_selector_is_neither_asked_for_nor_shown(domain: bytes) -> None:
    class Census:
        async def query(self, name: str, kind: str, /) -> Answer:
            raise AssertionError(name)

    for tag, raw in (("d", by_dkimpy()), ("s", by_dkimpy())):
        old = b"d=example.org" if tag == "d" else b"s=s;"
        if tag == "s" and domain in (b"org", b"192.0.2.1"):
            continue
        new = b"d=" + domain if tag == "d" else b"s=" + domain + b";"
        found = await only(raw.replace(old, new), resolver=Census())
        assert found.result is Result.PERMERROR
        assert found.domain in ("", "example.org")
        assert found.selector == ""


async def test_a_key_that_is_not_known_is_a_temperror() -> None:
    class Failing:
        async def query(self, name: str, kind: str, /) -> Answer:
            return Answer(Status.FAILED)

    assert (await only(by_dkimpy(), resolver=Failing())).result is Result.TEMPERROR
    assert (await only(by_dkimpy(), resolver=ZoneResolver({}))).reason == "key.missing"
    two = {"s._domainkey.example.org": [{"TXT": public(RSA)}, {"TXT": public(RSA)}]}
    assert (await only(by_dkimpy(), resolver=ZoneResolver(two))).reason == "key.several"
    beside = {"s._domainkey.example.org": [{"TXT": public(RSA)}, {"TXT": "v=spf1 -all"}]}
    assert (await only(by_dkimpy(), resolver=ZoneResolver(beside))).result is Result.PASS


async def test_important_fields_that_are_not_signed_are_named() -> None:
    found = await only(by_dkimpy(include_headers=[b"from", b"subject", b"date"]))
    assert found.result is Result.PASS
    assert found.unsigned == ("to", "message-id", "mime-version", "content-type")


async def test_signatures_are_counted() -> None:
    one = by_dkimpy()
    field = one[: one.index(b"From: ")]
    results = await verify(field * 20 + MESSAGE)
    assert len(results) == dkim.DKIM_SIGNATURES + 1
    assert results[-1].reason == "signatures.too-many"
    assert dkim.DKIM_SIGNATURES == limits.DKIM_SIGNATURES


async def test_an_agent_may_be_quoted_printable() -> None:
    raw = by_dkimpy(identity=b"al=69ce=40mail.example.org")
    assert (await only(raw)).result is Result.PASS


@given(st.lists(st.sampled_from([b" ", b"\t", b"\r\n", b"\r", b"\n", b"x"]), max_size=30))
def test_canonical_bodies_agree_with_the_oracle(pieces: list[bytes]) -> None:
    from dkim.canonicalization import Relaxed, Simple

    body = b"".join(pieces)
    if b"\n" in body.replace(b"\r\n", b"") or b"\r" in body.replace(b"\r\n", b""):
        assert canonical_body(body, "simple").endswith(b"\r\n")
        return
    ended = body if not body or body.endswith(b"\r\n") else body + b"\r\n"  # the oracle wants the last CRLF
    assert canonical_body(body, "simple") == Simple.canonicalize_body(ended)
    assert canonical_body(body, "relaxed") == Relaxed.canonicalize_body(ended)


def test_a_relaxed_field_is_unfolded_and_trimmed() -> None:
    assert relaxed_field("subject", b" \t a\t \tb\r\n  c \t") == b"subject:a b c"


@pytest.mark.parametrize(
    "body",
    [
        b" " * 160_000 + b"x\r\n",
        b" " * 160_000,
        (b" " * 997 + b"x\r\n") * 10_000,
        b"\r\n" * 5_000_000,
        b" \r\n" * 3_000_000,
        b"\r" * 5_000_000 + b"\r\n",
        b"x \t" * 3_000_000,
    ],
    ids=["one-line", "one-line-no-end", "997-blanks", "empty-lines", "blank-lines", "bare-cr", "pairs"],
)
async def test_a_body_costs_linear_time(body: bytes) -> None:
    raw = by_dkimpy().partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + body
    started = time.process_time()
    await verify(raw)
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    "signature",
    [
        b"DKIM-Signature: " + b"a=b;" * 2_000,
        b"DKIM-Signature: v=1; a=rsa-sha256; d=example.org; s=s; bh=AA==; b=AA==; h=from" + b":from" * 10_000,
        b"DKIM-Signature: " + b" " * 60_000 + b"b=",
        b"DKIM-Signature: " + b"; " * 30_000,
        b"DKIM-Signature:" + b"=" * 60_000,
        b"DKIM-Signature: v=1; l=" + b"9" * 60_000,
    ],
)
async def test_a_signature_costs_linear_time(signature: bytes) -> None:
    started = time.process_time()
    found = await only(signature + b"\r\n" + MESSAGE)
    assert found.result is not Result.PASS
    assert time.process_time() - started < 0.5


async def test_a_resolver_that_raises_is_a_permerror() -> None:
    class Boom:
        async def query(self, name: str, kind: str, /) -> Answer:
            raise RuntimeError

    assert (await only(by_dkimpy(), resolver=Boom())).result is Result.PERMERROR


def test_a_signer_takes_only_a_good_key_and_keeps_it_out_of_sight() -> None:
    signer = Signer.load("Example.ORG", "s", Secret(pem(RSA)))
    assert signer.domain == "example.org"
    with pytest.raises(SigningError):
        Signer.load("example.org", "s", Secret(b"not a key"))
    with pytest.raises(SigningError):
        Signer("example.org", "s", generate_private_key(65_537, 1_024))
    with pytest.raises(SigningError):
        Signer("exa mple.org", "s", RSA)
    with pytest.raises(SigningError):
        signer.sign(b"Subject: no author\r\n\r\n", now=NOW)
    with pytest.raises(SigningError):
        signer.sign(MESSAGE.replace(b"\r\n", b"\n"), now=NOW)

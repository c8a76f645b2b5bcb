"""All checks over one message: the whole verdict, spoofing, failures, and what the worst message costs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import HealthCheck, settings
from hypothesis import given as given_
from hypothesis import strategies as st
from testdata import email_cases

from channels.contract import Authentication, Result
from channels.email.authentication import FAULTY, Authenticator
from channels.email.canonical import canonical_body
from channels.email.dkim_sign import Signer
from channels.email.resolver import Answer, Resolver, Status
from channels.email.zone import ZoneResolver

AT = datetime(2024, 1, 1, tzinfo=UTC)
NOW = int(AT.timestamp())
KEY = generate_private_key(65_537, 2_048)
SIGNER = Signer("example.org", "s", KEY)
ZONE: dict[str, Any] = {
    "example.org": "v=spf1 ip4:192.0.2.1 -all",
    "s._domainkey.example.org": SIGNER.record(),
    "_dmarc.example.org": "v=DMARC1; p=reject",
    "evil.example": "v=spf1 +all",
    "s._domainkey.evil.example": SIGNER.record(),
}
MESSAGE = (
    b"From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: Hello\r\n"
    b"Date: Mon, 01 Jan 2024 00:00:00 +0000\r\nMessage-ID: <1@example.org>\r\n\r\nHello\r\n"
)


async def facts(raw: bytes = MESSAGE, *, resolver: Resolver | None = None, **more: Any) -> Authentication:
    given: dict[str, Any] = {"peer": "192.0.2.1", "helo": "mx.example.org", "mail_from": "alice@example.org"} | more
    return await Authenticator(resolver or ZoneResolver(ZONE), now=lambda: AT).authenticate(raw=raw, **given)


def signed(raw: bytes = MESSAGE) -> bytes:
    return SIGNER.sign(raw, now=NOW) + raw


async def test_an_honest_message_is_authenticated() -> None:
    found = await facts(signed())
    assert (found.spf, found.spf_domain) == (Result.PASS, "example.org")
    assert [(each.result, each.domain) for each in found.dkim] == [(Result.PASS, "example.org")]
    assert (found.dmarc, found.dmarc_domain, found.dmarc_policy) == (Result.PASS, "example.org", "reject")
    assert found.author_domain == "example.org"
    assert found.arc is Result.NONE


async def test_the_same_message_gives_the_same_facts() -> None:
    assert await facts(signed()) == await facts(signed())


async def test_either_proof_is_enough_and_none_is_not() -> None:
    assert (await facts(signed(), peer="198.51.100.1")).dmarc is Result.PASS
    assert (await facts(MESSAGE)).dmarc is Result.PASS
    found = await facts(MESSAGE, peer="198.51.100.1")
    assert (found.spf, found.dmarc, found.dmarc_policy) == (Result.FAIL, Result.FAIL, "reject")


async def test_somebody_else_s_proof_does_not_help() -> None:
    other = Signer("evil.example", "s", KEY).sign(MESSAGE, now=NOW) + MESSAGE
    found = await facts(other, peer="198.51.100.1", mail_from="mallory@evil.example")
    assert (found.spf, found.dkim[0].result, found.dmarc) == (Result.PASS, Result.PASS, Result.FAIL)


async def test_a_file_with_lone_line_feeds_is_read_as_the_message_it_stands_for() -> None:
    assert (await facts(signed().replace(b"\r\n", b"\n"))).dmarc is Result.PASS


async def test_without_a_peer_spf_says_nothing_and_the_null_reverse_path_is_the_helo_name() -> None:
    assert (await facts(MESSAGE, peer=None)).spf is Result.NONE
    found = await facts(MESSAGE, mail_from=None, helo="example.org")
    assert (found.spf, found.spf_identity, found.spf_domain) == (Result.PASS, "helo", "example.org")
    assert (await facts(MESSAGE, mail_from="", helo="[192.0.2.1]")).spf is Result.NONE


ODD = {
    "two-from": b"From: mallory@evil.example\r\n" + MESSAGE,
    "two-from-spaced": b"From : mallory@evil.example\r\n" + MESSAGE,
    "spaced-from": MESSAGE.replace(b"From:", b"From :"),
    "folded-name": MESSAGE.replace(b"From:", b"From\r\n :"),
    "leading-fold": b" " + MESSAGE,
    "no-from": MESSAGE.replace(b"From:", b"X-From:"),
    "two-mailboxes": MESSAGE.replace(b"<alice@example.org>", b"<alice@example.org>, <mallory@evil.example>"),
    "group": MESSAGE.replace(b"Alice <alice@example.org>", b"all: alice@example.org;"),
    "route": MESSAGE.replace(b"<alice@", b"<@evil.example:alice@"),
    "comment": MESSAGE.replace(b"<alice@", b"<alice(x)@"),
    "quoted-pair": MESSAGE.replace(b"<alice@", b'<"a\\lice"@'),
    "nul": MESSAGE.replace(b"example.org>", b"example.org\x00>"),
    "nul-elsewhere": MESSAGE.replace(b"Hello\r\nDate", b"He\x00llo\r\nDate"),
    "bare-lf": MESSAGE.replace(b"Hello\r\nDate", b"Hello\nDate"),
    "no-colon": MESSAGE.replace(b"Subject:", b"junk\r\nSubject:"),
    "two-subjects": b"Subject: Other\r\n" + MESSAGE,
    "two-content-types": b"Content-Type: text/html\r\nContent-Type: text/plain\r\n" + MESSAGE,
    "large-header": b"X: " + b"x" * 70_000 + b"\r\n" + MESSAGE,
    "no-header": b"\r\n" + MESSAGE,
    "empty": b"",
}  # fmt: skip


@pytest.mark.parametrize("oddity", ODD)
async def test_what_programs_read_differently_is_never_authenticated(oddity: str) -> None:
    found = await facts(ODD[oddity])
    assert found.dmarc is Result.PERMERROR
    assert found.author_domain == ""
    assert found.dmarc_reason.startswith(("header.", "from."))


def _espoofer(folder: Path) -> list[tuple[str, Any]]:
    return [(case["id"], case) for case in json.loads((folder / "cases.json").read_text())]


@pytest.mark.parametrize("case", email_cases("spoof-espoofer-a", _espoofer))
async def test_no_spoofing_trick_authenticates_the_victim(case: dict[str, Any]) -> None:
    await _spoof(case)


TRICKS = (
    "legitimate.com(.attack.com", "legitimate.com\x00.attack.com", "legitimate.com'a.attack.com",
    'legitimate.com"a.attack.com', "legitimate.com\\.attack.com", "legitimate.com .attack.com",
    "attack.com,legitimate.com", "legitimate.com;d=attack.com", "legitimate.com@attack.com",
)  # fmt: skip


@pytest.mark.parametrize("domain", TRICKS)
async def test_no_odd_signing_domain_authenticates_the_victim(domain: str) -> None:
    message = "From: <admin@legitimate.com>\r\nSubject: x\r\n\r\nx\r\n"
    dkim = {"d": domain, "s": "selector", "sign_header": "From: <admin@legitimate.com>"}
    base = {"helo": "attack.com", "mail_from": "<any@attack.com>", "message_latin1": message}
    await _spoof(base | {"dkim": dkim})
    for selector in ("attack.com.\x00.any", "selector._domainkey.attack.com.\x00", "x\r\n y"):
        await _spoof(base | {"dkim": dkim | {"d": "legitimate.com", "s": selector}})


PATHS = (
    "<>", "<any@legitimate.com@attack.com>", "<(any@legitimate.com>", '<"any@legitimate.com"@attack.com>',
    "<any@attack.com\x00@legitimate.com>", "<legitimate.com>", "<any@.legitimate.com>",
)  # fmt: skip


@pytest.mark.parametrize("mail_from", PATHS)
async def test_no_odd_reverse_path_authenticates_the_victim(mail_from: str) -> None:
    message = "From: <admin@legitimate.com>\r\nSubject: x\r\n\r\nx\r\n"
    for helo in ("attack.com", "legitimate.com", "legitimate.com\x00.attack.com", "legitimate.com@attack.com"):
        await _spoof({"dkim": None, "helo": helo, "mail_from": mail_from, "message_latin1": message})


async def _spoof(case: dict[str, Any]) -> None:
    zone = ZoneResolver(
        {
            "legitimate.com": "v=spf1 -all",
            "_dmarc.legitimate.com": "v=DMARC1; p=reject",
            "selector._domainkey.legitimate.com": Signer(
                "x.example", "x", generate_private_key(65_537, 2_048)
            ).record(),
            "example.com": "v=spf1 -all",
            "_dmarc.example.com": "v=DMARC1; p=reject",
            "attack.com": "v=spf1 ip4:192.0.2.66 -all",
            "selector._domainkey.attack.com": SIGNER.record(),
        }
    )
    raw = case["message_latin1"].encode("latin-1")
    if case["dkim"]:
        raw = _signed_by_the_attacker(raw, case["dkim"]) + raw
    found = await facts(
        raw, resolver=zone, peer="192.0.2.66", helo=case["helo"], mail_from=case["mail_from"].strip("<>")
    )
    victim = found.author_domain in ("legitimate.com", "example.com") or not found.author_domain
    assert not (victim and found.dmarc is Result.PASS)
    assert found.dmarc in (Result.FAIL, Result.PERMERROR)


def _signed_by_the_attacker(raw: bytes, dkim: dict[str, str]) -> bytes:
    body = canonical_body(raw.partition(b"\r\n\r\n")[2], "relaxed")
    body_hash = base64.b64encode(hashlib.sha256(body).digest()).decode()
    value = f"v=1; a=rsa-sha256; c=relaxed/relaxed; d={dkim['d']}; s={dkim['s']}; h=from; bh={body_hash}; b="
    name, _, content = dkim["sign_header"].partition(":")
    data = f"{name.lower()}:{content.strip()}\r\ndkim-signature:{value}".encode("latin-1")
    return f"DKIM-Signature: {value}{base64.b64encode(KEY.sign(data, PKCS1v15(), SHA256())).decode()}\r\n".encode(
        "latin-1"
    )


class Failing:
    """Fails for names that hold a word."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._zone = ZoneResolver(ZONE)

    async def query(self, name: str, kind: str, /) -> Answer:
        return Answer(Status.FAILED) if self._word in name else await self._zone.query(name, kind)


@pytest.mark.parametrize("word", ["example", "_dmarc", "_domainkey", ""])
async def test_a_look_up_that_fails_is_never_a_pass_and_never_a_fail(word: str) -> None:
    found = await facts(signed(), resolver=Failing(word), peer="198.51.100.1")
    assert found.dmarc is Result.TEMPERROR
    assert found.spf is not Result.PASS


async def test_a_forger_s_broken_zone_does_not_turn_a_fail_into_not_known() -> None:
    forged = Signer("evil.example", "s", KEY).sign(MESSAGE, now=NOW) + MESSAGE
    found = await facts(forged, resolver=Failing("evil"), peer="198.51.100.1", mail_from="mallory@evil.example")
    assert (found.spf, found.dkim[0].result, found.dmarc) == (Result.TEMPERROR, Result.TEMPERROR, Result.FAIL)


async def test_a_slow_zone_ends_with_the_deadline() -> None:
    class Slow:
        async def query(self, name: str, kind: str, /) -> Answer:
            await asyncio.sleep(60)
            raise AssertionError

    started = time.monotonic()
    deadline = asyncio.get_running_loop().time() + 0.1
    found = await facts(signed(), resolver=Slow(), deadline=deadline)
    assert (found.spf, found.dmarc) == (Result.TEMPERROR, Result.TEMPERROR)
    assert time.monotonic() - started < 2.0


async def test_all_checks_together_ask_no_more_than_the_budget() -> None:
    class Census:
        asked = 0

        async def query(self, name: str, kind: str, /) -> Answer:
            self.asked += 1
            return Answer(Status.FOUND, (b"v=spf1 mx:a.example mx:b.example mx:c.example mx:d.example mx:e.example",)) \
                if kind == "TXT" else Answer(Status.FOUND, tuple(f"{n} h{self.asked}-{n}.example" for n in range(10))) \
                if kind == "MX" else Answer(Status.EMPTY)  # fmt: skip

    census = Census()
    raw = b"".join(
        b"DKIM-Signature: v=1; a=rsa-sha256; d=d%d.example; s=s; h=from; bh=%s; b=AAAA\r\n"
        % (number, base64.b64encode(hashlib.sha256(b"Hello\r\n").digest()))
        for number in range(30)
    )
    await facts(raw + MESSAGE, resolver=census)
    assert census.asked <= 80


async def test_whatever_breaks_is_a_permerror(monkeypatch: pytest.MonkeyPatch) -> None:
    def boom(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("channels.email.authentication.read", boom)
    assert await facts() == FAULTY

    class Boom:
        async def query(self, name: str, kind: str, /) -> Answer:
            raise RuntimeError

    monkeypatch.undo()
    found = await facts(signed(), resolver=Boom())
    assert Result.PASS not in (found.spf, found.dkim[0].result, found.dmarc, found.arc)


@given_(st.binary(max_size=300), st.text(max_size=40), st.text(max_size=40))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_have_facts(raw: bytes, helo: str, mail_from: str) -> None:
    found = asyncio.run(facts(raw, helo=helo, mail_from=mail_from))
    assert isinstance(found, Authentication)
    assert found.spf_reason != "unexpected"
    assert found.dmarc_reason != "unexpected"


WORST = {
    "one-blank-line": MESSAGE + b" " * 160_000 + b"\r\n",
    "997-blanks": MESSAGE + (b" " * 997 + b"x\r\n") * 10_000,
    "sets": b"".join(b"ARC-Seal: i=%d; cv=none\r\n" % n for n in range(3_000)) + MESSAGE,
    "signatures": b"DKIM-Signature: v=1\r\n" * 3_000 + MESSAGE,
    "time": signed().replace(b" t=", b" t=" + b"9" * 5_000),
    "addresses": MESSAGE.replace(b"Alice <alice@example.org>", b"a," * 30_000),
    "quotes": MESSAGE.replace(b"Alice", b'"' * 30_000),
    "parentheses": MESSAGE.replace(b"Alice", b"(" * 30_000),
    "folds": MESSAGE.replace(b"Alice", b"\r\n " * 20_000),
    "fields": b"a:\r\n" * 16_000 + MESSAGE,
    "twenty-five-megabytes": signed(MESSAGE + b"x y \t z\r\n" * 2_800_000),
}


@pytest.mark.parametrize("worst", WORST)
async def test_the_worst_message_costs_little(worst: str) -> None:
    started = time.process_time()
    found = await facts(WORST[worst])
    assert time.process_time() - started < 2.0
    assert found.dmarc_reason != "unexpected"

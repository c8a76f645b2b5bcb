"""Trusted hops: whose Received lines count, and how far."""

from __future__ import annotations

import ipaddress
from dataclasses import replace

import pytest
from mailroom import MESSAGE, peer, running

from channels.contract import HopName
from channels.email.facts import Source
from channels.email.hops import Hop, TrustedHops
from channels.email.received import Trace, parse
from keys.credentials import SharedSecret
from keys.secret import Secret


@pytest.mark.parametrize(
    ("value", "trace"),
    [
        (  # Postfix
            "from mail.example.org (mail.example.org [192.0.2.7]) by mx.acme.example (Postfix) with ESMTP id 4F; x",
            Trace("192.0.2.7", "mail.example.org", None),
        ),
        (
            "from mail.example.org (unknown [IPv6:2001:db8::7]) (using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 "
            "(256/256 bits) key-exchange X25519) (No client certificate) by mx (Postfix) with ESMTPS id 4F; x",
            Trace("2001:db8::7", "mail.example.org", "TLSv1.3"),
        ),
        (  # Postfix, client says an address literal of somebody else's
            "from [198.51.100.1] (mail.example.org [192.0.2.7]) by mx (Postfix) with SMTP id 4F; x",
            Trace("192.0.2.7", "[198.51.100.1]", None),
        ),
        (  # sendmail
            "from mail.example.org (IDENT:x@host.example.org [192.0.2.7] (may be forged)) by mx (8.17) with ESMTP",
            Trace("192.0.2.7", "mail.example.org", None),
        ),
        (  # Exim
            "from host.example.org ([192.0.2.7]:4321 helo=mail.example.org) by mx with esmtps (TLS1.3) tls T "
            "(Exim 4.96) id 1; x",
            Trace("192.0.2.7", "mail.example.org", "TLS"),
        ),
        ("from [192.0.2.7] (helo=a.example.org) by mx with esmtp id 1", Trace("192.0.2.7", "a.example.org", None)),
        (  # Exchange
            "from mail.example.org (192.0.2.7) by mx.acme.example (10.0.0.5) with Microsoft SMTP Server "
            "(version=TLS1_2, cipher=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) id 15.20.1 via Frontend Transport; x",
            Trace("192.0.2.7", "mail.example.org", "TLSv1.2"),
        ),
        (  # Google
            "from mail.example.org (mail.example.org. [192.0.2.7]) by mx.google.com with ESMTPS id a1 for <x@y> "
            "(version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256); Mon, 1 Jan",
            Trace("192.0.2.7", "mail.example.org", "TLSv1.3"),
        ),
        ("from x (x [::ffff:192.0.2.7]) by mx with SMTP; x", Trace("192.0.2.7", "x", None)),
    ],
)  # fmt: skip
def test_known_forms_of_received_are_read(value: str, trace: Trace) -> None:
    assert parse(value) == trace


@pytest.mark.parametrize(
    "value",
    [
        "", "by mx with HTTP; x", "(qmail 1 invoked by uid 1); x", "from x by mx; x", "from x (x) by mx; x",
        "from x (x [999.0.2.1]) by mx; x", "from x (x [192.0.2.7] [198.51.100.1]) by mx; x", "from x (x [192.0.2.7]",
        "from x (x [192.0.2.7]) with SMTP; x", "from x y (x [192.0.2.7]) by mx",
        "from x (((((((x [192.0.2.7]))))))) by mx",
        "from x (helo=y) by mx", "from x (unknown) by mx (x [192.0.2.7])", "from " + "(" * 60_000,
        "from x " + "() " * 20_000,
    ],
)  # fmt: skip
def test_what_is_no_trace_is_none(value: str) -> None:
    assert parse(value) is None


def line(peer: str, helo: str = "mail.example.org") -> bytes:
    tls = "(using TLSv1.3 with cipher X (256/256 bits))"
    return f"Received: from {helo} (unknown [{peer}])\r\n\t{tls} by hop\r\n\twith ESMTPS id 1; now\r\n".encode()


FORGED = line("198.51.100.66", "ceo.example.org")
DIRECT = Source(tls="TLSv1.3", cipher="X", peer="10.0.0.1", helo="hop.acme.example")
FRONT = Hop(name=HopName("front"), address="10.0.0.1")
INNER = Hop(name=HopName("inner"), address="10.0.0.2")
CLOUD = Hop(
    name=HopName("cloud"), header="X-Acme-Hop", secret=SharedSecret(Secret(b"s3cret"), Secret(b"older")),
    inside=(ipaddress.ip_network("10.9.0.0/16"),),
)  # fmt: skip


def resolve(raw: bytes, *hops: Hop, source: Source = DIRECT, certificate: str = "") -> tuple[Source, bytes]:
    found, _, raw = TrustedHops(hops).resolve(source, certificate, raw)
    return found, raw


def test_without_trusted_hops_the_peer_is_the_peer() -> None:
    assert resolve(FORGED + MESSAGE) == (DIRECT, FORGED + MESSAGE)
    assert resolve(FORGED + MESSAGE, INNER)[0] == DIRECT


def test_behind_one_hop_one_line_counts() -> None:
    found, raw = resolve(line("192.0.2.7") + FORGED + MESSAGE, FRONT)
    assert (found.peer, found.helo, found.hops, found.tls) == ("192.0.2.7", "mail.example.org", ("front",), "TLSv1.3")
    assert raw.startswith(b"Received")


def test_behind_two_hops_two_lines_count() -> None:
    found, _ = resolve(line("10.0.0.2") + line("192.0.2.7") + FORGED + MESSAGE, FRONT, INNER)
    assert (found.peer, found.hops) == ("192.0.2.7", ("front", "inner"))


def test_a_sender_who_names_our_hop_in_his_greeting_gains_nothing() -> None:
    found, _ = resolve(line("192.0.2.66", "hop.acme.example") + FORGED + MESSAGE, FRONT, INNER)
    assert found.peer == "192.0.2.66"
    found, _ = resolve(line("192.0.2.66", "[10.0.0.2]") + FORGED + MESSAGE, FRONT, INNER)
    assert found.peer == "192.0.2.66"


@pytest.mark.parametrize("top", [b"", b"Received: by hop with HTTP; x\r\n", b"Received: from x by y; x\r\n"])
def test_a_line_that_cannot_be_read_makes_the_peer_unknown(top: bytes) -> None:
    found, _ = resolve(top + MESSAGE, FRONT)
    assert (found.peer, found.helo, found.hops) == (None, "", ("front",))
    if top:
        found, _ = resolve(top + FORGED + MESSAGE, FRONT)
        assert found.peer is None


def test_the_weakest_stretch_of_the_way_counts() -> None:
    clear = b"Received: from x (x [192.0.2.7]) by hop with ESMTP id 1; x\r\n"
    old = b"Received: from x (x [192.0.2.7]) (using TLSv1.2 with cipher X) by hop with ESMTPS id 1; x\r\n"
    unknown = b"Received: from x (x [192.0.2.7]) by hop with ESMTPS id 1; x\r\n"
    assert resolve(clear + MESSAGE, FRONT)[0].tls is None
    assert resolve(old + MESSAGE, FRONT)[0].tls == "TLSv1.2"
    assert resolve(unknown + MESSAGE, FRONT)[0].tls == "TLSv1.3"
    assert resolve(old + MESSAGE, FRONT, source=replace(DIRECT, tls=None))[0].tls is None


@pytest.mark.parametrize("value", [b"s3cret", b"older"])
def test_a_secret_header_proves_a_hop_and_never_travels_on(value: bytes) -> None:
    raw = line("10.9.1.1") + line("192.0.2.7") + b"X-ACME-Hop: " + value + b"\r\n" + MESSAGE
    found, passed = resolve(raw, CLOUD, source=replace(DIRECT, peer="203.0.113.1"))
    assert (found.peer, found.hops) == ("192.0.2.7", ("cloud",))
    assert passed == line("10.9.1.1") + line("192.0.2.7") + MESSAGE


@pytest.mark.parametrize(
    "header",
    [
        b"X-Acme-Hop: wrong\r\n",
        b"X-Acme-Hop:\r\n",
        b"X-Acme-Hop: wrong\r\nX-Acme-Hop: s3cre\r\n",
        b"X-Other: s3cret\r\n",
    ],
)
def test_a_wrong_secret_proves_nothing(header: bytes) -> None:
    stranger = replace(DIRECT, peer="203.0.113.1")
    found, passed = resolve(line("192.0.2.7") + header + MESSAGE, CLOUD, source=stranger)
    assert found == stranger
    assert b"X-Acme-Hop" not in passed


@pytest.mark.parametrize("order", [1, -1])
def test_a_field_that_the_sender_adds_does_not_undo_the_proof(order: int) -> None:
    """Else our own relay would be judged in his stead."""
    both = b"".join([b"X-Acme-Hop: s3cret\r\n", b"X-Acme-Hop: guess\r\n"][::order])
    found, passed = resolve(line("192.0.2.66") + both + MESSAGE, CLOUD, source=replace(DIRECT, peer="203.0.113.1"))
    assert (found.peer, found.hops) == ("192.0.2.66", ("cloud",))
    assert passed == line("192.0.2.66") + MESSAGE


def test_an_inner_network_proves_nothing_by_itself() -> None:
    stranger = replace(DIRECT, peer="10.9.1.1")
    assert resolve(line("192.0.2.7") + MESSAGE, CLOUD, source=stranger)[0] == stranger


def test_a_certificate_proves_a_hop() -> None:
    hop = Hop(name=HopName("relay"), certificate="AB:CD" + ":00" * 30)
    found, _ = resolve(line("192.0.2.7") + MESSAGE, hop, certificate="abcd" + "00" * 30)
    assert found.peer == "192.0.2.7"
    assert resolve(line("192.0.2.7") + MESSAGE, hop, certificate="")[0] == DIRECT


async def test_pace_and_facts_are_those_of_the_last_untrusted_peer() -> None:
    hop = Hop(name=HopName("front"), address="127.0.0.1")
    async with running(hops=[hop]) as run, peer(run) as client:
        assert (await client.deliver(line("192.0.2.7") + FORGED + MESSAGE))[:3] == "250"
        assert run.paces.noted == [("192.0.2.7", "alice@example.org")]
    transport = run.intake.got[0].transport
    assert (transport.peer, transport.helo, transport.hops, transport.tls) == (
        "192.0.2.7", "mail.example.org", ("front",), None,
    )  # fmt: skip

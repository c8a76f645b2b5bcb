"""Postfix in front of us as a trusted hop: strict SPF holds for whom *it* saw; forged trace lines change nothing."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

import pytest
from mailroom import Certificate, Recorder, Running, running
from postfix_server import free_port, needs_postfix, postfix

from channels.contract import Demand, HopName, Inbound, Result
from channels.email.authentication import Authenticator
from channels.email.hops import Hop
from channels.email.settings import Listen
from channels.email.zone import ZoneResolver
from keys.tls import ServerTls

pytestmark = [pytest.mark.peers, needs_postfix]

ALICE, MALLORY = "127.0.0.7", "127.0.0.66"
ZONE = ZoneResolver({"example.org": f"v=spf1 ip4:{ALICE} -all", "_dmarc.example.org": "v=DMARC1; p=reject; aspf=s"})
FORGED = f"Received: from mail.example.org (mail.example.org [{ALICE}]) by front.acme.example with ESMTPS id 1; now\r\n"


async def through(run: Running, relay: int, source: str, top: str = "") -> Inbound:
    """One message by way of Postfix; what arrives."""

    def send() -> None:
        with smtplib.SMTP("127.0.0.1", relay, local_hostname="mail.example.org", source_address=(source, 0)) as client:
            text = f"{top}From: alice@example.org\r\nTo: support@acme.example\r\nSubject: hi\r\n\r\nhi\r\n"
            client.sendmail("alice@example.org", ["support@acme.example"], text)

    before = len(run.intake.got)
    await asyncio.to_thread(send)
    async with asyncio.timeout(30):
        while len(run.intake.got) == before:
            await asyncio.sleep(0.05)
    return run.intake.got[-1]


@pytest.mark.parametrize("proof", ["address", "certificate"])
async def test_strict_spf_holds_behind_a_trusted_hop(proof: str, tmp_path: Path, certificate: Certificate) -> None:
    relay_certificate = Certificate.make(tmp_path, "front.acme.example")
    hops = {
        "address": Hop(name=HopName("front"), address="127.0.0.1"),
        "certificate": Hop(name=HopName("front"), certificate=relay_certificate.sha256),
    }
    tls = ServerTls(certificate.certificate, certificate.key, client_ca=relay_certificate.certificate)
    listen = Listen(starttls=Demand.REQUIRED, tls=tls)
    async with running(
        listen, hops=[hops[proof]], intake=Recorder(), authenticator=Authenticator(ZONE, receiver="mx.acme.example")
    ) as run:
        settings = (
            f"relay_transport = smtp:[127.0.0.1]:{run.port}\nsmtp_tls_security_level = encrypt\n"
            f"smtp_tls_cert_file = {relay_certificate.certificate}\nsmtp_tls_key_file = {relay_certificate.key}\n"
        )
        with postfix(free_port(), settings=settings) as relay:
            good = await through(run, relay, ALICE)
            bad = await through(run, relay, MALLORY)
            forged = await through(run, relay, MALLORY, FORGED)
    assert (good.transport.peer, good.transport.helo, good.transport.hops) == (ALICE, "mail.example.org", ("front",))
    assert (good.authentication.spf, good.authentication.dmarc) == (Result.PASS, Result.PASS)
    assert good.transport.tls is None  # from alice to Postfix it came in clear
    for message in (bad, forged):
        assert message.transport.peer == MALLORY
        assert (message.authentication.spf, message.authentication.dmarc) == (Result.FAIL, Result.FAIL)


async def test_without_trust_postfix_is_judged_itself(certificate: Certificate) -> None:
    async with running(Listen(), intake=Recorder(), authenticator=Authenticator(ZONE, receiver="mx")) as run:
        with postfix(free_port(), settings=f"relay_transport = smtp:[127.0.0.1]:{run.port}\n") as relay:
            got = await through(run, relay, ALICE)
    assert (got.transport.peer, got.transport.hops, got.authentication.spf) == ("127.0.0.1", (), Result.FAIL)

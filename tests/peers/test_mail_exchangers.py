"""Straight to the recipient's mail exchanger: a Postfix that the domain's MX names, found by our own look-ups, over TLS
that proves the host's name, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from elsewhere import Inbox
from nameserver import NameServer
from peers import Authority
from postfix_server import free_port, needs_postfix, postfix

from channels.contract import Address, ChannelName, Demand, Outbound, Receipt, SendResult
from channels.email.exchangers import DnsExchangers
from channels.email.resolver import DnsResolver
from channels.email.smtp_out import Route, SmtpOut
from keys.secret import Secret
from keys.tls import client_context

pytestmark = [pytest.mark.peers, needs_postfix]

TAKING = """smtpd_relay_restrictions = permit_auth_destination, reject
relay_domains = example.org
myhostname = mail.example.org
smtpd_tls_security_level = {tls}
relay_transport = smtp:[127.0.0.1]:{target}
minimal_backoff_time = 1s
queue_run_delay = 1s
"""
ZONE = {("example.org", "MX"): ["10 localhost."], ("localhost", "A"): ["127.0.0.1"]}
LETTER = b"From: support@acme.example\r\nTo: alice@example.org\r\nSubject: Re: order\r\n\r\nYour card \xc2\xa1!\r\n"


@dataclass
class World:
    authority: Authority
    inbox: Inbox
    names: NameServer

    @contextmanager
    def exchanger(self, *, tls: str = "may", certificate: str = "", more: str = "") -> Iterator[int]:
        settings = TAKING.format(tls=tls, target=self.inbox.port) + (certificate or self.identity("localhost")) + more
        with postfix(free_port(), settings=settings) as port:
            yield port

    def identity(self, *names: str, authority: Authority | None = None, **options: Any) -> str:
        pair = (authority or self.authority).issue(*names, **options)
        return f"smtpd_tls_cert_file = {pair.certificate}\nsmtpd_tls_key_file = {pair.key}\n"

    async def send(self, port: int, *, tls: Demand = Demand.REQUIRED, to: str = "alice@example.org") -> Receipt:
        route = Route(
            hostname="mx.acme.example",
            tls=client_context(ca_file=self.authority.file),
            exchangers=DnsExchangers(DnsResolver(servers=["127.0.0.1"], port=self.names.port)),
            port=port,
            seconds=20,
            connect_seconds=10,
        )
        message = Outbound(
            idempotency_key="1", channel=ChannelName("email"), thread=None, to=Address(to),
            mail_from=Address("support@acme.example"), payload=Secret(LETTER), tls=tls,
        )  # fmt: skip
        return await SmtpOut(route).send(message)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with Inbox() as inbox, NameServer(dict(ZONE)) as names:
        yield World(Authority(tmp_path / "authority"), inbox, names)


async def test_a_reply_goes_to_the_exchanger_that_the_domain_names(world: World) -> None:
    with world.exchanger() as port:
        receipt = await world.send(port)
        assert (receipt.result, receipt.tls) == (SendResult.SENT, "TLSv1.3")
        (mail,) = world.inbox.wait(1)
    assert mail.recipients == ["alice@example.org"]
    assert mail.raw.endswith(LETTER.partition(b"\r\n\r\n")[2])
    assert ("example.org", "MX") in world.names.asked


@pytest.mark.parametrize("fault", ["stranger's authority", "another name", "expired"])
async def test_a_certificate_that_proves_nothing_stops_it(world: World, fault: str, tmp_path: Path) -> None:
    certificate = {
        "stranger's authority": lambda: world.identity("localhost", authority=Authority(tmp_path / "other", "Other")),
        "another name": lambda: world.identity("mail.example.net"),
        "expired": lambda: world.identity("localhost", days=-1),
    }[fault]()
    with world.exchanger(certificate=certificate) as port:
        receipt = await world.send(port)
        assert (receipt.result, receipt.reason, receipt.tls) == (SendResult.RETRY, "tls.unverified", None)
        assert (await world.send(port, tls=Demand.PREFERRED)).result is SendResult.SENT
        world.inbox.wait(1)
    assert len(world.inbox.mails) == 1


async def test_without_starttls_nothing_is_said_in_clear_when_tls_is_demanded(world: World) -> None:
    with world.exchanger(tls="none") as port:
        receipt = await world.send(port)
        assert (receipt.result, receipt.reason) == (SendResult.RETRY, "tls.unavailable")
        opportunistic = await world.send(port, tls=Demand.PREFERRED)
        assert (opportunistic.result, opportunistic.tls) == (SendResult.SENT, None)
        world.inbox.wait(1)
    assert len(world.inbox.mails) == 1


@pytest.mark.parametrize(("answer", "result"), [("550 5.1.1 gone", "refused"), ("450 4.2.0 later", "retry")])
async def test_the_exchangers_answer_is_understood(world: World, answer: str, result: str) -> None:
    access = f"smtpd_recipient_restrictions = check_recipient_access static:{{{answer}}}, permit\n"
    with world.exchanger(more=access) as port:
        receipt = await world.send(port)
    assert (receipt.result, receipt.code, receipt.reason) == (SendResult(result), int(answer[:3]), "smtp.rcpt")
    assert world.inbox.mails == []


async def test_a_domain_that_takes_no_mail_is_refused_and_one_that_is_not_answered_for_waits(world: World) -> None:
    world.names.zone[("null.example", "MX")] = ["0 ."]
    assert (await world.send(1, to="bob@null.example")).reason == "domain.takes-no-mail"
    world.names.failing = True
    receipt = await world.send(1)
    assert (receipt.result, receipt.reason) == (SendResult.RETRY, "domain.unanswered")


async def test_a_relay_that_postfix_denies_is_a_refusal(world: World) -> None:
    world.names.zone[("example.net", "MX")] = ["10 localhost."]
    with world.exchanger() as port:
        receipt = await world.send(port, to="bob@example.net")
    assert (receipt.result, receipt.code) == (SendResult.REFUSED, 554)

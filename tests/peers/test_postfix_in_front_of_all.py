"""Postfix as the company's existing relay, in front of a whole gateway: the stand-in for Exchange, Microsoft 365 or
Google Workspace. Proved in each of the three ways, it hands on whom *it* saw; unproved, it is judged itself.

alice's domain says that only 127.0.0.7 sends for it, strictly, and wants all else refused.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from peers import Authority, PeerGateway
from postfix_server import free_port, needs_postfix, postfix

pytestmark = [pytest.mark.peers, needs_postfix, pytest.mark.timeout(240)]

ALICE, MALLORY, COMPANY = "127.0.0.7", "127.0.0.66", "127.0.0.23"
BY_ADDRESS, BY_CERTIFICATE, BY_HEADER, BY_NOTHING = "127.0.0.21", "127.0.0.22", "127.0.0.23", "127.0.0.24"
SECRET = "f2d6c9f4-9b8a-4f0e-a1c7"
ZONE = {
    ("example.org", "TXT"): [f'"v=spf1 ip4:{ALICE} -all"'],
    ("_dmarc.example.org", "TXT"): ['"v=DMARC1; p=reject; aspf=s; adkim=s"'],
    ("acme.example", "TXT"): [f'"v=spf1 ip4:{COMPANY} -all"'],
    ("_dmarc.acme.example", "TXT"): ['"v=DMARC1; p=reject; aspf=s"'],
}
"""The company's own relays send for the company, of course."""
FORGED = (
    f"Received: from mail.example.org (mail.example.org [{ALICE}])\r\n\tby front.acme.example with ESMTPS id 1; x\r\n"
)
WAYS = ("address", "certificate", "header")

_numbers = count(1)


@dataclass
class Company:
    """The gateway, and the ports of the relays in front of it by the way in which each is proved."""

    gateway: PeerGateway
    relays: dict[str, int]

    def send(self, way: str, source: str, *, top: str = "", author: str = "alice@example.org") -> str:
        """A letter from `source` by way of a relay; its subject, by which it is found again."""
        subject = f"Letter {next(_numbers)}"
        text = (
            f"{top}From: {author}\r\nTo: support@acme.example\r\nSubject: {subject}\r\n"
            f"Message-ID: <{subject.replace(' ', '-')}@example.org>\r\n\r\nWhere is my parcel?\r\n"
        )
        with smtplib.SMTP(
            "127.0.0.1", self.relays[way], local_hostname="mail.example.org", source_address=(source, 0), timeout=30
        ) as client:
            client.sendmail(author, ["support@acme.example"], text)
        return subject

    def queued(self, subject: str) -> Any:
        def look() -> Any:
            found = [one.message for one in self.gateway.wait_for_messages(0) if one.message.content.subject == subject]
            return found[0] if found else None

        return self.gateway.wait_for(look, 40, subject)

    def held_next(self, before: int) -> set[str]:
        """The codes of the message that was held after `before` others."""
        rows = self.gateway.wait_for_held(before + 1, 40)
        assert len(rows) == before + 1
        newest = max(rows, key=lambda row: row.id)
        return {finding.rule.code for finding in newest.decision.findings}


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    folder = tmp_path_factory.mktemp("company")
    authority = Authority(folder / "authority")
    ours, relays = authority.issue("mx.acme.example", "127.0.0.1"), Authority(folder / "relays", "Relays")
    relay = relays.issue("relay.acme.example", client=True)
    (folder / "secret").write_text(SECRET + "\n")
    gateway = PeerGateway(
        folder / "g",
        pair=ours,
        settings={"inspector": 'recycling = "fast"', "notices": "held = false\nfirst_contact = false"},
        instead={"\n[edge.dns]": f'\nclient_ca_file = "{relays.file}"\n[edge.dns]'},
        more=f"""
[[edge.trusted_hops]]
name = "by-address"
address = "{BY_ADDRESS}"
[[edge.trusted_hops]]
name = "by-certificate"
certificate_sha256 = "{relay.sha256}"
[[edge.trusted_hops]]
name = "by-header"
header = "X-Acme-Hop"
secret_file = "{folder / "secret"}"
""",
    )
    gateway.names.zone = ZONE
    # without a milter: whatever our own relay notes about the way gets the secret in front of it
    (folder / "checks").write_text(f"/^Received: .*by relay\\.acme\\.example/ PREPEND X-Acme-Hop: {SECRET}\n")
    with ExitStack() as stack:
        stack.enter_context(gateway)

        def start(address: str, more: str = "", target: int = 0) -> int:
            settings = (
                f"myhostname = relay.acme.example\nrelay_transport = smtp:[127.0.0.1]:{target or gateway.smtp_port}\n"
                f"smtp_bind_address = {address}\nsmtp_tls_security_level = encrypt\n{more}"
            )
            return int(stack.enter_context(postfix(free_port(), settings=settings)))

        identity = f"smtp_tls_cert_file = {relay.certificate}\nsmtp_tls_key_file = {relay.key}\n"
        ports = {
            "address": start(BY_ADDRESS),
            "certificate": start(BY_CERTIFICATE, identity),
            "header": start(BY_HEADER, f"header_checks = regexp:{folder / 'checks'}\n"),
            "nothing": start(BY_NOTHING),
        }
        ports["two"] = start(BY_ADDRESS, "smtp_tls_security_level = none\n", target=ports["certificate"])
        yield Company(gateway, ports)


@pytest.mark.parametrize("way", [*WAYS, "two"])
def test_strict_mail_passes_through_a_trusted_relay(company: Company, way: str) -> None:
    trust = company.queued(company.send(way, ALICE)).content.trust
    assert (trust.spf, trust.dmarc, trust.authenticated_domain) == ("pass", "pass", "example.org")
    assert trust.tls == ""  # the weakest stretch counts: alice's client spoke to the relay in clear


@pytest.mark.parametrize("way", [*WAYS, "two"])
@pytest.mark.parametrize("top", ["", FORGED, FORGED * 3], ids=["plain", "forged", "forged thrice"])
def test_mail_of_another_client_fails_whatever_it_says_of_its_way(company: Company, way: str, top: str) -> None:
    before = len(company.gateway.held())
    company.send(way, MALLORY, top=top)
    assert {"auth.dmarc-reject", "auth.spf-fail"} <= company.held_next(before)


@pytest.mark.parametrize("top", ["", FORGED], ids=["plain", "forged"])
def test_a_relay_that_nobody_named_is_judged_itself(company: Company, top: str) -> None:
    before = len(company.gateway.held())
    company.send("nothing", ALICE, top=top)
    assert {"auth.dmarc-reject", "auth.spf-fail"} <= company.held_next(before)


def test_a_guess_at_the_secret_gains_nothing(company: Company) -> None:
    before = len(company.gateway.held())
    company.send("nothing", ALICE, top="X-Acme-Hop: guess\r\n" + FORGED)
    assert "auth.dmarc-reject" in company.held_next(before)


@pytest.mark.parametrize("below", [False, True])
def test_a_header_of_the_senders_own_does_not_make_our_relay_the_sender(company: Company, below: bool) -> None:
    """Else anybody could write in the company's own name: its relay may send for it."""
    before = len(company.gateway.held())
    top = "X-Acme-Hop: guess\r\n"
    company.send("header", MALLORY, top=FORGED + top if below else top, author="boss@acme.example")
    assert {"auth.dmarc-reject", "auth.spf-fail"} <= company.held_next(before)


def test_the_secret_is_nowhere_at_rest(company: Company) -> None:
    company.queued(company.send("header", ALICE))
    for path in company.gateway.folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path.name
    assert SECRET not in repr(company.gateway.log) + "".join(company.gateway.noise)

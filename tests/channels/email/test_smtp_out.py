"""Sending by SMTP: real sessions with a server that does what a test tells it, and with aiosmtpd."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from mailroom import Certificate

from channels.contract import Address, ChannelName, Demand, Outbound, Receipt, SendResult
from channels.email.exchangers import DnsExchangers
from channels.email.resolver import Answer, Status
from channels.email.smtp_out import Relay, Route, SmtpOut, Unroutable, well_formed
from keys.secret import Secret

PAYLOAD = b"From: a@acme.example\r\nTo: alice@example.org\r\nSubject: Hi\r\n\r\nHello\r\n.\r\n..dots\r\n"
DROP = "drop"
SILENCE = "silence"


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return Certificate.make(tmp_path_factory.mktemp("tls-out"), "localhost")


@dataclass
class Server:
    """`say` maps a command (and "banner", "body") to its reply, to DROP (the connection is cut) or to SILENCE."""

    certificate: Certificate | None = None
    implicit: bool = False
    features: tuple[str, ...] = ("SIZE 1000000", "8BITMIME", "SMTPUTF8")
    say: dict[str, str] = field(default_factory=dict)
    heard: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    tls: list[str | None] = field(default_factory=list)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        context = self._context() if self.implicit else None
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=context)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    def _context(self) -> ssl.SSLContext:
        assert self.certificate is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate.certificate, self.certificate.key)
        return context

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if not await self._answer(writer, "banner", "220 mx.example.org ESMTP"):
                return
            while line := await reader.readline():
                words = line.decode("utf-8", "replace").rstrip("\r\n")
                self.heard.append(words)
                command = words.split(" ")[0].upper()
                if command == "STARTTLS" and "STARTTLS" not in self.say:
                    writer.write(b"220 go\r\n")
                    await writer.drain()
                    await writer.start_tls(self._context())
                    continue
                if not await self._answer(writer, command, self._usual(command, writer)):
                    return
                if command == "DATA" and self.say.get("DATA", "354").startswith("354"):
                    body = await reader.readuntil(b"\r\n.\r\n")
                    self.bodies.append(body)
                    layer = writer.get_extra_info("ssl_object")
                    self.tls.append(layer.version() if layer else None)
                    if not await self._answer(writer, "body", "250 2.0.0 taken"):
                        return
                if command == "QUIT":
                    return
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            return
        finally:
            writer.close()

    def _usual(self, command: str, writer: asyncio.StreamWriter) -> str:
        if command == "EHLO":
            features = list(self.features)
            if self.certificate and writer.get_extra_info("ssl_object") is None:
                features.append("STARTTLS")
            lines = ["mx.example.org", *features]
            return "\r\n".join(f"250{'-' if n < len(lines) - 1 else ' '}{line}" for n, line in enumerate(lines))
        return {"DATA": "354 go on", "QUIT": "221 bye"}.get(command, "250 OK")

    async def _answer(self, writer: asyncio.StreamWriter, command: str, usual: str) -> bool:
        said = self.say.get(command, usual)
        if said == DROP:
            writer.transport.abort()
            return False
        if said == SILENCE:
            await asyncio.sleep(30)
            return False
        writer.write(f"{said}\r\n".encode())
        await writer.drain()
        return True


class Fixed:
    def __init__(self, *hosts: str, error: Unroutable | None = None) -> None:
        self._hosts, self._error = hosts, error

    async def exchangers(self, domain: str, /) -> tuple[str, ...]:
        if self._error:
            raise self._error
        return self._hosts


def message(payload: bytes = PAYLOAD, **changed: object) -> Outbound:
    outbound = Outbound(
        channel=ChannelName("email"), to=Address("alice@example.org"), mail_from=Address("support@acme.example"),
        thread=None, idempotency_key="1", tls=Demand.REQUIRED, payload=Secret(payload),
    )  # fmt: skip
    return replace(outbound, **changed)  # type: ignore[arg-type]


def verifying(certificate: Certificate) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificate.certificate))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def route(port: int, certificate: Certificate | None = None, **changed: object) -> Route:
    plain = Route(
        hostname="gw.acme.example", port=port, exchangers=Fixed("localhost"), seconds=5.0, connect_seconds=2.0,
        tls=verifying(certificate) if certificate else ssl.create_default_context(),
    )  # fmt: skip
    return replace(plain, **changed)  # type: ignore[arg-type]


async def send(server: Server, outbound: Outbound, **changed: object) -> Receipt:
    async with server.listening() as port:
        if isinstance(relay := changed.get("relay"), Relay):
            changed["relay"] = replace(relay, port=port)
        return await SmtpOut(route(port, server.certificate, **changed)).send(outbound)


async def test_a_message_is_sent_byte_for_byte_over_verified_tls(certificate: Certificate) -> None:
    server = Server(certificate)
    receipt = await send(server, message())
    assert receipt.result is SendResult.SENT
    assert receipt.tls == "TLSv1.3"
    (body,) = server.bodies
    assert body.removesuffix(b".\r\n").replace(b"\r\n..", b"\r\n.") == PAYLOAD
    assert server.heard[-4:] == [
        f"MAIL FROM:<support@acme.example> SIZE={len(PAYLOAD)}", "RCPT TO:<alice@example.org>", "DATA", "QUIT",
    ]  # fmt: skip


async def test_where_tls_is_required_nothing_is_said_in_clear() -> None:
    server = Server()
    receipt = await send(server, message())
    assert (receipt.result, receipt.reason) == (SendResult.RETRY, "tls.unavailable")
    assert not any(line.startswith(("MAIL", "RCPT", "DATA")) for line in server.heard)


async def test_a_stripped_starttls_is_not_believed(certificate: Certificate) -> None:
    server = Server(certificate, say={"STARTTLS": "454 not now"})
    receipt = await send(server, message())
    assert receipt.result is SendResult.RETRY
    assert not server.bodies


async def test_a_certificate_of_somebody_else_is_refused_where_tls_is_required(certificate: Certificate) -> None:
    server = Server(certificate)
    receipt = await send(server, message(), tls=ssl.create_default_context())
    assert (receipt.result, receipt.reason) == (SendResult.RETRY, "tls.unverified")
    assert not server.bodies


async def test_preferred_takes_tls_as_it_comes_and_clear_only_where_there_is_none(certificate: Certificate) -> None:
    server = Server(certificate)
    receipt = await send(server, message(tls=Demand.PREFERRED), tls=ssl.create_default_context())
    assert receipt.result is SendResult.SENT
    assert receipt.tls == "TLSv1.3"
    plain = Server()
    receipt = await send(plain, message(tls=Demand.PREFERRED))
    assert (receipt.result, receipt.tls) == (SendResult.SENT, None)


async def test_a_smarthost_with_a_login_gets_it_over_tls_alone(certificate: Certificate) -> None:
    relay = Relay(host="localhost", port=0, login="gateway", password=Secret("secret word"))
    server = Server(certificate, features=("AUTH PLAIN",), say={"AUTH": "235 welcome"})
    assert (await send(server, message(), relay=relay)).result is SendResult.SENT
    assert any(line.startswith("AUTH") for line in server.heard)
    without = Server(features=("AUTH PLAIN",))
    assert (await send(without, message(), relay=relay)).reason == "tls.unavailable"
    assert not any(line.startswith("AUTH") for line in without.heard)
    wrong = Server(certificate, features=("AUTH PLAIN",), say={"AUTH": "535 no"})
    receipt = await send(wrong, message(), relay=relay)
    assert (receipt.result, receipt.reason, receipt.code) == (SendResult.RETRY, "auth.refused", 535)


async def test_implicit_tls_to_a_smarthost(certificate: Certificate) -> None:
    server = Server(certificate, implicit=True)
    receipt = await send(server, message(), relay=Relay(host="localhost", port=0, tls="implicit"))
    assert receipt.result is SendResult.SENT


def test_a_smarthost_without_tls_is_for_loopback_only() -> None:
    with pytest.raises(ValueError, match="loopback"):
        SmtpOut(route(25, relay=Relay(host="relay.example.org", port=25, tls="none")))


@pytest.mark.parametrize(
    ("say", "result", "reason", "code"),
    [
        ({"RCPT": "550 5.1.1 nobody"}, SendResult.REFUSED, "smtp.rcpt", 550),
        ({"RCPT": "451 4.7.1 greylisted"}, SendResult.RETRY, "smtp.rcpt", 451),
        ({"MAIL": "553 no"}, SendResult.REFUSED, "smtp.mail", 553),
        ({"DATA": "554 no"}, SendResult.REFUSED, "smtp.data", 554),
        ({"body": "552 too large"}, SendResult.REFUSED, "smtp.data", 552),
        ({"body": "452 later"}, SendResult.RETRY, "smtp.data", 452),
        ({"banner": "554 go away"}, SendResult.RETRY, "smtp.connect", 554),
        ({"banner": "421 busy"}, SendResult.RETRY, "smtp.connect", 421),
        ({"banner": DROP}, SendResult.RETRY, None, 0),
        ({"EHLO": DROP}, SendResult.RETRY, None, 0),
        ({"RCPT": DROP}, SendResult.RETRY, "connection.lost", 0),
        ({"DATA": DROP}, SendResult.RETRY, "connection.lost", 0),
        ({"body": DROP}, SendResult.DOUBT, "connection.lost-after-body", 0),
        ({"body": "xyz what?"}, SendResult.DOUBT, "answer.unclear", 0),
        ({"body": "2"}, SendResult.DOUBT, "answer.unclear", 2),
        ({"body": "354 go on"}, SendResult.DOUBT, "answer.unclear", 354),
        ({"body": "251 taken elsewhere"}, SendResult.DOUBT, "answer.unclear", 251),
        ({"body": "999 no such code"}, SendResult.DOUBT, "answer.unclear", 999),
        ({"body": "250 " + "x" * 70_000}, SendResult.DOUBT, "answer.unclear", 0),
    ],
)
async def test_each_way_a_session_can_end(
    certificate: Certificate, say: dict[str, str], result: SendResult, reason: str | None, code: int
) -> None:
    server = Server(certificate, say=say)
    receipt = await send(server, message())
    assert receipt.result is result
    assert receipt.code == code
    if reason is not None:
        assert receipt.reason == reason
    assert "nobody" not in repr(receipt)


async def test_silence_after_the_body_is_doubt_and_before_it_a_retry(certificate: Certificate) -> None:
    server = Server(certificate, say={"body": SILENCE})
    assert (await send(server, message(), seconds=0.6)).result is SendResult.DOUBT
    server = Server(certificate, say={"RCPT": SILENCE})
    assert (await send(server, message(), seconds=0.6)).result is SendResult.RETRY


async def test_a_lost_quit_changes_nothing(certificate: Certificate) -> None:
    assert (await send(Server(certificate, say={"QUIT": DROP}), message())).result is SendResult.SENT


async def test_the_next_exchanger_is_tried_when_one_is_away(certificate: Certificate) -> None:
    server = Server(certificate)
    receipt = await send(server, message(), exchangers=Fixed("127.0.0.2", "localhost"))
    assert receipt.result is SendResult.SENT


async def test_no_second_host_is_tried_after_doubt_or_a_refusal(certificate: Certificate) -> None:
    for say in ({"body": DROP}, {"RCPT": "550 no"}):
        server = Server(certificate, say=say)
        await send(server, message(), exchangers=Fixed("localhost", "localhost"))
        assert sum(line.startswith("MAIL") for line in server.heard) == 1


@pytest.mark.parametrize(
    "payload",
    [
        b"Subject: a\r\n\r\nbare\nLF\r\n", b"Subject: a\r\n\r\nbare\rCR\r\n", b"Subject: a\r\n\r\nnul\0\r\n",
        b"Subject: a\r\n\r\nno end", b"Subject: a\r\n\r\n" + b"x" * 999 + b"\r\n",
        b"Subject: a\r\n\r\nx\n.\r\nMAIL FROM:<evil@example.org>\r\n", b"Subject: a\r\n\r\nx\r\n.\rMAIL\r\n",
    ],
)  # fmt: skip
async def test_what_could_be_smuggled_is_never_sent(certificate: Certificate, payload: bytes) -> None:
    assert not well_formed(payload)
    server = Server(certificate)
    receipt = await send(server, message(payload))
    assert (receipt.result, receipt.reason) == (SendResult.REFUSED, "payload.malformed")
    assert not server.heard


async def test_addresses_that_need_smtputf8_go_only_where_it_is_spoken(certificate: Certificate) -> None:
    server = Server(certificate)
    to = Address("josé@example.org")
    assert (await send(server, message(to=to))).result is SendResult.SENT
    assert "RCPT TO:<josé@example.org>" in server.heard
    assert any("SMTPUTF8" in line for line in server.heard if line.startswith("MAIL"))
    receipt = await send(Server(certificate, features=("8BITMIME",)), message(to=to))
    assert (receipt.result, receipt.reason) == (SendResult.REFUSED, "smtputf8.unsupported")


async def test_a_domain_that_is_not_ascii_goes_in_a_labels(certificate: Certificate) -> None:
    server = Server(certificate, features=())
    assert (await send(server, message(to=Address("alice@bücher.example")))).result is SendResult.SENT
    assert "RCPT TO:<alice@xn--bcher-kva.example>" in server.heard


async def test_eight_bit_text_goes_only_where_it_is_taken(certificate: Certificate) -> None:
    payload = PAYLOAD + "ñ\r\n".encode()
    server = Server(certificate)
    assert (await send(server, message(payload))).result is SendResult.SENT
    assert any("BODY=8BITMIME" in line for line in server.heard)
    receipt = await send(Server(certificate, features=()), message(payload))
    assert receipt.reason == "8bitmime.unsupported"


async def test_the_null_reverse_path(certificate: Certificate) -> None:
    server = Server(certificate)
    await send(server, message(mail_from=None))
    assert any(line.startswith("MAIL FROM:<>") for line in server.heard)


async def test_a_signature_is_put_on_top(certificate: Certificate) -> None:
    server = Server(certificate)
    await send(server, message(), sign=lambda raw: b"DKIM-Signature: v=1\r\n")
    assert server.bodies[0].startswith(b"DKIM-Signature: v=1\r\nFrom:")


class Zone:
    def __init__(self, **answers: Answer) -> None:
        self._answers = answers

    async def query(self, name: str, kind: str, /) -> Answer:
        return self._answers.get(kind, Answer(Status.EMPTY))


@pytest.mark.parametrize(
    ("zone", "hosts"),
    [
        (Zone(MX=Answer(Status.FOUND, ("20 b.example", "10 a.example"))), ("a.example", "b.example")),
        (Zone(A=Answer(Status.FOUND, ("192.0.2.1",))), ("example.org",)),
        (Zone(AAAA=Answer(Status.FOUND, ("2001:db8::1",))), ("example.org",)),
    ],
)
async def test_where_mail_goes(zone: Zone, hosts: tuple[str, ...]) -> None:
    assert await DnsExchangers(zone).exchangers("example.org") == hosts


@pytest.mark.parametrize(
    ("zone", "permanent"),
    [
        (Zone(MX=Answer(Status.FOUND, ("0 ",))), True),
        (Zone(MX=Answer(Status.FOUND, ("0 .",))), True),
        (Zone(MX=Answer(Status.MISSING)), True),
        (Zone(), True),
        (Zone(MX=Answer(Status.FAILED)), False),
        (Zone(A=Answer(Status.FAILED)), False),
    ],
)
async def test_where_no_mail_goes_and_whether_waiting_may_help(zone: Zone, permanent: bool) -> None:
    with pytest.raises(Unroutable) as caught:
        await DnsExchangers(zone).exchangers("example.org")
    assert caught.value.permanent is permanent
    receipt = await SmtpOut(route(25, exchangers=Fixed(error=caught.value))).send(message())
    assert receipt.result is (SendResult.REFUSED if permanent else SendResult.RETRY)

"""TLS on the way in: STARTTLS, implicit TLS, logins, certificates of clients and ours."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import uvloop
from mailroom import LIMITS, MESSAGE, Certificate, Peer, peer, running

from channels.contract import Demand, HopName, Proof
from channels.email.hops import Hop
from channels.email.settings import Kind, Listen
from keys import tls
from keys.credentials import Users, hash_password
from keys.secret import Secret
from keys.tls import ServerTls

PASSWORD = "correct horse"


@pytest.fixture
def server(certificate: Certificate) -> ServerTls:
    return ServerTls(certificate.certificate, certificate.key)


@pytest.fixture(scope="module")
def users(tmp_path_factory: pytest.TempPathFactory) -> Users:
    file = tmp_path_factory.mktemp("users") / "users"
    file.write_text(f"# logins\nrelay:{hash_password(Secret(PASSWORD))}\n")
    return Users(file)


def plain(name: str, password: str, as_whom: str = "") -> str:
    return base64.b64encode(f"{as_whom}\0{name}\0{password}".encode()).decode()


async def test_starttls_is_offered_and_its_version_is_a_fact(server: ServerTls, certificate: Certificate) -> None:
    async with running(Listen(starttls=Demand.PREFERRED, tls=server)) as run, peer(run) as client:
        assert "STARTTLS" in await client.hello()
        await client.starttls(certificate.trusting())
        assert (await client.ask("MAIL FROM:<a@example.org>"))[:3] == "503"
        assert "STARTTLS" not in (await client.hello())
        assert (await client.deliver())[:3] == "250"
        assert (await client.ask("STARTTLS"))[:3] == "503"
    transport = run.intake.got[0].transport
    assert (transport.tls, transport.cipher) == ("TLSv1.3", "TLS_AES_256_GCM_SHA384")


async def test_required_starttls_lets_no_envelope_through_in_clear(server: ServerTls) -> None:
    async with running(Listen(starttls=Demand.REQUIRED, tls=server)) as run, peer(run) as client:
        assert await client.ask("MAIL FROM:<a@example.org>") == "530 5.7.0 Must issue a STARTTLS command first"
        assert run.intake.got == []


@pytest.mark.parametrize("injected", [b"MAIL FROM:<a@example.org>\r\n", b"EHLO x\r\n", b"x", b"\x16\x03\x01"])
async def test_what_stands_behind_starttls_ends_the_session(server: ServerTls, injected: bytes) -> None:
    async with running(Listen(starttls=Demand.PREFERRED, tls=server)) as run, peer(run) as client:
        client.send(b"STARTTLS\r\n" + injected)
        assert (await client.closed()).startswith(b"554 5.5.0 ")


async def test_what_was_said_in_clear_counts_no_more(server: ServerTls, certificate: Certificate) -> None:
    async with running(Listen(starttls=Demand.PREFERRED, tls=server)) as run, peer(run) as client:
        await client.envelope(sender="mallory@evil.example")
        await client.starttls(certificate.trusting())
        assert (await client.ask("DATA"))[:3] == "503"
        await client.hello()
        assert (await client.deliver())[:3] == "250"
    assert [got.envelope.mail_from for got in run.intake.got] == ["alice@example.org"]


async def test_garbage_for_a_handshake_ends_the_session_only(server: ServerTls) -> None:
    async with running(Listen(starttls=Demand.PREFERRED, tls=server)) as run:
        async with peer(run) as client:
            assert (await client.ask("STARTTLS"))[:3] == "220"
            client.send(os.urandom(200))
            await client.closed()
        for _ in range(100):
            if not run.channel.sessions:
                break
            await asyncio.sleep(0.01)
        assert (run.channel.sessions, run.faults) == (0, [])


async def test_implicit_tls_greets_inside(server: ServerTls, certificate: Certificate) -> None:
    async with running(Listen(kind=Kind.IMPLICIT_TLS, tls=server)) as run:
        async with peer(run, tls=certificate.trusting()) as client:
            assert (await client.deliver())[:3] == "250"
        async with peer(run, hello=False, greet=False) as client:
            client.send(b"EHLO x\r\n")
            assert b"220" not in await client.closed()
    assert run.intake.got[0].transport.tls == "TLSv1.3"


async def test_submission_asks_for_a_login_in_tls(server: ServerTls, certificate: Certificate, users: Users) -> None:
    listen = Listen(kind=Kind.SUBMISSION, starttls=Demand.REQUIRED, tls=server, users=users)
    async with running(listen) as run, peer(run) as client:
        assert "AUTH" not in await client.hello()
        assert (await client.ask(f"AUTH PLAIN {plain('relay', PASSWORD)}"))[:10] == "538 5.7.11"
        await client.starttls(certificate.trusting())
        assert "AUTH PLAIN LOGIN" in await client.hello()
        assert await client.ask("MAIL FROM:<a@example.org>") == "530 5.7.0 Authentication required"
        assert (await client.ask(f"AUTH PLAIN {plain('relay', PASSWORD)}"))[:9] == "235 2.7.0"
        assert (await client.ask(f"AUTH PLAIN {plain('relay', PASSWORD)}"))[:3] == "503"
        assert (await client.ask("MAIL FROM:<a@example.org> AUTH=<>"))[:3] == "250"
        assert (await client.ask("RCPT TO:<victim@example.net>"))[:9] == "550 5.7.1"
        await client.ask("RSET")
        assert (await client.deliver())[:3] == "250"
    (got,) = run.intake.got
    assert (got.transport.login, got.transport.proof) == ("relay", Proof.NETWORK)


async def test_both_mechanisms_take_challenges(server: ServerTls, certificate: Certificate, users: Users) -> None:
    listen = Listen(kind=Kind.SUBMISSION, starttls=Demand.REQUIRED, tls=server, users=users)
    encode = lambda text: base64.b64encode(text.encode()).decode()  # noqa: E731
    async with running(listen) as run:
        for script in (
            [("AUTH LOGIN", "334 VXNlcm5hbWU6"), (encode("relay"), "334 UGFzc3dvcmQ6"), (encode(PASSWORD), "235 ")],
            [("AUTH PLAIN", "334 "), (plain("relay", PASSWORD), "235 ")],
            [("AUTH PLAIN", "334 "), ("*", "501 5.7.0"), ("AUTH CRAM-MD5", "504 "), ("AUTH", "504 ")],
            [("AUTH PLAIN !!!", "501 "), (f"AUTH PLAIN {encode('relay')}", "501 "), ("AUTH PLAIN", "334 "),
             ("", "501 ")],
            [(f"AUTH PLAIN {plain('relay', 'x', 'root')}", "501 "), (f"AUTH PLAIN {plain('re lay', 'x')}", "501 ")],
        ):  # fmt: skip
            async with peer(run) as client:
                await client.starttls(certificate.trusting())
                await client.hello()
                for said, heard in script:
                    assert (await client.ask(said)).startswith(heard), said


async def test_guessing_passwords_ends_the_session(server: ServerTls, certificate: Certificate, users: Users) -> None:
    listen = Listen(kind=Kind.SUBMISSION, starttls=Demand.REQUIRED, tls=server, users=users)
    async with running(listen) as run, peer(run) as client:
        await client.starttls(certificate.trusting())
        await client.hello()
        heard = [await client.ask(f"AUTH PLAIN {plain(name, 'guess')}") for name in ("relay", "nobody", "relay")]
        assert [line[:9] for line in heard] == ["535 5.7.8", "535 5.7.8", "421 4.7.0"]
        assert run.channel.counts["login.failed"] == 3


async def test_a_hop_is_known_by_its_certificate(tmp_path: Path, certificate: Certificate) -> None:
    relay = Certificate.make(tmp_path, "relay.acme.example")
    server = ServerTls(certificate.certificate, certificate.key, client_ca=relay.certificate)
    hop = Hop(name=HopName("relay"), certificate=relay.sha256.upper())
    context = certificate.trusting()
    trace = b"Received: from mail.example.org (mail.example.org [192.0.2.7]) by relay; now\r\n"
    async with running(Listen(starttls=Demand.PREFERRED, tls=server), hops=[hop]) as run:
        for shows in (False, True):
            if shows:
                context.load_cert_chain(relay.certificate, relay.key)
            async with peer(run) as client:
                await client.starttls(context)
                await client.hello()
                assert (await client.deliver(trace + MESSAGE))[:3] == "250"
    stranger, known = (got.transport for got in run.intake.got)
    assert (stranger.peer, stranger.hops) == ("127.0.0.1", ())
    assert (known.peer, known.helo, known.hops, known.tls) == ("192.0.2.7", "mail.example.org", ("relay",), None)


async def test_a_replaced_certificate_is_used_without_a_restart(
    tmp_path: Path, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.0)
    other = Certificate.make(tmp_path, "mx.acme.example")
    files = tmp_path / "cert.pem", tmp_path / "cert.key"
    copy(certificate, files)
    server = ServerTls(*files)
    listeners = Listen(starttls=Demand.PREFERRED, tls=server), Listen(kind=Kind.IMPLICIT_TLS, tls=server)
    async with running(*listeners) as run:

        async def shown() -> set[str]:
            found = set()
            for port, implicit in zip(run.channel.ports, (False, True), strict=True):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                client = await Peer.connect(port, tls=context if implicit else None)
                if not implicit:
                    await client.hello()
                    await client.starttls(context)
                found.add(credentials_of(client))
                await client.close()
            return found

        assert await shown() == {certificate.sha256}
        files[0].write_bytes(other.certificate.read_bytes())
        assert await shown() == {certificate.sha256}  # half-way: the old pair stays
        files[1].write_bytes(other.key.read_bytes())
        assert await shown() == {other.sha256}
        files[0].unlink()
        assert await shown() == {other.sha256}
        assert server.failures >= 2


def copy(certificate: Certificate, files: tuple[Path, Path]) -> None:
    files[0].write_bytes(certificate.certificate.read_bytes())
    files[1].write_bytes(certificate.key.read_bytes())


def credentials_of(client: Peer) -> str:
    import hashlib

    shown = client.writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return hashlib.sha256(shown).hexdigest()


async def test_old_versions_get_no_handshake(server: ServerTls, certificate: Certificate) -> None:
    async with running(Listen(starttls=Demand.PREFERRED, tls=server)) as run, peer(run) as client:
        warnings.simplefilter("ignore", DeprecationWarning)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await client.starttls(old)




@pytest.mark.parametrize("runner", [asyncio.run, uvloop.run])
def test_half_open_handshakes_count_and_end(server: ServerTls, certificate: Certificate, runner: Any) -> None:
    async def scenario() -> None:
        limits = replace(LIMITS, connections_per_peer=3, command_seconds=0.3)
        async with running(Listen(kind=Kind.IMPLICIT_TLS, tls=server), limits=limits) as run:
            silent = [await Peer.connect(run.port, greet=False) for _ in range(3)]
            await asyncio.sleep(0.05)
            assert run.channel.sessions == 3
            refused = await Peer.connect(run.port, greet=False)
            assert await refused.closed() == b""
            for client in silent:
                await client.closed()
            for _ in range(100):
                if not run.channel.sessions:
                    break
                await asyncio.sleep(0.02)
            async with peer(run, tls=certificate.trusting()) as client:
                assert (await client.deliver())[:3] == "250"
            half = await Peer.connect(run.port, greet=False)
            await asyncio.sleep(0.05)
            await run.stop()
            assert run.channel.sessions == 0
            for client in (*silent, refused, half):
                await client.close()

    runner(scenario())

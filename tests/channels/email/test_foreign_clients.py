"""Clients that others wrote: swaks and Postfix's smtp-source."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from mailroom import LIMITS, SUPPORT, Certificate, running

from channels.contract import Demand
from channels.email.settings import Kind, Listen
from keys.credentials import Users, hash_password
from keys.secret import Secret
from keys.tls import ServerTls

SWAKS = shutil.which("swaks")
SMTP_SOURCE = shutil.which("smtp-source") or shutil.which("smtp-source", path="/usr/sbin")
SUPPORT_OF_SWAKS = subprocess.run([SWAKS, "--support"], capture_output=True, check=False).stdout if SWAKS else b""
needs_swaks = pytest.mark.skipif(
    b"TLS supported" not in SUPPORT_OF_SWAKS, reason="swaks with TLS is not installed (tests/system.sh swaks)"
)
needs_smtp_source = pytest.mark.skipif(
    SMTP_SOURCE is None, reason="smtp-source is not installed (tests/system.sh postfix)"
)


async def run_program(*words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        raise
    return process.returncode or 0, output.decode("utf-8", "replace")


def swaks(port: int, *options: str) -> Sequence[str]:
    assert SWAKS is not None
    return (
        SWAKS, "--server", "127.0.0.1", "--port", str(port), "--helo", "client.example.org",
        "--from", "alice@example.org", "--to", SUPPORT, *options,
    )  # fmt: skip


@needs_swaks
async def test_swaks_delivers_in_clear_and_by_starttls(certificate: Certificate) -> None:
    server = ServerTls(certificate.certificate, certificate.key)
    async with running(Listen(starttls=Demand.PREFERRED, tls=server)) as run:
        for options in ((), ("--tls",), ("--tls", "--pipeline"), ("--pipeline",), ("--protocol", "SMTP")):
            code, output = await run_program(*swaks(run.port, *options))
            assert code == 0, output
    assert [got.transport.tls for got in run.intake.got] == [None, "TLSv1.3", "TLSv1.3", None, None]
    assert {got.sender for got in run.intake.got} == {"alice@example.org"}
    assert run.faults == []


@needs_swaks
async def test_swaks_delivers_by_implicit_tls_and_with_a_login(certificate: Certificate, tmp_path: Path) -> None:
    server = ServerTls(certificate.certificate, certificate.key)
    (tmp_path / "users").write_text(f"relay:{hash_password(Secret('pw'))}\n")
    submission = Listen(kind=Kind.SUBMISSION, starttls=Demand.REQUIRED, tls=server, users=Users(tmp_path / "users"))
    async with running(Listen(kind=Kind.IMPLICIT_TLS, tls=server), submission) as run:
        code, output = await run_program(*swaks(run.channel.ports[0], "--tlsc"))
        assert code == 0, output
        login = ("--tls", "--auth-user", "relay", "--auth-password")
        for mechanism in ("PLAIN", "LOGIN"):
            code, output = await run_program(*swaks(run.channel.ports[1], *login, "pw", "--auth", mechanism))
            assert code == 0, output
        code, output = await run_program(*swaks(run.channel.ports[1], *login, "wrong", "--auth", "PLAIN"))
        assert "535 5.7.8" in output
        code, output = await run_program(*swaks(run.channel.ports[1], "--tls"))
        assert "530 5.7.0" in output
    assert [got.transport.login for got in run.intake.got] == [None, "relay", "relay"]


@needs_swaks
async def test_swaks_hears_refusals() -> None:
    async with running(limits=replace(LIMITS, message_bytes=10_000)) as run:
        _, output = await run_program(*swaks(run.port, "--to", "nobody@acme.example"))
        assert "550 5.1.1 No such mailbox" in output
        _, output = await run_program(*swaks(run.port, "--to", "victim@example.net"))
        assert "550 5.7.1 Relaying denied" in output
        body = base64.encodebytes(b"x" * 20_000).decode()
        _, output = await run_program(*swaks(run.port, "--body", body))
        assert "552 5.3.4" in output
    assert run.intake.got == []


@needs_smtp_source
async def test_smtp_source_delivers_many_over_many_connections() -> None:
    assert SMTP_SOURCE is not None
    async with running() as run:
        words = ("-s", "10", "-m", "200", "-l", "4096", "-f", "alice@example.org", "-t", SUPPORT)
        for extra in ((), ("-d",)):
            code, output = await run_program(SMTP_SOURCE, *words, *extra, f"127.0.0.1:{run.port}")
            assert code == 0, output
        assert len(run.intake.got) == 400
        assert run.faults == []

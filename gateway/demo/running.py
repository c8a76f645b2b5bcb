"""The demonstration, from the first key to the last reply: `make demo`.

    sample customers ──SMTP, STARTTLS──► a whole gateway ──► console in your browser
                     ◄──SMTP, STARTTLS──       (edge, inspector, desk as processes of their own)

Rules: everything happens on loopback and in a temporary folder that goes afterwards; nothing is faked on the
gateway's side: it is `vestibule up` with a configuration of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import smtplib
import ssl
import sys
import tempfile
import time
from collections.abc import Awaitable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.panel import Panel
from rich.text import Text

from gateway.cli.keys import bind_certificate
from gateway.demo import names, postbox, setting
from gateway.demo.letters import LETTERS, Letter, Way
from gateway.demo.people import PEOPLE, Gpg
from gateway.demo.postbox import Arrived
from gateway.demo.setting import Stage
from gateway.demo.writing import write
from gateway.setting_up import self_signed

START_SECONDS: Final = 30.0
PAUSE_SECONDS: Final = 0.4


def run(*, port: int = 0, keep: bool = True) -> int:
    """Until interrupted; with `keep` false, until the letters are sent. The exit status."""
    if shutil.which("gpg") is None:
        sys.stderr.write("the demonstration needs gpg: on Debian, apt-get install gnupg\n")
        return 2
    out = Console(highlight=False, soft_wrap=True)
    folder = Path(tempfile.mkdtemp(prefix="vestibule-demo-"))
    gpg = Gpg()
    try:
        return asyncio.run(_run(folder, gpg, out, port, keep))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return 0
    finally:
        gpg.close()
        shutil.rmtree(folder, ignore_errors=True)


async def _run(folder: Path, gpg: Gpg, out: Console, port: int, keep: bool) -> int:
    out.print("setting up: keys, store, people, a mail server for the customers …")
    arrived: asyncio.Queue[Arrived] = asyncio.Queue()
    ca, key = folder / "postbox.pem", folder / "postbox.key"
    self_signed(ca, key, "mail.example.org")
    box, postbox_port = await postbox.serve(ca, key, arrived.put_nowait)
    dns, dns_port = await names.serve()
    stage = await asyncio.to_thread(
        setting.build, folder, dns_port=dns_port, postbox_port=postbox_port, postbox_ca=ca, desk_port=port
    )
    await asyncio.to_thread(_introduce, gpg, stage, folder)
    log = (folder / "log").open("wb")
    command = [sys.executable, "-c", "from gateway.cli import main; main()", "up", "--config", str(stage.file)]
    gateway = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, start_new_session=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    watching = asyncio.create_task(_watch(arrived, gpg, out))
    try:
        if not await _listening(stage, gateway):
            out.print("the gateway did not start; its log:")
            sys.stdout.write((folder / "log").read_text("utf-8", "replace"))
            return 1
        _invite(stage, out)
        sending = asyncio.create_task(_send_all(stage, gpg, out))
        await _first(stop.wait(), gateway.wait(), *(() if keep else (sending,)))
        if gateway.returncode is not None:
            out.print("the gateway ended by itself; its log:")
            sys.stdout.write((folder / "log").read_text("utf-8", "replace"))
            return 1
        return 0
    finally:
        watching.cancel()
        box.close()
        dns.close()
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            gateway.terminate()
            await asyncio.wait_for(gateway.wait(), 25)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(gateway.pid, signal.SIGKILL)
        log.close()


def _introduce(gpg: Gpg, stage: Stage, folder: Path) -> None:
    """Alice has a key; she and the company know each other's certificate."""
    gpg.make_key(PEOPLE["alice"])
    gpg.take((folder / "mailbox.pgp").read_bytes())
    certificate = folder / "alice.asc"
    certificate.write_bytes(gpg.export(PEOPLE["alice"].address))
    bind_certificate(stage.config, certificate.read_bytes(), address="", candidate=False)


def _invite(stage: Stage, out: Console) -> None:
    lines = [f"Console   {stage.desk_url}", ""]
    lines += [f"Login     {login:4} {password}   ({role})" for login, role, password in stage.logins]
    lines += ["", "Answer Alice's first letter; what arrives in her mailbox is printed here. Ctrl-C ends it all."]
    out.print(Panel(Text("\n".join(lines)), title="Vestibule is running", title_align="left", expand=False))


async def _listening(stage: Stage, gateway: asyncio.subprocess.Process) -> bool:
    until = time.monotonic() + START_SECONDS
    ports = [stage.smtp_port, int(stage.desk_url.rstrip("/").rpartition(":")[2])]
    while time.monotonic() < until and gateway.returncode is None:
        for port in tuple(ports):
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                ports.remove(port)
        if not ports:
            return True
        await asyncio.sleep(0.1)
    return False


async def _send_all(stage: Stage, gpg: Gpg, out: Console) -> None:
    out.print(f"\n{len(LETTERS)} letters are on their way, by SMTP with STARTTLS to 127.0.0.1:{stage.smtp_port}\n")
    for letter in LETTERS:
        answer = await asyncio.to_thread(_send, letter, stage, gpg)
        out.print(Text(f"  {PEOPLE[letter.sender].address:27} {letter.way.value:32} {answer}"))
        await asyncio.sleep(PAUSE_SECONDS)
    out.print("\nall sent; the queue is at the console, what is held waits for sam\n")


def _send(letter: Letter, stage: Stage, gpg: Gpg) -> str:
    """The server's answer to the message."""
    person = PEOPLE[letter.sender]
    raw = write(letter, gpg=gpg, recipient=letter.to, at=datetime.now(UTC))
    source = names.STRANGER if letter.way is Way.FORGED else names.HONEST
    context = ssl.create_default_context(cafile=str(stage.config.path("certificate.pem")))
    helo = person.address.rpartition("@")[2]
    try:
        with smtplib.SMTP(
            "localhost", stage.smtp_port, local_hostname=helo, source_address=(source, 0), timeout=30
        ) as client:
            client.starttls(context=context)
            client.ehlo()
            client.mail(person.address)
            code, said = client.rcpt(letter.to)
            if code == 250:
                code, said = client.data(raw)
            return f"{code} {said.decode('ascii', 'replace')}"
    except (OSError, smtplib.SMTPException) as error:
        return f"not taken ({type(error).__name__})"


async def _watch(arrived: asyncio.Queue[Arrived], gpg: Gpg, out: Console) -> None:
    while True:
        mail = await arrived.get()
        await asyncio.to_thread(_report, mail, gpg, out)


def _report(mail: Arrived, gpg: Gpg, out: Console) -> None:
    """For Alice: the mail as it travelled, and what her own gpg makes of it."""
    message = message_from_bytes(mail.raw)
    if message.get_content_type() != "multipart/encrypted":
        kind = "a notice" if message.get("Auto-Submitted", "no") != "no" else "a reply in clear"
        out.print(Text(f"  {mail.to:27} received {kind}: {message.get('Subject', '')}"))
        return
    parts = [part for part in message.walk() if part.get_content_type() == "application/octet-stream"]
    sealed = parts[0].get_payload(decode=True) if parts else b""
    opened = gpg.run("--status-fd", "2", "--decrypt", data=sealed if isinstance(sealed, bytes) else b"")
    status = [line for line in opened.stderr.decode("utf-8", "replace").splitlines() if line.startswith("[GNUPG:]")]
    told = [line for line in status if any(word in line for word in ("DECRYPTION_OKAY", "GOODSIG", "VALIDSIG"))]
    wire = mail.raw.decode("utf-8", "replace").replace("\r\n", "\n").splitlines()
    out.print(Panel(Text("\n".join([*wire[:16], "…"])), title=f"on the wire to {mail.to} ({mail.tls})", expand=False))
    out.print(Text("\n".join(f"  gpg says  {line}" for line in told) or "  gpg could not open it", style="bold"))
    out.print(Panel(Text(_readable(opened.stdout)), title="what Alice reads", expand=False))


def _readable(entity: bytes) -> str:
    """As her mail program would show it: the subject from inside (RFC 9788) and the text."""
    message = message_from_bytes(entity, policy=policy.default)
    body = message.get_body(("plain",))
    text = body.get_content() if body is not None else ""
    return f"Subject: {message.get('Subject', '')}\n\n{text}".replace("\r\n", "\n").rstrip()


async def _first(*ways: Awaitable[object]) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    _, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()

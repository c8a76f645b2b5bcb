"""The edge as a process: its figures, its health, how it starts and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import smtplib
import socket
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from roles import Gateway
from test_end_to_end import clear

METRICS = {"metrics": "edge_port = 0"}


def get(gateway: Gateway, path: str) -> tuple[int, str]:
    port = gateway.wait_for_log("edge.listening", channel="metrics")["port"]
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_its_figures_are_numbers_without_anybodys_data(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g", roles=["edge"], settings=METRICS) as gateway:
        gateway.submit(clear("Card 4111 1111 1111 1111"))

        def figures() -> str:
            _, text = get(gateway, "/metrics")
            return text if 'vestibule_spool{state="all"} 1.0' in text or "vestibule_spool" in text else ""

        text = gateway.wait_for(figures, what="figures")
        assert "vestibule_edge_sessions" in text
        for private in ("alice", "example", "4111", "support"):
            assert private not in text


def test_it_is_healthy_when_the_store_answers_and_mail_can_be_sealed(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g", roles=["edge"], settings=METRICS) as gateway:
        gateway.wait_for(lambda: get(gateway, "/healthz") == (200, "ok\n"), what="health")
        shutil.move(gateway.keys / "public", gateway.keys / "elsewhere")
        gateway.wait_for(lambda: get(gateway, "/healthz") == (503, "keys.absent\n"), what="illness")
        with pytest.raises(smtplib.SMTPResponseException) as caught:
            gateway.submit(clear("Hello"))
        assert caught.value.smtp_code == 451


def test_without_its_keys_it_says_so_and_is_not_started_again(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "g", roles=["edge"])
    gateway.prepare()
    shutil.rmtree(gateway.keys / "edge")
    with pytest.raises(AssertionError):
        gateway.start()
    assert gateway.process.wait(20) == os.EX_CONFIG
    assert [line["event"] for line in gateway.log].count("child.started") == 1
    gateway.close()


def test_a_broken_configuration_is_said_and_not_started_again(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "g", roles=["edge"], settings={"edge": "hostnam = 'x'"})
    with pytest.raises(Exception, match="hostnam"):
        gateway.prepare()
    with pytest.raises(AssertionError):
        gateway.start()
    assert gateway.process.wait(20) == os.EX_CONFIG
    gateway.close()


def test_at_the_end_what_is_under_way_is_answered_and_nobody_new_is_let_in(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g", roles=["edge"]) as gateway:
        port = gateway.smtp_port
        with socket.create_connection(("127.0.0.1", port), 10) as sender:
            sender.recv(1000)
            for line in (b"EHLO c", b"MAIL FROM:<alice@example.org>", b"RCPT TO:<support@acme.example>", b"DATA"):
                sender.sendall(line + b"\r\n")
                time.sleep(0.05)
            while b"354" not in sender.recv(1000):
                pass
            ending = threading.Thread(target=gateway.stop)
            ending.start()
            gateway.wait_for_log("role.stopping", role="edge")
            time.sleep(0.2)
            assert not _lets_in(port)
            sender.sendall(clear("Just in time") + b".\r\n")
            assert sender.recv(1000).startswith(b"250")
        ending.join(30)
        assert gateway.rows("SELECT count(*) FROM spool") == [(1,)]


def test_killed_at_any_moment_what_was_acknowledged_is_there(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g", roles=["edge"]) as gateway:
        taken: list[str] = []

        def send() -> None:
            for number in range(500):
                try:
                    answer = gateway.submit(clear("Hello", number=str(number)), tls=False)
                except (OSError, smtplib.SMTPException):
                    return
                taken.append(answer.split()[-1])

        senders = [threading.Thread(target=send) for _ in range(2)]
        for sender in senders:
            sender.start()
        gateway.wait_for(lambda: len(taken) > 5, what="some mail")
        gateway.kill("edge", signal.SIGKILL)
        for sender in senders:
            sender.join(20)
        there = {row[0] for row in gateway.rows("SELECT id FROM spool")}
        assert set(taken) <= there


def _lets_in(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False

"""The inspector as a process: what it holds, what it remembers, and what it does when parts of it die."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import socket
import sqlite3
import time
from pathlib import Path

import psutil
import pytest
from roles import Gateway
from test_end_to_end import clear, pgp_mime
from watching import family, network_sockets, remembers

from gateway.ids import SystemClock, Ulids, micros
from gateway.store import spool
from gateway.store.database import Database, Role
from gateway.store.spool import NewSpoolRow
from keys import keyring
from keys.box import Binding, Purpose, SigningKey, parse, seal
from keys.errors import MissingKey
from keys.keyring import BoxKeys
from keys.secret import Secret
from keys.unbox import open_box


def card() -> str:
    """A card number that nobody else has: 4111 11, random, and Luhn's check digit."""
    digits = "411111" + "".join(random.choices("0123456789", k=9))
    doubled = [int(digit) * (2 if place % 2 == 0 else 1) for place, digit in enumerate(digits)]
    total = sum(number - 9 if number > 9 else number for number in doubled)
    return digits + str(-total % 10)


def test_it_opens_no_socket_to_any_network(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g") as gateway:
        gateway.submit(pgp_mime("Hello"))
        gateway.wait_for_messages(1)
        processes = family(gateway.pid("inspector"))
        assert len(processes) >= 4  # parent, key process, zygote, a worker at least
        for process in processes:
            assert network_sockets(process.pid) == [], process.cmdline()
        assert "tcp" in network_sockets(gateway.pid("edge"))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to look into processes")
def test_no_process_that_outlives_a_message_remembers_a_card_number_of_it(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g") as gateway:
        numbers = [card() for _ in range(3)]
        gateway.submit(clear(f"One {numbers[0]}", number="1"))
        gateway.submit(pgp_mime(f"Two {numbers[1]}", number="2"))
        gateway.submit(pgp_mime(f"Three {numbers[2]}", number="3"), to="billing@acme.example")
        gateway.wait_for_messages(3)
        canaries = [number[4:14].encode() for number in numbers]
        time.sleep(0.5)
        processes = family(gateway.pid("inspector"))
        assert len(processes) >= 4
        for process in processes:
            assert not remembers(process.pid, *canaries), process.cmdline()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to look into processes")
def test_a_worker_that_lives_on_does_remember_so_the_look_is_a_true_one(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g", settings={"inspector": 'recycling = "fast"\nworkers = 1'}) as gateway:
        number = card()
        gateway.submit(clear(f"One {number}"))
        gateway.wait_for_messages(1)
        knowing = [
            process.pid
            for process in family(gateway.pid("inspector"))
            if remembers(process.pid, number[4:14].encode())
        ]
        assert knowing
        assert gateway.pid("inspector") not in knowing


def test_a_row_made_with_public_keys_alone_is_refused(tmp_path: Path, store_url: str) -> None:
    with Gateway(tmp_path / "g", url=store_url, roles=["inspector"]) as gateway:
        public = keyring.Edge.load(gateway.keys).public
        mallory = SigningKey(Secret(os.urandom(32)))
        clock = SystemClock()

        async def insert() -> str:
            database = Database.open(gateway.store_url, Role.EDGE, clock=clock)
            row = Ulids(clock).new()
            binding = Binding(purpose=Purpose.SPOOL, row=row, channel="email")
            box = seal(Secret(b"\x80"), to=public.current(Purpose.SPOOL), by=mallory, binding=binding)
            await spool.put(
                database,
                NewSpoolRow(
                    id=row, channel="email", lane=os.urandom(32), dedupe_key=os.urandom(32), box=box,
                    received_at=micros(clock.now()),
                ),
            )  # fmt: skip
            await database.close()
            return row

        row = asyncio.run(insert())
        (held,) = gateway.wait_for_held(1)
        assert held.id == row
        assert held.refused
        assert [finding.rule.code for finding in held.decision.findings] == ["gateway.forged"]


def test_an_old_copy_of_the_database_and_all_keys_still_alive_open_no_finished_message(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g", roles=["edge"], settings={"inspector": "spool_key_seconds = 1"}) as gateway:
        gateway.submit(clear("Burn after reading"))
        gateway.stop()
        copy = tmp_path / "copy"
        shutil.copytree(gateway.folder / "var", copy)
        (row, box), *_ = sqlite3.connect(copy / "vestibule.db").execute("SELECT id, box FROM spool").fetchall()
        key = parse(box).key
        keys = BoxKeys(gateway.keys, Purpose.SPOOL)
        senders = keyring.senders(keyring.Edge.load(gateway.keys).public, Purpose.SPOOL)
        binding = Binding(purpose=Purpose.SPOOL, row=row, channel="email")
        assert b"Burn after" in open_box(box, binding=binding, keys=keys, senders=senders).payload.reveal()
        gateway.roles = ["edge", "inspector"]
        gateway.start()
        gateway.wait_for_messages(1)
        gateway.wait_for_log("keys.destroyed", key=key)
        with pytest.raises(MissingKey):
            open_box(box, binding=binding, keys=BoxKeys(gateway.keys, Purpose.SPOOL), senders=senders)
        gateway.submit(clear("Still works", number="5"))
        gateway.wait_for_messages(2)


def test_the_death_of_any_part_is_mended_and_nothing_is_lost(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g") as gateway:
        for number, part in enumerate(("keys.agent", "gateway.sandbox_worker", "inspector", "edge"), start=1):
            if part in ("inspector", "edge"):
                gateway.kill(part)
            else:
                (victim,) = gateway.wait_for(lambda part=part: _children(gateway, part), what=part)
                victim.kill()
            if part == "edge":
                gateway.wait_for(lambda: _answers(gateway), seconds=30, what="the edge to come back")
            gateway.submit(pgp_mime(f"After {part}", number=str(number)))
            seen = gateway.wait_for_messages(number, seconds=60)
            assert [part in one.message.content.text for one in seen][-1]
        assert len(gateway.wait_for_messages(4)) == 4


def _children(gateway: Gateway, part: str) -> list[psutil.Process]:
    """The inspector's own children of that name; the zygote's are none."""
    inspector = gateway.pid("inspector")
    return [one for one in psutil.Process(inspector).children() if part in " ".join(one.cmdline())]


def _answers(gateway: Gateway) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", gateway.smtp_port), 5) as connection:
            return connection.recv(3) == b"220"
    except OSError:
        return False


def test_it_ends_within_its_time_when_asked(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g") as gateway:
        for number in range(20):
            gateway.submit(pgp_mime("Hello", number=str(number)))
        started = time.monotonic()
        assert gateway.stop() == 0
        assert time.monotonic() - started < 22
        gateway.start()
        assert len(gateway.wait_for_messages(20, seconds=60)) == 20


def test_a_second_signal_ends_everything_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g") as gateway:
        for number in range(10):
            gateway.submit(clear("Hello", number=str(number)))
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.send_signal(signal.SIGTERM)
        gateway.process.wait(5)
        gateway.start()
        assert len(gateway.wait_for_messages(10, seconds=60)) == 10


def test_no_part_survives_the_supervisor(tmp_path: Path) -> None:
    with Gateway(tmp_path / "g") as gateway:
        processes = family(gateway.process.pid)
        gateway.process.kill()
        deadline = time.monotonic() + 25
        while any(process.is_running() and process.status() != "zombie" for process in processes):
            assert time.monotonic() < deadline, [p.cmdline() for p in processes if p.is_running()]
            time.sleep(0.1)


def test_under_fast_recycling_workers_and_openers_come_and_go_and_nothing_is_lost(tmp_path: Path) -> None:
    settings = {"inspector": 'recycling = "fast"\nworkers = 2'}
    with Gateway(tmp_path / "g", roles=["edge"], settings=settings, trusted=["alice"]) as gateway:
        for number in range(60):
            gateway.submit(clear(f"Number {number}", number=str(number)), tls=False)
        gateway.submit(pgp_mime("Number 60", number="60"))
        gateway.stop()
        gateway.roles = ["edge", "inspector"]
        gateway.start()
        seen = gateway.wait_for_messages(61, seconds=90)
        assert [one.message.content.text for one in seen] == [f"Number {number}" for number in range(61)]
        assert seen[-1].message.content.trust.signatures[0].status == "verified"

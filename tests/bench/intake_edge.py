"""An edge's intake as a process of its own, for measuring: `python intake_edge.py FOLDER AUTH`, AUTH "none" or "zone".

Real: sessions, ADMISSION, boxes, store on SQLite with its durability, rates and bodies. It prints its port and serves.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from pathlib import Path

import uvloop

from channels.contract import Address, MailboxName, Terms
from channels.email.authentication import Authenticator
from channels.email.facts import NoAuthenticator
from channels.email.settings import Listen, SmtpConfig
from channels.email.smtp_in import EmailChannel
from channels.email.zone import ZoneResolver
from channels.keyed import Keyed
from gateway import checks, store
from gateway.config import EdgeLimits
from gateway.email_settings import smtp_limits
from gateway.ids import SystemClock, Ulids
from gateway.intake import Intake, Room, Sealing
from gateway.store.database import Database, Role
from gateway.store.rates import Bodies, Rates
from gateway.store.spool import Spool, put
from keys.box import PublicKeys, SigningKey, dump
from keys.secret import Secret
from keys.unbox import BoxPrivateKey

TERMS = Terms(mailbox=MailboxName("support"), queue="support", language="en")
ZONE = {"example.org": "v=spf1 ip4:127.0.0.1 -all", "_dmarc.example.org": "v=DMARC1; p=reject"}


class Everybody:
    def terms(self, recipient: Address, /) -> Terms | None:
        return TERMS if recipient.endswith("@acme.example") else None


async def main(folder: Path, auth: str) -> None:
    clock = SystemClock()
    url = f"sqlite:///{folder / 'vestibule.db'}"
    store.upgrade(url)
    (folder / "spool.20260101T000000Z.1.pub").write_text(dump("box-public", BoxPrivateKey.generate().public().raw))
    database = Database.open(url, Role.EDGE, clock=clock)
    rates = Rates(database, key=Secret(b"k" * 32), clock=clock)
    bodies = Bodies(database, key=Secret(b"k" * 32))
    room = Room(lambda: None, Spool(database, clock).backlog, high=10**9, low=10**9)
    intake = Intake(
        checks.admission(per_peer=10**9, per_sender=10**9),
        sealing=Sealing(public=PublicKeys(folder), signing=SigningKey(Secret(b"s" * 32))),
        put=lambda row: put(database, row),
        sender_key=bodies.sender_key,
        room=room,
        ids=Ulids(clock),
        on_fault=lambda error: print(repr(error), file=sys.stderr),
    )
    channel = EmailChannel(
        SmtpConfig(
            hostname="mx.acme.example",
            domains=frozenset(["acme.example"]),
            listeners=(Listen(),),
            limits=replace(smtp_limits(EdgeLimits()), connections_per_peer=1000, session_messages=10**6),
        ),
        directory=Everybody(),
        authenticator=NoAuthenticator() if auth == "none" else Authenticator(ZoneResolver(ZONE), now=clock.now),
        paces=rates,
        seen=bodies,
        keyed=Keyed(Secret(b"l" * 32)),
        new_id=Ulids(clock).new,
        on_fault=lambda error: print(repr(error), file=sys.stderr),
    )
    merging = asyncio.create_task(rates.run())
    watching = asyncio.create_task(room.watch())
    serving = asyncio.create_task(channel.serve(intake))
    await channel.started.wait()
    print(channel.ports[0], flush=True)
    await asyncio.wait([serving, merging, watching])


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))

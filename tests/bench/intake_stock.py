"""The stock aiosmtpd class with our group commit behind it, for comparison: `python intake_stock.py FOLDER`.

It does less than ours: no layers, no box, no dedupe of its own making, no limits. It prints its port and serves.
"""

from __future__ import annotations

import asyncio
import hashlib
import sys
from pathlib import Path
from typing import Any

import uvloop
from aiosmtpd.smtp import SMTP

from gateway import store
from gateway.ids import SystemClock, Ulids, micros
from gateway.store.database import Database, Role
from gateway.store.spool import NewSpoolRow, put
from keys.box import HEAD, MAGIC


class Handler:
    def __init__(self, database: Database, clock: SystemClock) -> None:
        self._database, self._clock, self._ids = database, clock, Ulids(clock)

    async def handle_DATA(self, _: Any, __: Any, envelope: Any) -> str:
        id = self._ids.new()
        key = hashlib.sha256(id.encode()).digest()
        row = NewSpoolRow(
            id=id, channel="email", lane=key, dedupe_key=key, box=MAGIC + bytes(HEAD - len(MAGIC)) + envelope.content,
            received_at=micros(self._clock.now()),
        )  # fmt: skip
        await put(self._database, row)
        return "250 OK"


async def main(folder: Path) -> None:
    clock = SystemClock()
    url = f"sqlite:///{folder / 'vestibule.db'}"
    store.upgrade(url)
    handler = Handler(Database.open(url, Role.EDGE, clock=clock), clock)
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(handler, hostname="stock"), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))

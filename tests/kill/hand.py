"""One hand of the desk, as a process that may be killed: puts down a reply, or a reviewer's decision, as the desk does.

    python hand.py FOLDER reply CONVERSATION ID         python hand.py FOLDER reject HELD ID
"""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from gateway.codec import pack
from gateway.config import load
from gateway.ids import SystemClock
from gateway.requests import HeldRequest, Promised, Reason, ReplyRequest, Verb, reply_binding, request_binding
from gateway.store.database import Database, Role
from gateway.store.replies import Replies
from gateway.store.requests import Requests
from keys.box import PublicKeys, Purpose, load_signing_key, seal
from keys.secret import Secret


async def put(folder: Path, what: str, about: str, id: str) -> None:
    config = load(folder / "vestibule.toml")
    clock = SystemClock()
    database = Database.open(config.store_url, Role.DESK, clock=clock)
    public = PublicKeys(config.keys_folder / "public")
    signing = load_signing_key(config.keys_folder / "desk" / "sign.key")
    try:
        if what == "reply":
            request = ReplyRequest(
                id=id, conversation=about, author="ann", text=Secret("Dear customer, it is on its way."), seen=1,
                promised=Promised.CLEAR, written_at=datetime.now(UTC),
            )  # fmt: skip
            box = seal(pack(request), to=public.current(Purpose.REPLY), by=signing, binding=reply_binding(id))
            await Replies(database, clock).put(id=id, conversation=about, author="ann", box=box)
        else:
            decision = HeldRequest(
                id=id, held=about, verb=Verb(what), reason=Reason.OTHER, waived=(), reviewer="sam",
                written_at=datetime.now(UTC),
            )  # fmt: skip
            box = seal(pack(decision), to=public.current(Purpose.REQUEST), by=signing, binding=request_binding(id))
            await Requests(database, clock).put(id=id, kind=what, object_id=about, author="sam", box=box)
    finally:
        await database.close()


if __name__ == "__main__":
    asyncio.run(put(Path(sys.argv[1]), *sys.argv[2:]))

"""How fast the store takes messages in and files them: group commit, on both databases. `make bench`."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import resource
import time
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import event

from channels.contract import Address
from gateway.crossing import Passage
from gateway.ids import SystemClock, Ulids, micros
from gateway.layers import Layer, Passed
from gateway.rules import Finding
from gateway.sanitized import SafeText, Sanitized, Trust
from gateway.store.database import Database, Role
from gateway.store.queue import Queue
from gateway.store.spool import Claim, NewSpoolRow, Spool, put
from gateway.store.threads import ReplyTokens
from keys.atrest import AtRest
from keys.box import HEAD, MAGIC, SigningKey
from keys.secret import Secret
from keys.stamping import Stamper

pytestmark = [pytest.mark.bench, pytest.mark.timeout(300)]
CLOCK = SystemClock()
_numbers = itertools.count()
BODY = os.urandom(5200 - HEAD)


def new_row(senders: int = 200) -> NewSpoolRow:
    """What the edge hands over for a mail of 4 KB; no cryptography, that is measured elsewhere."""
    number = next(_numbers)
    key = hashlib.sha256(str(number).encode()).digest()
    return NewSpoolRow(
        id=f"{number:026d}", channel="email", lane=(number % senders).to_bytes(32, "big"), dedupe_key=key,
        box=MAGIC + bytes(HEAD - len(MAGIC)) + BODY, received_at=micros(CLOCK.now()), body_key=key,
        sender_key=(number % senders).to_bytes(32, "big"),
    )  # fmt: skip


async def rate(job: Callable[[], Awaitable[object]], *, at_once: int, seconds: float) -> tuple[float, float, float]:
    """Operations a second, CPU µs each (this process), median ms until the answer."""
    until, done, waits = time.monotonic() + seconds, 0, []
    before = resource.getrusage(resource.RUSAGE_SELF)

    async def session() -> None:
        nonlocal done
        while time.monotonic() < until:
            began = time.monotonic()
            await job()
            waits.append(time.monotonic() - began)
            done += 1

    began = time.monotonic()
    await asyncio.gather(*(session() for _ in range(at_once)))
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done / took, cpu / done * 1e6, sorted(waits)[len(waits) // 2] * 1e3


@pytest.mark.parametrize("at_once", [1, 10, 100])
async def test_intake(store_url: str, at_once: int) -> None:
    db = Database.open(store_url, Role.EDGE, clock=CLOCK)
    commits = [0]
    event.listen(db._write_engine, "commit", lambda conn: commits.__setitem__(0, commits[0] + 1))
    rows, cpu, wait = await rate(lambda: put(db, new_row()), at_once=at_once, seconds=3)
    stored = await Spool(db, CLOCK).backlog()
    print(
        f"\n{db.dialect:>10}  {at_once:>3} sessions: {rows:8.0f} rows/s  {cpu:6.0f} µs CPU  {wait:6.2f} ms  "
        f"{stored / commits[0]:6.1f} rows/commit"
    )
    assert stored > 0
    await db.close()


class Anything:
    rules = ()

    async def __call__(self, message: Sanitized, /) -> tuple[Finding, ...]:
        return ()


async def passed() -> Passed[Sanitized]:
    text = SafeText("dear support, my order did not arrive. " * 25)
    trust = Trust(
        tls="TLSv1.3", encrypted="none", subject_encrypted=False, signatures=(), spf="pass", dkim="pass", dmarc="pass",
        authenticated_domain=SafeText("example.org"),
    )  # fmt: skip
    message = Sanitized(
        author=SafeText("alice@example.org"), author_name=SafeText("Alice"), subject=SafeText("order"), text=text,
        attachments=(), redactions={}, trust=trust, message_id=SafeText(f"<{next(_numbers)}@example.org>"),
        references=(), language="en", automatic=False, sent_at=None,
    )  # fmt: skip
    layer: Layer[Sanitized] = Layer("bench", (Anything(),))
    return await layer.require(message)


@pytest.mark.parametrize("at_once", [1, 8])
async def test_claim_and_file(store_url: str, at_once: int) -> None:
    """The inspector's part: claim, conversation, seal, two stamps, row, feed, audit, the spool row's end."""
    edge = Database.open(store_url, Role.EDGE, clock=CLOCK)
    await asyncio.gather(*(put(edge, new_row(5000)) for _ in range(1500)))
    await edge.close()
    db = Database.open(store_url, Role.INSPECTOR, clock=CLOCK)
    spool = Spool(db, CLOCK)
    queue = Queue(
        db, atrest=AtRest.single(Secret(b"i" * 32)), desk_atrest=AtRest.single(Secret(b"d" * 32)),
        stamper=Stamper(SigningKey(Secret(b"s" * 32))), tokens=ReplyTokens(Secret(b"t" * 32)), clock=CLOCK,
        ids=Ulids(CLOCK), tenant="main", policy_version=1,
    )  # fmt: skip
    ready: list[Claim] = []

    async def one() -> None:
        if not ready:
            ready.extend(await spool.claim(20, 60))
        claim = ready.pop()
        author = Address(f"customer{next(_numbers) % 300}@example.org")
        await queue.put(claim, await passed(), Passage(author=author, mailbox="s", queue="s", encrypted=False))

    rows, cpu, wait = await rate(one, at_once=at_once, seconds=2)
    print(f"\n{db.dialect:>10}  {at_once:>3} at once: {rows:8.0f} filed/s  {cpu:6.0f} µs CPU  {wait:6.2f} ms")
    await db.close()

"""A desk with people and conversations in it: real keys, real stamps, real boxes, a real store and a real listener.

What the inspector would have filed is filed here by the store's own `Queue`, with the key ring's own stamping key, so
that the desk verifies what it would verify.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from aiohttp import web

from channels.contract import Address
from gateway.config import Config, build
from gateway.crossing import Passage
from gateway.desk import role
from gateway.desk.application import application
from gateway.desk.context import Desk
from gateway.desk.listening import bind, runner
from gateway.desk.passwords import hashed
from gateway.ids import SystemClock, Ulids, micros
from gateway.layers import Layer, Passed
from gateway.log import Log
from gateway.role import Running
from gateway.rules import Action, Code, Decision, Finding, Rule
from gateway.sanitized import SafeAttachment, SafeText, Sanitized, Trust, TrustSignature
from gateway.store.database import Database, Role
from gateway.store.people import People
from gateway.store.queue import Filed, Queue, Sent
from gateway.store.spool import NewSpoolRow, Spool, put
from gateway.store.threads import ReplyTokens
from gateway.store.waking import PollWake
from keys.atrest import load_roots, load_secret
from keys.box import Binding, PublicKeys, Purpose, load_signing_key, seal
from keys.keyring import generate
from keys.secret import Secret
from keys.stamping import Stamper

PASSWORD = "a long walk by the sea"
HASH = hashed(Secret(PASSWORD))
"""One hash for everybody: hashing takes a tenth of a second."""

SIGNED = Trust(
    tls="TLSv1.3",
    encrypted="full",
    subject_encrypted=True,
    signatures=(
        TrustSignature(
            status="verified",
            fingerprint="D1A66E1A23B182C9980F788CFBFCC82A015E7330",
            signer=SafeText("alice@example.org"),
            covers="all",
        ),
    ),
    spf="pass",
    dkim="pass",
    dmarc="pass",
    authenticated_domain=SafeText("example.org"),
)
CLEAR = Trust(
    tls="TLSv1.2",
    encrypted="none",
    subject_encrypted=False,
    signatures=(),
    spf="pass",
    dkim="none",
    dmarc="none",
    authenticated_domain=SafeText(""),
)
FORGED = Rule(
    Code("sender.forged"), Action.HOLD, "Not accepted", "7.1", "The sender's domain says that this isn't from it."
)
TAMPERED = Rule(
    Code("crypto.tampered"), Action.HOLD, "Not accepted", "7.1", "The message was changed after it was sealed."
)


class _Anything:
    """A check that has nothing against anybody, to get a `Passed` from a `Layer` as the law wants it."""

    rules: tuple[Rule, ...] = ()

    async def __call__(self, message: Sanitized, /) -> Sequence[Finding]:
        return ()


RELEASE: Layer[Sanitized] = Layer("release", (_Anything(),))


def letter(
    text: str = "Hello",
    *,
    author: str = "alice@example.org",
    name: str = "Alice Moreno",
    subject: str = "Refund for order 5521",
    redactions: Mapping[str, int] | None = None,
    trust: Trust = SIGNED,
    attachments: tuple[SafeAttachment, ...] = (),
) -> Sanitized:
    return Sanitized(
        author=SafeText(author),
        author_name=SafeText(name),
        subject=SafeText(subject),
        text=SafeText(text),
        attachments=attachments,
        redactions=redactions or {},
        trust=trust,
        message_id=SafeText(f"<{os.urandom(8).hex()}@example.org>"),
        references=(),
        language="en",
        automatic=False,
        sent_at=None,
    )


def configuration(folder: Path, url: str) -> Config:
    return build(
        {
            "company": {"name": "Acme"},
            "store": {"url": url},
            "keys": {"folder": str(folder / "keys")},
            "desk": {"port": 0},
            "edge": {"listeners": []},
            "mailboxes": [
                {"name": "support", "address": "support@acme.example", "queue": "support"},
                {"name": "billing", "address": "billing@acme.example", "queue": "billing"},
            ],
        },
        base=folder,
    )


@dataclass
class Office:
    """Opened by `Office.open`; `close` it at the end."""

    folder: Path
    config: Config
    inspector: Database
    edge: Database
    queue: Queue
    desk: Desk
    people: People
    base: str = ""
    ids: dict[str, str] = field(default_factory=dict)
    _running: list[web.AppRunner] = field(default_factory=list)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    @classmethod
    async def open(cls, folder: Path, url: str) -> Office:
        config = configuration(folder, url)
        keys = folder / "keys"
        generate(keys)
        clock = SystemClock()
        ids = Ulids(clock)
        wake = PollWake("desk")
        inspector = Database.open(url, Role.INSPECTOR, clock=clock, wake=wake)
        edge = Database.open(url, Role.EDGE, clock=clock)
        shared = load_roots(keys / "shared", "desk-atrest")
        queue = Queue(
            inspector,
            atrest=load_roots(keys / "inspector", "atrest", load_secret(keys / "inspector" / "threads.key")),
            desk_atrest=shared,
            stamper=Stamper(load_signing_key(keys / "inspector" / "stamp.key")),
            tokens=ReplyTokens(load_secret(keys / "inspector" / "threads.key")),
            clock=clock,
            ids=ids,
            tenant=config.company.tenant,
            policy_version=1,
        )
        running = Running(
            database=Database.open(url, Role.DESK, clock=clock, wake=wake),
            wake=wake,
            clock=clock,
            log=Log("desk", clock),
            stopping=asyncio.Event(),
        )
        socket = bind("127.0.0.1", 0)
        port = socket.getsockname()[1]
        desk = role.build(config, running, port)
        office = cls(folder, config, inspector, edge, queue, desk, desk.people, base=f"http://127.0.0.1:{port}")
        app_runner = runner(application(desk))
        await app_runner.setup()
        await web.SockSite(app_runner, socket).start()
        office._running.append(app_runner)
        office._tasks.append(asyncio.create_task(desk.hub.run()))
        return office

    async def close(self) -> None:
        await self.desk.hub.close()
        for task in self._tasks:
            task.cancel()
        for one in self._running:
            await one.cleanup()
        self.desk.passwords.close()
        for db in (self.desk.db, self.inspector, self.edge):
            await db.close()

    async def person(self, login: str, role: str, **more: object) -> str:
        id = await self.people.add_user(
            login=login,
            name=login.capitalize(),
            role=role,
            password=HASH,
            language="",
            **more,  # type: ignore[arg-type]
        )
        assert id is not None
        self.ids[login] = id
        return id

    async def staff(self) -> None:
        for login, kind in (("ann", "agent"), ("sam", "supervisor"), ("ada", "admin")):
            await self.person(login, kind)

    async def message(
        self, content: Sanitized, *, queue: str = "support", protect: str = "sealed", why: str = "certificate"
    ) -> Filed:
        """Filed as the inspector files it."""
        cleared: Passed[Sanitized] = await RELEASE.require(content)
        claim = await self._claim()
        passage = Passage(
            author=Address(content.author), mailbox=queue, queue=queue, encrypted=content.trust.encrypted == "full"
        )
        filed = await self.queue.put(claim, cleared, passage)
        await self.queue.set_protection(filed.conversation, protect, why)
        return filed

    async def sent(self, conversation: str, reply: str, author: str, text: str) -> None:
        """The copy that the inspector files of a reply."""
        content = letter(text, author="support@acme.example", name="Acme", trust=CLEAR)
        copy = await RELEASE.require(content)
        await self.queue.record_sent(
            Sent(
                id=reply, conversation=conversation, author=author, notice=False, copy=copy,
                message_id=f"<{reply}@acme.example>", outbox=None,
            )
        )  # fmt: skip

    async def hold(self, *rules: Rule, queue: str = "support") -> str:
        claim = await self._claim()
        decision = Decision(Action.HOLD, tuple(Finding(rule) for rule in rules), "inspection")
        expires = micros(self.desk.clock.now() + timedelta(hours=72))
        await Spool(self.inspector, self.desk.clock).hold(
            claim, decision, None, expires_at=expires, mailbox=queue, queue=queue
        )
        return str(claim.id)

    async def _claim(self):  # type: ignore[no-untyped-def]
        keys = self.folder / "keys"
        id = self.desk.ids.new()
        box = seal(
            Secret(b"the original"),
            to=PublicKeys(keys / "public").current(Purpose.SPOOL),
            by=load_signing_key(keys / "edge" / "sign.key"),
            binding=Binding(purpose=Purpose.SPOOL, row=id, channel="email"),
        )
        await put(
            self.edge,
            NewSpoolRow(
                id=id, channel="email", lane=os.urandom(32), dedupe_key=os.urandom(32), box=box,
                received_at=micros(self.desk.clock.now()),
            ),
        )  # fmt: skip
        claims = await Spool(self.inspector, self.desk.clock).claim(10, 60)
        return next(claim for claim in claims if claim.id == id)

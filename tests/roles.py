"""A whole gateway for end-to-end tests: configuration, keys, store, roles as processes, in a folder of its own.

    with Gateway(tmp_path, url=store_url, smarthost_port=sink.port) as gateway:
        gateway.submit(message, "alice@example.org", "support@acme.example")
        message = gateway.wait_for_messages(1)[0]          # as the desk reads it, stamps verified
        gateway.reply(message.conversation, "Hello")       # boxed and signed as the desk does

It starts what `vestibule up` starts, by the supervisor. `roles` leaves some out; `kill` ends one by SIGKILL (the
supervisor starts it again); `log` is every line that the roles wrote, as dicts.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

from leaks import CARDS, Disk, sweep
from nameserver import NameServer
from sqlalchemy import create_engine, text

from gateway import store
from gateway.codec import pack
from gateway.config import Config, load
from gateway.ids import SystemClock, Ulids
from gateway.requests import HeldRequest, Promised, Reason, ReplyRequest, Verb, reply_binding, request_binding
from gateway.rules import Code
from gateway.setting_up import self_signed
from gateway.store.database import Database, Role
from gateway.store.reading import Opened, Reading, View
from gateway.store.replies import Replies
from gateway.store.requests import Requests
from gateway.store.spool import HeldRow
from keys import keyring
from keys.atrest import load_roots
from keys.box import PublicKeys, Purpose, load_signing_key, seal
from keys.home import RunFolder
from keys.secret import Secret
from keys.testing import give_mailboxes, identities

T = TypeVar("T")

START = (
    "import sys; from pathlib import Path; from gateway.supervisor import run;"
    "sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))"
)
EVERYBODY = ("inspector", "edge", "desk")


@dataclass
class Gateway:
    """`settings` are TOML lines put under their table: {"inspector": 'recycling = "fast"'}. `trusted` are people of
    `keys.testing.identities` whose certificates an admin has bound."""

    folder: Path
    url: str = ""
    roles: Sequence[str] = ("inspector", "edge")
    smarthost_port: int = 1
    settings: Mapping[str, str] = field(default_factory=dict)
    mailbox: str = ""
    trusted: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None
    names: NameServer = field(default_factory=NameServer)
    log: list[dict[str, Any]] = field(default_factory=list)
    noise: list[str] = field(default_factory=list)

    # --- life

    def __enter__(self) -> Self:
        self.prepare()
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close()
        if kind is None:
            self.sweep()

    def sweep(self) -> None:
        """After every end-to-end test: no card number that tests write is at rest or in the log, in whatever form."""
        Disk((self.folder,)).sweep(CARDS)
        sweep(CARDS, {"log": json.dumps(self.log).encode(), "standard error": "".join(self.noise).encode()})

    def close(self) -> None:
        """Whatever state it is in."""
        try:
            if self._process is not None and self._process.poll() is None:
                self.stop()
        finally:
            self.names.close()

    def prepare(self) -> None:
        """Configuration, keys, certificates, tables."""
        self.names.__enter__()
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "var").mkdir(exist_ok=True)
        self_signed(self.folder / "certificate.pem", self.folder / "key.pem", "mx.acme.example")
        self.file.write_text(self._toml(), "utf-8")
        keyring.generate(self.keys)
        give_mailboxes(RunFolder(self.keys / "inspector" / "gnupg").home, "support", "billing")
        if not self.url:
            store.upgrade(self.config.store_url)
        if self.trusted:
            asyncio.run(self._trust())

    def start(self) -> None:
        """Returns when every role is up and, with an edge, its port is open."""
        self.log.clear()
        process = self._process = subprocess.Popen(
            self.command(), stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=self.folder, text=True,
            errors="replace", env={**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), **self.environment},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, args=(process,), daemon=True)
        self._reader.start()
        for role in self.roles:
            self.wait_for_log("role.started", role=role, seconds=30)
        if "inspector" in self.roles:
            self.wait_for_log("sandbox.ready", seconds=30)
        if "edge" in self.roles:
            self.wait_for_log("edge.listening", channel="email", seconds=30)

    def command(self) -> list[str]:
        """The supervisor's command line."""
        return [sys.executable, "-c", START, str(self.file), *self.roles]

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM; the supervisor's exit status."""
        process = self.process
        process.send_signal(signal.SIGTERM)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError("the gateway didn't end in time") from None
        self._reader.join(5)
        return status

    def pid(self, role: str) -> int:
        """Of the role's newest process."""
        return int(self.wait_for_log("child.started", child=role)["child_pid"])

    def kill(self, role: str, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid(role), number)

    @property
    def process(self) -> subprocess.Popen[str]:
        """The supervisor's."""
        assert self._process is not None
        return self._process

    # --- what there is

    @property
    def file(self) -> Path:
        return self.folder / "vestibule.toml"

    @property
    def keys(self) -> Path:
        return self.folder / "keys"

    @property
    def config(self) -> Config:
        return load(self.file)

    @property
    def store_url(self) -> str:
        return self.config.store_url

    @property
    def smtp_port(self) -> int:
        return int(self.wait_for_log("edge.listening", channel="email")["port"])

    @property
    def desk_port(self) -> int:
        return int(self.wait_for_log("edge.listening", channel="desk")["port"])

    def wait_for_log(self, event: str, seconds: float = 20, **facts: object) -> dict[str, Any]:
        """The newest line with this event and these facts."""

        def found() -> dict[str, Any] | None:
            for line in reversed(self.log):
                if line["event"] == event and all(line.get(name) == value for name, value in facts.items()):
                    return line
            return None

        return self.wait_for(found, seconds, f"{event} {facts}")

    def wait_for(self, look: Callable[[], T | None], seconds: float = 20, what: str = "") -> T:
        """Looks until there is something."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            found = look()
            if found:
                return found
            if self.process.poll() is not None:
                break
            time.sleep(0.03)
        tail = "\n".join(json.dumps(line) for line in self.log[-400:] if line["event"] != "library")
        raise AssertionError(f"waited in vain for {what}\n{tail}\n" + "".join(self.noise[-40:]))

    # --- mail in

    def submit(
        self, message: bytes, sender: str = "alice@example.org", to: str = "support@acme.example", *, tls: bool = True
    ) -> str:
        """Over SMTP; what the gateway answered to the final dot. Raises smtplib's exceptions."""
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=30) as client:
            client.ehlo("client.example.org")
            if tls:
                client.starttls()
                client.ehlo("client.example.org")
            client.mail(sender)
            code, said = client.rcpt(to)
            if code >= 400:
                raise smtplib.SMTPResponseException(code, said)
            code, said = client.data(message)
            if code >= 400:
                raise smtplib.SMTPResponseException(code, said)
            return said.decode()

    # --- the desk, as far as tests need one

    def conversations(self) -> list[Opened]:
        """All of them, with their messages, stamps verified."""
        return self.ask(self._conversations)

    def wait_for_messages(self, count: int, seconds: float = 20) -> list[Any]:
        """At least so many messages in the queue, in order of their time; each with `.conversation`."""

        def look() -> list[Any] | None:
            found = [
                Seen(opened.conversation.id, message)
                for opened in self.conversations() for message in opened.messages
            ]
            return sorted(found, key=lambda one: one.message.at) if len(found) >= count else None

        return self.wait_for(look, seconds, f"{count} messages in the queue")

    def held(self) -> list[HeldRow]:
        return self.ask(lambda desk: desk.reading.held())[0]

    def wait_for_held(self, count: int, seconds: float = 20) -> list[HeldRow]:
        return self.wait_for(lambda: rows if len(rows := self.held()) >= count else None, seconds, f"{count} held")

    def reply(self, conversation: str, words: str, author: str = "ann") -> str:
        """As the desk hands a reply in; its id."""
        id = Ulids(SystemClock()).new()
        request = ReplyRequest(
            id=id, conversation=conversation, author=author, text=Secret(words), seen=1, promised=Promised.CLEAR,
            written_at=datetime.now(UTC),
        )
        box = self._box(pack(request), Purpose.REPLY, id)
        self.ask(lambda desk: desk.replies.put(id=id, conversation=conversation, author=author, box=box))
        return id

    def decide(self, held: str, verb: Verb, waived: Sequence[str] = (), reviewer: str = "sam") -> str:
        """As the desk hands a reviewer's decision in; its id."""
        id = Ulids(SystemClock()).new()
        request = HeldRequest(
            id=id, held=held, verb=verb, reason=Reason.FALSE_ALARM, waived=tuple(Code(code) for code in waived),
            reviewer=reviewer, written_at=datetime.now(UTC),
        )  # fmt: skip
        box = self._box(pack(request), Purpose.REQUEST, id)
        self.ask(lambda desk: desk.requests.put(id=id, kind=verb.value, object_id=held, author=reviewer, box=box))
        return id

    def ask(self, job: Callable[[Desk], Any]) -> Any:
        """Runs a coroutine function with the desk's side of the store."""

        async def run() -> Any:
            clock = SystemClock()
            database = Database.open(self.store_url, Role.DESK, clock=clock)
            try:
                public = PublicKeys(self.keys / "public")
                atrest = load_roots(self.keys / "shared", "desk-atrest")
                reading = Reading(
                    database, atrest=atrest, stamps=public.verify_key("stamp"), tenant="main", clock=clock
                )
                return await job(Desk(reading, Replies(database, clock), Requests(database, clock), database))
            finally:
                await database.close()

        return asyncio.run(run())

    def rows(self, query: str) -> list[Any]:
        """Straight from the database, for tests of what stands there."""
        engine = create_engine(self.store_url)
        try:
            with engine.connect() as connection:
                return [tuple(row) for row in connection.execute(text(query))]
        finally:
            engine.dispose()

    # ---

    async def _conversations(self, desk: Desk) -> list[Opened]:
        found, _ = await desk.reading.page(View(states=tuple(_all_states())), limit=500)
        opened = [await desk.reading.conversation(listed.conversation.id) for listed in found]
        return [one for one in opened if one is not None]

    def _box(self, payload: Secret[bytes], purpose: Purpose, row: str) -> bytes:
        binding = reply_binding(row) if purpose is Purpose.REPLY else request_binding(row)
        signing = load_signing_key(self.keys / "desk" / "sign.key")
        return seal(payload, to=PublicKeys(self.keys / "public").current(purpose), by=signing, binding=binding)

    async def _trust(self) -> None:
        from gateway.store.contacts import Contacts, Provenance, Trust

        held, clock = keyring.Inspector.load(self.keys), SystemClock()
        database = Database.open(self.store_url, Role.ADMIN, clock=clock)
        try:
            contacts = Contacts(
                database, atrest=held.atrest, desk_atrest=held.desk_atrest, clock=clock, ids=Ulids(clock)
            )
            for name in self.trusted:
                who = identities()[name]
                await contacts.bind(
                    "email", who.address, who.fingerprint, who.certificate, Trust.TRUSTED, Provenance.ADMIN  # type: ignore[arg-type]
                )
        finally:
            await database.close()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for line in process.stderr:
            try:
                found = json.loads(line)
            except ValueError:
                self.noise.append(line)
                continue
            if isinstance(found, dict):
                self.log.append(found)

    def _toml(self) -> str:
        def under(table: str) -> str:
            return self.settings.get(table, "")

        url = self.url.replace("postgresql+psycopg://", "postgresql://") or "sqlite:///var/vestibule.db"
        return f"""
[company]
name = "Acme"
privacy_url = "https://acme.example/privacy"
{under("company")}
[store]
url = "{url}"
[keys]
folder = "keys"
[[mailboxes]]
name = "support"
address = "support@acme.example"
queue = "support"
sender_name = "Acme Support"
signature = "Acme, at your service"
{self.mailbox}
[[mailboxes]]
name = "billing"
address = "billing@acme.example"
queue = "billing"
encryption = "required"
[edge]
hostname = "mx.acme.example"
{under("edge")}
[[edge.listeners]]
port = 0
certificate_file = "certificate.pem"
key_file = "key.pem"
[edge.dns]
servers = ["127.0.0.1"]
port = {self.names.port}
[sending.smarthost]
host = "127.0.0.1"
port = {self.smarthost_port}
tls = "none"
{under("sending")}
[inspector]
{under("inspector")}
[desk]
port = 0
certificate_file = "certificate.pem"
key_file = "key.pem"
{under("desk")}
[metrics]
{under("metrics")}
[notices]
{under("notices") or "first_contact = false"}
[policy]
version = 1
{under("policy")}
[policy.actions]
{under("policy.actions")}
"""


@dataclass(frozen=True)
class Desk:
    reading: Reading
    replies: Replies
    requests: Requests
    database: Database


@dataclass(frozen=True)
class Seen:
    conversation: str
    message: Any


def _all_states() -> Iterator[Any]:
    from gateway.states import Talk

    yield from Talk


@contextmanager
def gateway(folder: Path, **settings: Any) -> Iterator[Gateway]:
    """A gateway that is gone, with its folder, afterwards."""
    with Gateway(folder, **settings) as running:
        yield running
    shutil.rmtree(folder, ignore_errors=True)

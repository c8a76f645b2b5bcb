"""A whole gateway, apart as in production: each role has a configuration, a keys folder and (on PostgreSQL) a database
user of its own; all loggers of all its processes log at DEBUG; its temporary files lie in its own folder.

    with Whole(tmp_path / "g") as whole:
        answer = whole.hand_in(message, tls="1.3", peer="192.0.2.10")
        desk = whole.sign_in("ann")                       # over HTTPS, as a browser does
        desk.get("/api/conversations")
"""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import secrets
import socket
import ssl
import sys
import urllib.parse
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import psycopg
from nameserver import NameServer
from roles import EVERYBODY, Gateway
from vector_format import Record
from vector_letters import TRUSTED, person

from gateway.cli.user import add_user
from keys.secret import Secret

HERE: Final = Path(__file__).parent
HOLDS: Final = {"edge": ("public", "edge"), "inspector": ("public", "inspector", "shared"),
                "desk": ("public", "shared", "desk")}  # fmt: skip
"""What each role's mount of the keys has, and nothing else."""
PEOPLE: Final = (("ann", "agent"), ("sam", "supervisor"), ("ada", "admin"))
START: Final = """
import sys
from gateway.ids import SystemClock
from gateway.log import Log
from gateway.supervisor import Supervisor
log = Log("supervisor", SystemClock())
log.capture()
one = "import sys; from pathlib import Path; from gateway.config import load; from gateway.starting import start;" \
      "sys.exit(start(sys.argv[3], load(Path(sys.argv[1]) / f'{sys.argv[3]}.toml')))"
sys.exit(Supervisor([sys.executable, "-c", one, sys.argv[1]], log, sys.argv[2:]).run())
"""
MAILBOXES: Final = """
[[mailboxes]]
name = "vault"
address = "vault@acme.example"
transport = "required"
[[mailboxes]]
name = "open"
address = "open@acme.example"
encryption = "none"
transport = "none"
[[mailboxes]]
name = "mute"
address = "mute@acme.example"
encryption = "none"
clear_reply = false
[[mailboxes]]
name = "small"
address = "small@acme.example"
max_bytes = 20000
[[mailboxes]]
name = "atencion"
address = "atención@acme.example"
language = "es"
"""


@dataclass
class Whole(Gateway):
    """`people` can sign in at the desk. `records` are the names that its resolver knows."""

    roles: Sequence[str] = EVERYBODY
    trusted: Sequence[str] = TRUSTED
    debug: bool = True
    records: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)
    _read_lines: int = 0
    _written: bytearray = field(default_factory=bytearray)
    _libraries: set[str] = field(default_factory=set)

    def prepare(self) -> None:
        self.mailbox += MAILBOXES
        self.names = Names(self.records)
        self.hop_secret = secrets.token_urlsafe(24)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.temporary.mkdir()
        (self.folder / "hop.secret").write_text(self.hop_secret + "\n")
        path = [str(HERE / "debugging")] if self.debug else []
        self.environment = {
            "TMPDIR": str(self.temporary), "PYTHONPATH": ":".join([*path, str(HERE.parent)]), **self.environment,
        }  # fmt: skip
        super().prepare()
        for role, folders in HOLDS.items():
            mount = self.folder / f"keys-{role}"
            mount.mkdir()
            for name in folders:
                (mount / name).symlink_to(self.keys / name)
            text = self.file.read_text("utf-8").replace('folder = "keys"', f'folder = "keys-{role}"')
            (self.folder / f"{role}.toml").write_text(text.replace(f'url = "{self._plain_url}"', f'url = "{self._url_of(role)}"'))
        for login, role in PEOPLE:
            password = self.passwords[login] = secrets.token_urlsafe(16)
            assert add_user(
                self.config, login=login, name=login.title(), role=role, password=Secret(password), queues=(),
                language="en",
            )  # fmt: skip

    def command(self) -> list[str]:
        return [sys.executable, "-c", START, str(self.folder), *self.roles]

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def _plain_url(self) -> str:
        return self.url.replace("postgresql+psycopg://", "postgresql://") or "sqlite:///var/vestibule.db"

    def _url_of(self, role: str) -> str:
        """On PostgreSQL a user of the role's own, who is a member of the role's group and of nothing else."""
        if not self.url:
            return self._plain_url
        login = f"{role}_{secrets.token_hex(4)}"
        with psycopg.connect(self._plain_url, autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {login} LOGIN IN ROLE vestibule_{role}")
        return re.sub(r"//[^@/]*@", f"//{login}@", self._plain_url)

    async def _trust(self) -> None:
        import roles

        known = roles.identities
        roles.identities = lambda: {name: person(name) for name in self.trusted}  # type: ignore[assignment]
        try:
            await super()._trust()
        finally:
            roles.identities = known

    # --- mail in

    def hand_in(
        self,
        message: bytes,
        *,
        sender: str | None = "alice@example.org",
        to: Sequence[str] = ("support@acme.example",),
        tls: str = "1.3",
        peer: str = "127.0.0.1",
        helo: str = "client.example.org",
        repeat: int = 1,
        answers: list[str] | None = None,
    ) -> str:
        """What the gateway says to the last thing that it refuses or takes; to all of them, in `answers`. Bytes go out
        as they are, but for dots."""
        if peer != "127.0.0.1":
            message = self.behind_hop(message, peer, helo, tls)
        with Client(self.smtp_port) as client:
            assert client.greeting.startswith("220"), client.greeting
            client.say(f"EHLO {helo}")
            if tls != "none":
                client.start_tls(tls)
                client.say(f"EHLO {helo}")
            answer = ""
            for _ in range(repeat):
                answer = client.deliver(message, sender, to)
                if answers is not None:
                    answers.append(answer)
            return answer

    def behind_hop(self, message: bytes, peer: str, helo: str, tls: str) -> bytes:
        """As our own relay hands on what it had from `peer`."""
        how = "ESMTP" if tls == "none" else f"ESMTPS (TLS{tls} TLS_AES_256_GCM_SHA384)"
        literal = f"IPv6:{peer}" if ":" in peer else peer
        return (
            f"Received: from {helo} ({helo} [{literal}]) by relay.acme.example with {how} id 1;"
            f" Wed, 25 Nov 2026 09:00:01 +0000\r\nX-Acme-Hop: {self.hop_secret}\r\n"
        ).encode() + message

    # --- what it wrote

    def written(self) -> bytes:
        """All log lines, and what else came on standard error. Of what libraries log only who said it is written: such
        lines stand once each."""
        lines = self.log[self._read_lines :]
        self._read_lines += len(lines)
        for line in lines:
            if line["event"] == "library":
                self._libraries.add(json.dumps({name: value for name, value in line.items() if name not in ("at", "pid")}))
            else:
                self._written += json.dumps(line).encode() + b"\n"
        return b"\n".join([bytes(self._written), *(line.encode() for line in sorted(self._libraries)),
                           "".join(self.noise).encode()])  # fmt: skip

    # --- the desk

    def sign_in(self, login: str) -> DeskClient:
        return DeskClient(self.desk_port, login, self.passwords[login])

    @cached_property
    def agent(self) -> DeskClient:
        return self.sign_in("ann")

    @cached_property
    def supervisor(self) -> DeskClient:
        return self.sign_in("sam")

    @cached_property
    def admin(self) -> DeskClient:
        return self.sign_in("ada")

    def _toml(self) -> str:
        hop = '[[edge.trusted_hops]]\nname = "relay"\nheader = "X-Acme-Hop"\nsecret_file = "hop.secret"\n'
        limits = "[edge.limits]\nmessages_per_peer_hour = 1000\nmessages_per_sender_hour = 300\n"
        return super()._toml().replace("[edge.dns]", f"{hop}{limits}[edge.dns]")


class Names(NameServer):
    """Answers from vectors' records; a name with FAIL is answered SERVFAIL."""

    def __init__(self, records: Mapping[str, Sequence[Record]]) -> None:
        zone: dict[tuple[str, str], list[str]] = {}
        self.broken = {name for name, lines in records.items() if any(line.kind == "FAIL" for line in lines)}
        for name, lines in records.items():
            for line in lines:
                if line.kind != "FAIL":
                    zone.setdefault((name, line.kind), []).append(presented(line))
        super().__init__(zone)

    def _answer(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        if query.question[0].name.to_text(omit_final_dot=True).lower() not in self.broken:
            return super()._answer(data)
        answer = dns.message.make_response(query, recursion_available=True)
        answer.set_rcode(dns.rcode.SERVFAIL)
        return answer.to_wire()


def presented(record: Record) -> str:
    if record.kind != "TXT":
        return record.value
    text = record.value.replace("\\", "\\\\").replace('"', '\\"')
    return " ".join(f'"{text[at : at + 250]}"' for at in range(0, len(text), 250) or [0])


class Client:
    """An SMTP client that sends exactly what it is told."""

    def __init__(self, port: int, seconds: float = 60) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._buffer = b""

    @cached_property
    def greeting(self) -> str:
        return self.hear()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def say(self, line: str) -> str:
        self.send(line.encode("utf-8") + b"\r\n")
        return self.hear()

    def hear(self) -> str:
        """One reply, its lines joined by "\\n"; "" when the connection is closed."""
        lines = []
        while True:
            while b"\n" not in self._buffer:
                try:
                    more = self._socket.recv(65_536)
                except (ConnectionError, ssl.SSLError):
                    more = b""
                if not more:
                    return "\n".join(lines)
                self._buffer += more
            line, _, self._buffer = self._buffer.partition(b"\n")
            lines.append(line.decode("utf-8", "replace").rstrip("\r"))
            if lines[-1][3:4] != "-":
                return "\n".join(lines)

    def start_tls(self, version: str = "1.3") -> None:
        answer = self.say("STARTTLS")
        assert answer.startswith("220"), answer
        self.wrap(version)

    def wrap(self, version: str = "1.3") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = {
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3,
        }[version]  # fmt: skip
        self._socket = context.wrap_socket(self._socket)

    def deliver(self, message: bytes, sender: str | None, to: Sequence[str]) -> str:
        """The reply to the last command that was needed."""
        wide = not "".join([sender or "", *to]).isascii() or not message.partition(b"\r\n\r\n")[0].isascii()
        answer = self.say(f"MAIL FROM:<{sender or ''}> BODY=8BITMIME{' SMTPUTF8' if wide else ''}")
        for recipient in to:
            if answer.startswith("2"):
                answer = self.say(f"RCPT TO:<{recipient}>")
        if not answer.startswith("2"):
            self.say("RSET")
            return answer
        answer = self.say("DATA")
        if not answer.startswith("354"):
            return answer
        stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
        with suppress(ConnectionError, ssl.SSLError):
            self.send(stuffed + (b".\r\n" if not stuffed or stuffed.endswith(b"\r\n") else b"\r\n.\r\n"))
        return self.hear()


class DeskClient:
    """Signed in over HTTPS. Keeps every byte that the desk answers, for the sweep."""

    def __init__(self, port: int, login: str, password: str) -> None:
        self.port, self.cookie, self.token = port, "", ""
        self.heard: list[bytes] = []
        door = self.page("/sign-in")
        self.token = self._token(door)
        form = urllib.parse.urlencode({"csrf": self.token, "name": login, "password": password})
        status, headers, _ = self._ask("POST", "/sign-in", form.encode(), "application/x-www-form-urlencoded")
        assert status == 303, status
        self.cookie = headers["Set-Cookie"].split(";")[0]
        self.token = self._token(self.page("/settings"))

    def get(self, path: str) -> Any:
        status, _, body = self._ask("GET", path)
        assert status == 200, (path, status, body[:500])
        return json.loads(body)

    def page(self, path: str) -> str:
        status, _, body = self._ask("GET", path)
        assert status == 200, (path, status)
        return body.decode()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        status, _, answer = self._ask("POST", path, json.dumps(body).encode(), "application/json")
        return status, json.loads(answer) if answer else None

    def all(self, path: str) -> list[Any]:
        """Every item of a paged list."""
        items: list[Any] = []
        cursor = ""
        while True:
            found = self.get(f"{path}{'&' if '?' in path else '?'}limit=100&cursor={urllib.parse.quote(cursor)}")
            items += found["items"]
            cursor = found["next"]
            if not cursor:
                return items

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, Any, bytes]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        headers = {"Cookie": self.cookie, "Accept": "application/json" if path.startswith("/api") else "text/html"}
        if method == "POST":
            headers |= {
                "Origin": f"https://127.0.0.1:{self.port}", "Content-Type": kind, "X-CSRF-Token": self.token,
                "Idempotency-Key": str(uuid.uuid4()),
            }  # fmt: skip
            if kind != "application/json":
                del headers["X-CSRF-Token"]
        try:
            line.request(method, path, body or None, headers)
            answer = line.getresponse()
            content = answer.read()
        finally:
            line.close()
        self.heard.append(content)
        return answer.status, answer.headers, content

    @staticmethod
    def _token(page: str) -> str:
        found = re.search(r'name="csrf" (?:value|content)="([0-9a-f]{64})"', page)
        assert found is not None
        return found[1]


def run_async(job: Any) -> Any:
    return asyncio.run(job)

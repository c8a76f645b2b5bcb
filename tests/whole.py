"""A whole gateway, apart as in production: each role has a configuration, a keys folder and (on PostgreSQL) a database
user of its own; all loggers of all its processes log at DEBUG; its temporary files lie in its own folder.

    with Whole(tmp_path / "g") as whole:
        answer = whole.hand_in(message, tls="1.3", peer="192.0.2.10")
        desk = whole.sign_in("ann")                       # over HTTPS, as a browser does
        desk.get("/api/conversations")
"""

from __future__ import annotations

import json
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import psycopg
from clients import Client, DeskClient
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
            text = text.replace(f'url = "{self._plain_url}"', f'url = "{self._url_of(role)}"')
            (self.folder / f"{role}.toml").write_text(text)
        for login, role in PEOPLE:
            password = self.passwords[login] = secrets.token_urlsafe(16)
            assert add_user(
                self.config, login=login, name=login.title(), role=role, password=Secret(password), queues=(),
                language="en",
            )  # fmt: skip

    def command(self) -> list[str]:
        return [sys.executable, str(HERE / "debugging" / "all_roles.py"), str(self.folder), *self.roles]

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
                line = {name: value for name, value in line.items() if name not in ("at", "pid")}
                self._libraries.add(json.dumps(line))
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

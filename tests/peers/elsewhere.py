"""Elsewhere: the customer's side as others' programs see it. What arrives is judged by dkimpy and pyspf, with names of
the test's own zone."""

from __future__ import annotations

import email.policy
import email.utils
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from typing import Any

import dkim
import spf
from sink import Mail, Sink

Zone = dict[tuple[str, str], list[str]]


@dataclass
class Inbox(Sink):
    """A sink that also keeps who delivered, message for message: address and greeting."""

    peers: list[tuple[str, str]] = field(default_factory=list)

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        self.peers.append((str(session.peer[0]), str(session.host_name)))
        return await super().handle_DATA(server, session, envelope)


@dataclass(frozen=True)
class Judged:
    """What a receiver makes of a mail: results in RFC 8601's words. `dmarc` is by strict alignment."""

    spf: str
    dkim: str
    dmarc: str
    message: EmailMessage


def judged(mail: Mail, peer: str, helo: str, zone: Zone, monkeypatch: Any) -> Judged:
    message = message_from_bytes(mail.raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    by_spf = _spf(mail, peer, helo, zone, monkeypatch)
    signed = message["DKIM-Signature"]
    tags = dict(part.strip().split("=", 1) for part in str(signed).split(";") if "=" in part) if signed else {}
    by_dkim = "none"
    if signed:
        good = dkim.verify(mail.raw, dnsfunc=lambda name, timeout=5: _text(zone, name.decode().rstrip(".")))
        by_dkim = "pass" if good else "fail"
    author = email.utils.parseaddr(str(message["From"]))[1].rpartition("@")[2]
    aligned = (by_dkim == "pass" and tags.get("d") == author) or (
        by_spf == "pass" and mail.sender.rpartition("@")[2] == author
    )
    return Judged(by_spf, by_dkim, "pass" if aligned else "fail", message)


def _spf(mail: Mail, peer: str, helo: str, zone: Zone, monkeypatch: Any) -> str:
    def look_up(name: str, kind: str, *_: Any, **__: Any) -> list[Any]:
        found = zone.get((name.lower().rstrip("."), kind), [])
        values = [(one.strip('"').encode(),) if kind == "TXT" else one for one in found]
        return [((name, kind), value) for value in values]

    monkeypatch.setattr(spf, "DNSLookup", look_up)
    return str(spf.check2(i=peer, s=mail.sender, h=helo)[0])


def _text(zone: Zone, name: str) -> bytes | None:
    found = zone.get((name.lower(), "TXT"))
    return "".join(part for part in found[0].split('"') if part.strip()).encode() if found else None


def txt(text: str) -> str:
    """A TXT record in presentation form: strings of 255 bytes at most."""
    return " ".join(f'"{text[at : at + 255]}"' for at in range(0, len(text), 255))

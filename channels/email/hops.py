"""Trusted hops: the company's own relays in front of us, and whom they had the message from.

Rules:
1. A hop is proved by its client certificate, by a secret in a header, or by its exact address. A range of addresses of
   a shared cloud proves nothing: others send from there too.
2. Behind a proved hop the facts are those of the last untrusted peer. Each trusted hop puts one Received line on top of
   those that were there, so as many lines count as there are trusted hops in a row; whatever stands below is hearsay.
3. If a line that counts can't be read, the peer is unknown: neither the hop itself nor a guess is judged in its stead.
4. One field with the secret proves the hop, whatever others of its name say: else a sender who adds one of his own
   would have our relay judged in his stead, and it may send in our own name. The header never travels on.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from channels.contract import HopName
from channels.email import received
from channels.email.facts import Source
from channels.email.headers import Block, read, without
from keys.credentials import SharedSecret

LINES: Final = 20
"""More relays of our own in a row than anybody has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One relay and its one kind of proof. `certificate` is the SHA-256 of its client certificate, hexadecimal without
    colons; `inside` are networks of its own inner servers: they prove nothing, but are passed over in its trace."""

    name: HopName
    address: str = ""
    certificate: str = ""
    header: str = ""
    secret: SharedSecret | None = None
    inside: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = ()


class TrustedHops:
    def __init__(self, hops: Sequence[Hop]) -> None:
        self._by_address = {found: hop for hop in hops if (found := received.canonical(hop.address))}
        self._by_certificate = {hop.certificate.replace(":", "").lower(): hop for hop in hops if hop.certificate}
        self._by_header = {hop.header.lower(): hop for hop in hops if hop.header and hop.secret}

    def resolve(self, source: Source, certificate: str, raw: bytes) -> tuple[Source, Block, bytes]:
        """Whom the message really came from, and the message without secrets of ours."""
        head = read(raw)
        hop = self._proved(source, certificate, head)
        secrets = [field for field in head.fields if field.name in self._by_header]
        if secrets:
            raw = without(raw, secrets)
            head = read(raw)
        return (source if hop is None else self._behind(hop, source, head)), head, raw

    def _proved(self, source: Source, certificate: str, head: Block) -> Hop | None:
        hop = self._by_address.get(source.peer or "") or self._by_certificate.get(certificate)
        if hop is not None:
            return hop
        for name, candidate in self._by_header.items():
            secret = candidate.secret
            if secret is not None and any(secret.matches(field.value.strip()) for field in head.named(name)):
                return candidate
        return None

    def _behind(self, hop: Hop, source: Source, head: Block) -> Source:
        names = [hop.name]
        tls = source.tls
        peer, helo = None, ""
        for field in head.named("received")[:LINES]:
            trace = received.parse(field.text())
            if trace is None:
                break
            tls = _weaker(tls, trace.tls)
            named = self._by_address.get(trace.peer)
            if named is not None:
                names.append(named.name)
            elif not _within(trace.peer, hop):
                peer, helo = trace.peer, trace.helo
                break
        return replace(source, peer=peer, helo=helo, tls=tls, hops=tuple(names))


def _within(peer: str, hop: Hop) -> bool:
    address = ipaddress.ip_address(peer)
    return any(address in network for network in hop.inside)


def _weaker(ours: str | None, theirs: str | None) -> str | None:
    """Of two stretches of the way. "TLS" (no version told) counts as whatever the other is."""
    if ours is None or theirs is None:
        return None
    return ours if theirs == "TLS" else min(ours, theirs)

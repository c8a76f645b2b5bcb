"""Who sent a message, as facts: SPF, DKIM, ARC and DMARC over one message, with one budget (RFC 8601's words)."""

from __future__ import annotations

from channels.contract import Authentication
from channels.email.resolver import Resolver


class Authenticator:
    """Facts of the sender. Deterministic given resolver and clock."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def authenticate(
        self, *, raw: bytes, peer: str | None, helo: str, mail_from: str | None, deadline: float | None = None
    ) -> Authentication:
        """`raw` with CRLF; `peer` an IP address; `mail_from` without brackets, None or "" for the null reverse-path;
        `deadline` in the running loop's time. Never raises but for cancellation."""
        return Authentication()

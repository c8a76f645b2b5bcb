"""What all sessions of one edge share: the count of connections, the memory for content, the watch over the clock, and
the closing of the doors.

Rules:
1. One peer is one IPv4 address or one IPv6 /64: a customer line gets no less than that.
2. Draining: nobody new; who is between messages hears 421 4.3.2; who is in the middle of one finishes, for so long.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from channels.contract import Address, Answer, Directory
from channels.email.facts import Delivery
from channels.email.settings import SmtpConfig

TICK_SECONDS: Final = 0.25
PASSWORDS_AT_ONCE: Final = 2
"""Argon2 takes 64 MiB and a core each."""


class Guest(Protocol):
    """A session, as the house sees it."""

    def look(self, now: float, /) -> None: ...
    def dismiss(self) -> None: ...
    def abort(self) -> None: ...


class House:
    """`receive` takes a complete delivery and answers; `on_fault` hears of our own errors, class and place only."""

    def __init__(
        self,
        config: SmtpConfig,
        directory: Directory,
        receive: Callable[[Delivery], Awaitable[Answer]],
        on_fault: Callable[[BaseException], None],
        counts: Counter[str],
    ) -> None:
        self.config, self.limits = config, config.limits
        self.receive, self.on_fault = receive, on_fault
        self.directory = directory
        self.postmaster = tuple(Address(f"postmaster@{domain}") for domain in sorted(config.domains))
        self.passwords = asyncio.Semaphore(PASSWORDS_AT_ONCE)
        self.content_memory = 0
        self.counts = counts
        self.draining = False
        self._guests: dict[Guest, str] = {}
        self._by_peer: Counter[str] = Counter()
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        return len(self._guests)

    def enter(self, guest: Guest, peer: str | None) -> bool:
        """Whether there is room; who is in already, stays in."""
        if guest in self._guests:
            return True
        key = _line(peer)
        if (
            self.draining
            or len(self._guests) >= self.limits.connections
            or self._by_peer[key] >= self.limits.connections_per_peer
        ):
            self.counts["connection.refused"] += 1
            return False
        self._guests[guest] = key
        self._by_peer[key] += 1
        self._empty.clear()
        self.counts["connection.accepted"] += 1
        return True

    def leave(self, guest: Guest) -> None:
        key = self._guests.pop(guest, None)
        if key is not None:
            self._by_peer[key] -= 1
            if not self._by_peer[key]:
                del self._by_peer[key]
        if not self._guests:
            self._empty.set()

    def keep(self, growth: int) -> bool:
        """Whether there is memory for so many bytes more of content; negative gives back."""
        if growth > 0 and self.content_memory + growth > self.limits.content_memory_bytes:
            return False
        self.content_memory += growth
        return True

    async def watch(self) -> None:
        """Looks at every session's clock, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = loop.time()
            for guest in tuple(self._guests):
                guest.look(now)

    async def drain(self) -> None:
        """Sees everybody out. Cancelled, it aborts whoever is left; what was handed over is still committed."""
        self.draining = True
        for guest in tuple(self._guests):
            guest.dismiss()
        try:
            async with asyncio.timeout(self.limits.drain_seconds):
                await self._empty.wait()
        except TimeoutError:
            pass
        finally:
            for guest in tuple(self._guests):
                guest.abort()


def _line(peer: str | None) -> str:
    if peer is None or ":" not in peer:
        return peer or ""
    return str(ipaddress.ip_network((peer, 64), strict=False))

"""The email channel: listeners, and each delivery as an `Inbound` for the gateway.

    listener ─ session ─ delivery ─► whose it is (hops) ─► facts (pace, authentication, replay) ─► intake

Rules:
1. The channel establishes facts and maps answers; it judges nothing (limits of the wire are not judgement).
2. A fact that the store can't tell is a fault of ours: the sender hears 451 and tries again.
3. Cancelling `serve` drains: see `house`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

from channels.contract import (
    Answer,
    ChannelName,
    Directory,
    Inbound,
    Intake,
    Outbound,
    Paces,
    Proof,
    Receipt,
    Seen,
    SendResult,
    Traits,
    Transport,
    WireId,
)
from channels.email import facts
from channels.email.author import Mailbox, author
from channels.email.facts import Authenticator, Delivery, Source
from channels.email.hops import TrustedHops
from channels.email.house import House
from channels.email.listeners import Listener, open_listener
from channels.email.settings import SmtpConfig
from channels.keyed import Keyed
from keys.secret import Secret

NAME: Final = ChannelName("email")
TRAITS: Final = Traits(can_retry=True, max_text=200_000, can_encrypt=True, can_attach=True)


class Sender(Protocol):
    """The way out (`smtp_out`)."""

    async def send(self, message: Outbound, /) -> Receipt: ...


class NoSender:
    async def send(self, message: Outbound, /) -> Receipt:
        return Receipt(result=SendResult.RETRY, reason="no.sender")


class EmailChannel:
    """`new_id` names deliveries; `on_fault` hears of errors of ours. `ports` are the listeners' real ports, in their
    order, from `started` on; `counts` counts what happened, by fixed names."""

    name = NAME
    traits = TRAITS

    def __init__(
        self,
        config: SmtpConfig,
        *,
        directory: Directory,
        authenticator: Authenticator,
        paces: Paces,
        seen: Seen,
        keyed: Keyed,
        new_id: Callable[[], str],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sender: Sender | None = None,
        on_fault: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        self._config, self._directory, self._authenticator = config, directory, authenticator
        self._paces, self._seen, self._keyed = paces, seen, keyed
        self._new_id, self._now, self._on_fault = new_id, now, on_fault
        self._sender = sender or NoSender()
        self._hops = TrustedHops(config.hops)
        self._house: House | None = None
        self.counts: Counter[str] = Counter()
        self.ports: tuple[int, ...] = ()
        self.started = asyncio.Event()

    @property
    def sessions(self) -> int:
        """Open connections."""
        return 0 if self._house is None else len(self._house)

    async def serve(self, intake: Intake, /) -> None:
        """Listens until cancelled, then drains; cancelled again, it ends at once. Raises OSError for a port that can't
        be had."""

        async def receive(delivery: Delivery) -> Answer:
            return await intake(await self.inbound(delivery))

        house = House(self._config, self._directory, receive, self._on_fault, self.counts)
        self._house = house
        listeners: list[Listener] = []
        watch = asyncio.create_task(house.watch())
        try:
            for listen in self._config.listeners:
                listeners.append(await open_listener(house, listen))
            self.ports = tuple(listener.port for listener in listeners)
            self.started.set()
            await asyncio.Event().wait()
        finally:
            self.started.clear()
            for listener in listeners:
                listener.close()
            try:
                await house.drain()
            finally:
                watch.cancel()

    async def send(self, message: Outbound, /) -> Receipt:
        return await self._sender.send(message)

    async def inbound(self, delivery: Delivery) -> Inbound:
        """The delivery with all facts."""
        source, head, raw = self._hops.resolve(delivery.source, delivery.certificate, delivery.raw)
        envelope, terms = delivery.envelope, delivery.terms
        wrote = author(head)
        sender = wrote.address if isinstance(wrote, Mailbox) else envelope.mail_from
        thread = facts.thread(head)
        body_key = self._keyed.body(memoryview(raw)[head.body :])
        pace = await self._paces.note(peer=source.peer or "", sender=envelope.mail_from or "")
        authentication, seen_elsewhere = await asyncio.gather(
            facts.authentication(
                self._authenticator, raw=raw, source=source, mail_from=envelope.mail_from,
                seconds=self._config.limits.authentication_seconds,
            ),
            self._elsewhere(body_key, sender or ""),
        )  # fmt: skip
        return Inbound(
            channel=NAME,
            wire_id=WireId(self._new_id()),
            sender=sender,
            thread=thread,
            received_at=self._now(),
            transport=_transport(source),
            envelope=envelope,
            authentication=authentication,
            terms=terms,
            pace=pace,
            dedupe_key=self._keyed.dedupe(facts.identity(envelope, terms, head, raw)),
            lane=self._keyed.lane(NAME, sender, thread, facts.standing(source, authentication)),
            body_key=body_key,
            seen_elsewhere=seen_elsewhere,
            raw=Secret(raw),
        )

    async def _elsewhere(self, body_key: bytes, sender: str) -> int:
        return await self._seen.elsewhere(body_key=body_key, sender=sender) if body_key else 0


def _transport(source: Source) -> Transport:
    return Transport(
        tls=source.tls,
        cipher=source.cipher,
        peer=source.peer,
        helo=source.helo,
        proof=Proof.NETWORK if source.login is not None else Proof.NONE,
        login=source.login,
        hops=source.hops,
    )

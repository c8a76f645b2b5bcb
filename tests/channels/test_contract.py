"""The contract suite, over each channel."""

from __future__ import annotations

import pytest
from contract import Bench, ChannelContract, outbound
from mailroom import LIMITS, Boxes, Peer, Still

from channels.contract import Address, Outbound, Verdict
from channels.email.facts import NoAuthenticator
from channels.email.settings import Listen, SmtpConfig
from channels.email.smtp_in import EmailChannel
from channels.keyed import Keyed
from channels.loopback import Loopback
from keys.secret import Secret

KEYED = Keyed(Secret(b"k" * 32))


class LoopbackBench:
    def __init__(self) -> None:
        self.channel = Loopback(KEYED)

    async def ready(self) -> None:
        await self.channel.started.wait()

    async def deliver(self, text: str, *, name: str) -> tuple[Verdict, str | None]:
        answer = await self.channel.deliver(text.encode(), wire_id=name, sender=Address("alice"))
        return answer.verdict, answer.wire_id

    def outbound(self, key: str) -> Outbound:
        return outbound(self.channel, key)


class EmailBench:
    """Its way out is `smtp_out`, tested there."""

    def __init__(self) -> None:
        self.channel = EmailChannel(
            SmtpConfig(hostname="mx", domains=frozenset(["acme.example"]), listeners=(Listen(),), limits=LIMITS),
            directory=Boxes(), authenticator=NoAuthenticator(), paces=Still(), seen=Still(), keyed=KEYED,
            new_id=lambda: "wire",
        )  # fmt: skip

    async def ready(self) -> None:
        await self.channel.started.wait()

    async def deliver(self, text: str, *, name: str) -> tuple[Verdict, str | None]:
        client = await Peer.connect(self.channel.ports[0])
        try:
            await client.hello()
            head = f"From: alice@example.org\r\nSubject: {text}\r\nMessage-ID: <{name}@example.org>\r\n\r\n"
            reply = await client.deliver(f"{head}{text}\r\n".encode())
        finally:
            await client.close()
        verdict = {"2": Verdict.ACCEPTED, "4": Verdict.DEFERRED, "5": Verdict.REFUSED}[reply[0]]
        return verdict, reply.rpartition(" ")[2] if verdict is Verdict.ACCEPTED else None

    def outbound(self, key: str) -> None:
        return None


class TestLoopback(ChannelContract):
    @pytest.fixture
    def bench(self) -> Bench:
        return LoopbackBench()


class TestEmail(ChannelContract):
    @pytest.fixture
    def bench(self) -> Bench:
        return EmailBench()

"""An SMTP server that keeps what it is sent: the customer's side of the way out."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiosmtpd.smtp import SMTP


@dataclass
class Mail:
    sender: str
    recipients: list[str]
    raw: bytes


@dataclass
class Sink:
    """`answer` is said to the final dot; `after` counts down how many get it before "250 OK" (-1: all)."""

    answer: str = "250 OK"
    after: int = -1
    mails: list[Mail] = field(default_factory=list)
    refused: list[Mail] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=lambda: {"enable_SMTPUTF8": True})

    def __enter__(self) -> Self:
        self._arrived = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(
            self._loop.create_server(lambda: SMTP(self, loop=self._loop, **self.options), "127.0.0.1", 0)
        )
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    async def handle_DATA(self, server: SMTP, session: Any, envelope: Any) -> str:
        mail = Mail(envelope.mail_from.strip("<>"), list(envelope.rcpt_tos), bytes(envelope.original_content))
        answer = "250 OK" if self.after == 0 else self.answer
        self.after -= self.after > 0
        with self._arrived:
            (self.mails if answer.startswith("2") else self.refused).append(mail)
            self._arrived.notify_all()
        return answer

    def wait(self, count: int = 1, seconds: float = 20) -> list[Mail]:
        with self._arrived:
            assert self._arrived.wait_for(lambda: len(self.mails) >= count, seconds), "no mail came"
        return self.mails

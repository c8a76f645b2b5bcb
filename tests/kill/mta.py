"""A sender that behaves like a mail server: what was answered 250 is done; what wasn't is sent again, byte for byte.

Rules:
1. One message after the other, over one connection until it breaks; the next message waits for the last one's 250.
2. A token is in every message; the gateway's 250 gives its id. Both are written down.
3. 4xx and a broken connection: again, soon. 5xx is written down as a refusal, which no test here expects.
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

QUEUED = re.compile(rb"([0-9A-HJKMNP-TV-Z]{26})")
RETRY_SECONDS = 0.02


class Answered(Exception):
    """Something else than 2xx or 354."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass
class Letter:
    """`id`: what the 250 named, "" before. `unsure`: so often the connection broke after the final dot. `tries`
    counts everything. `at`: the place in its sender's order of acknowledgement, -1 before."""

    token: str
    sender: str
    to: str
    raw: bytes = field(repr=False)
    id: str = ""
    unsure: int = 0
    tries: int = 0
    at: int = -1


def letter(token: str, sender: str, to: str = "support@acme.example", *, thread: str = "", extra: str = "") -> Letter:
    """`thread`: a Message-ID that it refers to, so that the letters of a sender are one lane and one conversation."""
    references = f"References: <{thread}>\r\n" if thread else ""
    raw = (
        f"From: {sender}\r\nTo: {to}\r\nSubject: About {token}\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\n"
        f"Message-ID: <{token}@example.org>\r\n{references}{extra}\r\n"
        f"This is letter {token}, card 4111 1111 1111 1111.\r\n"
    )
    return Letter(token, sender, to, raw.encode())


class Connection:
    """An SMTP session, in clear. `cut`: so many bytes of the answer to the final dot are read, then the line is cut."""

    def __init__(self, port: int, seconds: float = 30.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), seconds)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""
        try:
            self._answer()
            self._say("EHLO sender.example.org")
        except BaseException:
            self.close()
            raise

    def send(self, letter: Letter, *, cut: int | None = None) -> bytes:
        """The answer to the final dot. Raises Answered, OSError, EOFError."""
        self._say(f"MAIL FROM:<{letter.sender}>")
        self._say(f"RCPT TO:<{letter.to}>")
        self._say("DATA")
        letter.unsure += 1
        self._socket.sendall(letter.raw + b".\r\n")
        if cut is not None:
            return self._cut(cut)
        try:
            answer = self._answer()
        except Answered:
            letter.unsure -= 1
            raise
        letter.unsure -= 1
        return answer

    def close(self) -> None:
        self._socket.close()

    def _cut(self, octets: int) -> bytes:
        got = b""
        while len(got) < octets:
            more = self._socket.recv(octets - len(got))
            if not more:
                break
            got += more
        self.close()
        return got

    def _say(self, line: str) -> bytes:
        self._socket.sendall(line.encode() + b"\r\n")
        return self._answer()

    def _answer(self) -> bytes:
        text = b""
        while True:
            while b"\r\n" not in self._buffer:
                more = self._socket.recv(65_536)
                if not more:
                    raise EOFError
                self._buffer += more
            line, _, self._buffer = self._buffer.partition(b"\r\n")
            text += line
            if line[3:4] != b"-":
                code = int(line[:3])
                if code >= 400:
                    raise Answered(code)
                return text


class Mta:
    """`port` is asked for each connection. `delivered` is called after each 250."""

    def __init__(self, name: str, port: Callable[[], int], *, thread: bool = True) -> None:
        self.sender = f"{name}@example.org"
        self._thread_id = f"root-{name}@example.org" if thread else ""
        self._name, self._port = name, port
        self._waiting: list[Letter] = []
        self._changed = threading.Condition()
        self._stopping = False
        self._numbers = 0
        self.sent: list[Letter] = []
        self.refused: list[Letter] = []
        self.answers: Counter[int] = Counter()
        self.broken = 0
        self._worker = threading.Thread(target=self._main, daemon=True)
        self._worker.start()

    def post(self, count: int = 1, to: str = "support@acme.example", extra: str = "") -> list[Letter]:
        made = []
        with self._changed:
            for _ in range(count):
                self._numbers += 1
                token = f"tok{self._name}x{self._numbers:06d}"
                made.append(letter(token, self.sender, to, thread=self._thread_id, extra=extra))
            self._waiting += made
            self._changed.notify_all()
        return made

    def adopt(self, one: Letter) -> None:
        """Somebody began to send it, and heard nothing."""
        with self._changed:
            self._waiting.append(one)
            self._changed.notify_all()

    @property
    def idle(self) -> bool:
        return not self._waiting

    def flush(self, seconds: float = 60.0) -> None:
        """Until everything is acknowledged."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._waiting, seconds):
                raise AssertionError(f"{len(self._waiting)} letters aren't acknowledged: {self.answers}")

    def acknowledged(self, more_than: int, seconds: float = 60.0) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.sent) > more_than, seconds):
                raise AssertionError(f"nothing of {self.sender} is acknowledged any more: {self.answers}")

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._worker.join(40)

    def _main(self) -> None:
        connection: Connection | None = None
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping)
                if self._stopping:
                    break
                one = self._waiting[0]
            one.tries += 1
            try:
                if connection is None:
                    connection = Connection(self._port())
                answer = connection.send(one)
            except Answered as error:
                self.answers[error.code] += 1
                if error.code >= 500:
                    with self._changed:
                        self.refused.append(self._waiting.pop(0))
                        self._changed.notify_all()
                if connection is not None:
                    connection.close()
                    connection = None
                time.sleep(RETRY_SECONDS)
            except (OSError, EOFError, ValueError):
                self.broken += 1
                if connection is not None:
                    connection.close()
                    connection = None
                time.sleep(RETRY_SECONDS)
            else:
                found = QUEUED.search(answer)
                one.id = found[1].decode() if found else "?"
                with self._changed:
                    one.at = len(self.sent)
                    self.sent.append(self._waiting.pop(0))
                    self._changed.notify_all()
        if connection is not None:
            connection.close()

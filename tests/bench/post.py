"""Hands mails in over SMTP, as a process of its own: `python post.py PORT FILE SESSIONS RATE`.

FILE is a packed list of (sender, recipient, message with dots stuffed). Sessions are kept open, under STARTTLS.
RATE 0: each session sends as fast as it is answered. Otherwise mail n is due at n / RATE seconds, whoever is free sends
it, and its time counts from when it was due: a server that falls behind isn't spared (no coordinated omission).
It prints one JSON object: `began`, `ended` (CLOCK_MONOTONIC), `dots` (ms from the final dot to 250), `waits` (ms from
when it was due to 250), `taken` ({id that the server told: when}).
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from collections import deque
from pathlib import Path

import msgspec
import uvloop

Mail = tuple[str, str, bytes]
TOLD = re.compile(rb"[0-9A-HJKMNP-TV-Z]{26}")


class Run:
    def __init__(self, mails: list[Mail], rate: float) -> None:
        self.rate = rate
        self.left = deque(enumerate(mails))
        self.dots: list[float] = []
        self.waits: list[float] = []
        self.taken: dict[str, float] = {}
        self.began = 0.0


class Session:
    def __init__(self, run: Run, port: int) -> None:
        self._run, self._port = run, port

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        await self._hear()
        await self._say(b"EHLO client.example.org")
        await self._say(b"STARTTLS")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        await self._writer.start_tls(context)
        await self._say(b"EHLO client.example.org")

    async def work(self) -> None:
        run = self._run
        while run.left:
            number, mail = run.left.popleft()
            due = run.began + number / run.rate if run.rate else time.monotonic()
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            await self._deliver(mail, due)

    async def close(self) -> None:
        self._writer.write(b"QUIT\r\n")
        self._writer.close()

    async def _deliver(self, mail: Mail, due: float) -> None:
        sender, recipient, content = mail
        await self._say(f"MAIL FROM:<{sender}>".encode())
        await self._say(f"RCPT TO:<{recipient}>".encode())
        await self._say(b"DATA")
        self._writer.write(content)
        dot = time.monotonic()
        self._writer.write(b".\r\n")
        answer = await self._hear()
        now = time.monotonic()
        self._run.dots.append((now - dot) * 1e3)
        self._run.waits.append((now - due) * 1e3)
        if told := TOLD.search(answer):
            self._run.taken[told[0].decode()] = now

    async def _say(self, line: bytes) -> bytes:
        self._writer.write(line + b"\r\n")
        return await self._hear()

    async def _hear(self) -> bytes:
        while True:
            line = await self._reader.readline()
            if line[3:4] != b"-":
                break
        if not line or line[:1] in b"45":
            raise SystemExit(f"refused: {line.decode(errors='replace')}")
        return line


async def main(port: int, file: Path, sessions: int, rate: float) -> None:
    run = Run(msgspec.msgpack.decode(file.read_bytes(), type=list[Mail]), rate)
    all_ = [Session(run, port) for _ in range(min(sessions, len(run.left)))]
    for session in all_:
        await session.open()
    run.began = time.monotonic()
    await asyncio.gather(*(session.work() for session in all_))
    ended = time.monotonic()
    for session in all_:
        await session.close()
    print(
        json.dumps({"began": run.began, "ended": ended, "dots": run.dots, "waits": run.waits, "taken": run.taken}),
        flush=True,
    )


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))

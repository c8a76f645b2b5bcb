"""A relay between a mail server and us that loses replies: what is told to the final dot doesn't get through."""

from __future__ import annotations

import asyncio
import threading
from types import TracebackType
from typing import Self


class LosingReplies:
    """Forwards connections to `target`. Once a final dot has passed, so many replies (`losses`) are swallowed and the
    connection is cut; `lost` are those replies. TLS can't be looked into: for connections in clear."""

    def __init__(self, target: int, losses: int = 1) -> None:
        self._target, self._losses = target, losses
        self.lost: list[bytes] = []

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(self._start())
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

    async def _start(self) -> asyncio.Server:
        return await asyncio.start_server(self._connected, "127.0.0.1", 0)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        ended = asyncio.Event()

        async def up() -> None:
            seen = b""
            while data := await reader.read(65_536):
                seen = (seen + data)[-5:]
                inner_writer.write(data)
                if seen == b"\r\n.\r\n" or data.endswith(b"\r\n.\r\nQUIT\r\n"):
                    ended.set()
            inner_writer.close()

        async def down() -> None:
            while data := await inner_reader.read(65_536):
                if ended.is_set() and len(self.lost) < self._losses:
                    self.lost.append(data)
                    break
                writer.write(data)
            writer.close()
            inner_writer.close()

        await asyncio.gather(up(), down(), return_exceptions=True)

"""A connection that speaks SMTP: reading, replying, timing, TLS and endings; `session` has the commands.

It is aiosmtpd's protocol class with our own inside. What stays aiosmtpd's: the command table, the envelope and session
objects. What is ours, and why: its DATA loop keeps 300 MB of a line without an end, its address parser takes 42 % of
the time, its exceptions become 500 and tell their text, its log tells addresses, a lost connection cancels the commit.

Rules:
1. A peer hears constant texts. An error of ours is 451 4.3.0, never a 5xx, never its text.
2. A peer that talks out of turn (before the greeting, behind EHLO, STARTTLS, AUTH or DATA, or in a group without ESMTP)
   is shown out: whatever it sent is not run. Groups of MAIL, RCPT and RSET are fine (RFC 2920).
3. Neither the end of a connection nor its timers cancel what was handed over.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import AnyStr, Final, cast

from aiosmtpd.smtp import SMTP

from channels.email.data_reader import DataReader
from channels.email.house import House
from channels.email.paths import Refused
from channels.email.received import canonical
from channels.email.settings import Kind, Listen
from channels.email.wire import Dismissed, Expired, Garbled, Gone, LineTooLong, Wire

HTTP_VERBS: Final = frozenset(
    (b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"CONNECT", b"TRACE", b"PATCH", b"PRI")
)
GROUPED: Final = frozenset((b"MAIL", b"RCPT", b"RSET", b"QUIT"))
"""Commands after which others may already stand (RFC 2920, section 3.1); behind QUIT nothing is read."""
JUNK: Final = frozenset((b"NOOP", b"RSET", b"VRFY", b"EXPN", b"HELP", b"EHLO", b"HELO"))
LINGER_SECONDS: Final = 1.0
"""After a refusal in mid-stream the peer's bytes are read for so long, or a reset would eat the answer."""
RATE_GRACE_SECONDS: Final = 10.0

TEMPORARY: Final = "451 4.3.0 Temporary failure, try again later"
OUT_OF_TURN: Final = "554 5.5.0 Unsynchronised commands, closing"


class Close(Exception):
    """Ends the session with a last reply; `linger` reads on for a moment, so that the reply arrives."""

    def __init__(self, reply: str, *, linger: bool = False) -> None:
        super().__init__(reply)
        self.reply, self.linger = reply, linger


class _NoHooks:
    """aiosmtpd wants a handler."""


class Connection(SMTP):
    """Subclasses add the commands, as `smtp_NAME(argument)`."""

    def __init__(self, house: House, listen: Listen, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(_NoHooks(), hostname=house.config.hostname, ident="", loop=loop, enable_SMTPUTF8=True)
        self._house, self._listen, self._limits = house, listen, house.limits
        self._commands: dict[bytes, Callable[[str], Awaitable[None]]] = {
            name.encode(): method for name, method in self._smtp_methods.items()
        }
        self._wire = Wire(loop, self._pause, self._resume)
        self._socket: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._writable: asyncio.Future[None] | None = None
        self._peer: str | None = None
        self._helo = ""
        self._extended = False
        self._errors = self._junk = 0
        self._content_reader: DataReader | None = None
        self._content_began = 0.0
        self._content_held = 0
        self._deadline = self._last = 0.0
        self._dismissed = self._securing = False

    # --- the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = cast(asyncio.Transport, transport)
        self._securing = self._tls is not None
        name = transport.get_extra_info("peername")
        self._peer = canonical(str(name[0])) if isinstance(name, tuple) else None
        if not self._house.enter(self, self._peer):
            self._socket.write(b"421 4.7.0 Too many connections, try again later\r\n")
            self._socket.close()
            return
        self._last = self.loop.time() + self._limits.session_seconds
        self._handler_coroutine = self.loop.create_task(self._handle_client())

    def data_received(self, data: bytes) -> None:
        self._wire.feed(data)

    def eof_received(self) -> bool:
        self._wire.feed_eof()
        return not self._securing  # in clear our half stays open: the answer may still be awaited

    def connection_lost(self, error: Exception | None) -> None:
        self._wire.feed_eof()
        self.resume_writing()
        self._socket = None

    def pause_writing(self) -> None:
        self._writable = self.loop.create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def _pause(self) -> None:
        if self._socket is not None:
            self._socket.pause_reading()

    def _resume(self) -> None:
        if self._socket is not None:
            self._socket.resume_reading()

    @property
    def _tls(self) -> ssl.SSLObject | None:
        return None if self._socket is None else self._socket.get_extra_info("ssl_object")

    # --- the house's view

    def look(self, now: float) -> None:
        reader = self._content_reader
        if self._writable is not None and now > self._deadline:
            self.abort()
        elif now > self._deadline or now > self._last:
            self._wire.interrupt(Expired())
        elif reader is not None:
            seconds = now - self._content_began
            if seconds > RATE_GRACE_SECONDS and reader.received < seconds * self._limits.data_bytes_per_second:
                self._wire.interrupt(Expired())

    def dismiss(self) -> None:
        self._dismissed = True
        if self._content_reader is None:
            self._wire.interrupt(Dismissed())

    def abort(self) -> None:
        if self._socket is not None:
            self._socket.abort()

    # --- replies

    async def push(self, status: AnyStr) -> None:
        """Replies of a group go out together."""
        line = status.encode("ascii", "replace") if isinstance(status, str) else status
        self._out.append(line.translate(None, b"\r\n") + b"\r\n")
        if not self._wire.has_line():
            await self._flush()

    async def _flush(self) -> None:
        self._write()
        if self._writable is not None:
            self._deadline = self.loop.time() + self._limits.command_seconds
            await self._writable

    def _write(self) -> None:
        if self._out and self._socket is not None:
            self._socket.write(b"".join(self._out))
        self._out.clear()

    async def _refuse(self, reply: str) -> None:
        """An error of the peer's; too many end the session."""
        self._errors += 1
        if self._errors > self._limits.session_errors:
            raise Close("421 4.7.0 Too many errors, closing")
        await self.push(reply)

    # --- the conversation

    async def _handle_client(self) -> None:
        try:
            await self._converse()
        except Close as close:
            await self._part(close.reply, linger=close.linger)
        except Expired:
            await self._part("421 4.4.2 Timeout, closing")
        except Dismissed:
            await self._part("421 4.3.2 Shutting down, try again later")
        except Garbled:
            await self._part("500 5.5.2 Bad line, closing", linger=True)
        except LineTooLong:
            await self._part("500 5.5.2 Line too long, closing", linger=True)
        except (Gone, ConnectionError, ssl.SSLError):
            pass
        except Exception as error:  # noqa: BLE001 - rule 1
            self._house.on_fault(error)
            self._house.counts["session.fault"] += 1
            await self._part(TEMPORARY)
        finally:
            self._forget_content()
            self._house.leave(self)
            if self._socket is not None:
                self._socket.close()

    async def _part(self, reply: str, *, linger: bool = False) -> None:
        self._out.append(reply.encode("ascii") + b"\r\n")
        self._write()
        if linger and self._socket is not None:
            self._wire.discarding = True
            self._wire.clear()
            if self._tls is None:
                self._socket.write_eof()
            self._deadline = self._last = self.loop.time() + LINGER_SECONDS
            try:
                while True:
                    await self._wire.more()
            except (Gone, Expired, Dismissed):
                pass

    async def _converse(self) -> None:
        await self._greet()
        wire, limits = self._wire, self._limits
        while True:
            if self._dismissed:
                raise Dismissed
            self._deadline = self.loop.time() + limits.command_seconds
            line = await wire.line(limits.command_line_bytes)
            verb, _, argument = line.partition(b" ")
            verb = verb.upper()
            if wire.pending and (verb not in GROUPED or not self._extended):
                self._house.counts["session.unsynchronised"] += 1
                raise Close(OUT_OF_TURN, linger=True)
            if verb in JUNK:
                self._junk += 1
                if self._junk > limits.junk_commands:
                    raise Close("421 4.7.0 Too many idle commands, closing")
            await self._run(verb, argument)

    async def _run(self, verb: bytes, argument: bytes) -> None:
        command = self._commands.get(verb)
        if command is None:
            if verb in HTTP_VERBS:
                raise Close("554 5.5.1 This is SMTP, closing", linger=True)
            await self._refuse("500 5.5.1 Unknown command")
            return
        try:
            text = argument.decode("utf-8").strip(" ")
        except UnicodeDecodeError:
            await self._refuse("500 5.5.2 Neither ASCII nor UTF-8")
            return
        try:
            await command(text)
        except Refused as refused:
            await self._refuse(refused.reply)

    async def _greet(self) -> None:
        """Spam programs often don't wait for the greeting; servers do."""
        seconds = self._limits.greeting_seconds if self._listen.kind is Kind.MX else 0.0
        self._deadline = self.loop.time() + seconds + self._limits.command_seconds
        try:
            async with asyncio.timeout(seconds):
                if not self._wire.pending:
                    await self._wire.more()
        except TimeoutError:
            pass
        if self._wire.pending:
            self._house.counts["session.early"] += 1
            raise Close(OUT_OF_TURN, linger=True)
        await self.push(f"220 {self._house.config.hostname} ESMTP")

    async def _secure(self) -> None:
        """No await between looking at what is pending and handing the socket to TLS: nothing can slip in."""
        if self._wire.pending:
            raise Close(OUT_OF_TURN)
        tls, plain = self._listen.tls, self._socket
        if tls is None or plain is None:
            raise Gone
        self._securing = True
        self._deadline = self.loop.time() + 2 * self._limits.command_seconds
        secured = await self.loop.start_tls(
            plain, self, tls.newest(), server_side=True, ssl_handshake_timeout=self._limits.command_seconds
        )  # fmt: skip
        if secured is None:
            raise Gone
        self._socket = secured

    def _forget_content(self) -> None:
        """Gives back the memory that content took."""
        self._content_reader = None
        self._house.keep(-self._content_held)
        self._content_held = 0

"""Sending by SMTP (RFC 5321): to a smarthost, or to the recipient's mail exchangers.

Rules:
1. `Demand.REQUIRED` means TLS with a certificate that names the host; no way leads from it to clear text. PREFERRED
   takes TLS as it comes and clear only where none is offered; a smarthost without TLS is for loopback alone.
2. Once the body went out, only an answer of 4xx is a retry and only one of 5xx a refusal. Whatever else comes (nothing,
   a lost connection, a garbled answer, another code) is DOUBT: the other side may have taken it.
3. A payload is sent byte for byte as it was signed. One that has a bare CR or LF, a NUL or a line that is too long is
   refused before a connection is made: nothing is repaired, and nothing can be smuggled.
4. The other side's words go nowhere; a receipt carries a fixed token and the reply code.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import aiosmtplib
from aiosmtplib.errors import (
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPNotSupported,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from channels.contract import Demand, Outbound, Receipt, SendResult
from keys.secret import Secret
from keys.tls import client_context

EXCHANGERS: Final = 5
"""So many mail exchangers of a domain are tried in one attempt; RFC 5321, section 5.1, asks for at least two."""
LINE_BYTES: Final = 998
"""RFC 5322, section 2.1.1."""
_BEFORE_MAIL: Final = ("connect", "ehlo", "starttls")


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """A smarthost. `tls`: "starttls", "implicit", or "none" on loopback."""

    host: str
    port: int
    tls: str = "starttls"
    login: str = ""
    password: Secret[str] | None = None


class Unroutable(Exception):
    """No server takes mail for a domain. `reason` is a fixed token; `permanent` tells whether waiting could help."""

    def __init__(self, reason: str, *, permanent: bool) -> None:
        super().__init__(reason)
        self.reason, self.permanent = reason, permanent


class Exchangers(Protocol):
    """Where a domain's mail goes (RFC 5321, section 5.1; RFC 7505 for the null MX)."""

    async def exchangers(self, domain: str, /) -> tuple[str, ...]:
        """Host names, best first. Raises Unroutable."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`hostname` is our name in EHLO; `tls` a client context that verifies; `sign` gives a DKIM-Signature header with
    its CRLF. `port` is the exchangers' port; times are seconds."""

    hostname: str
    tls: ssl.SSLContext
    relay: Relay | None = None
    exchangers: Exchangers | None = None
    sign: Callable[[bytes], bytes] | None = None
    port: int = 25
    seconds: float = 300.0
    connect_seconds: float = 30.0


class SmtpOut:
    """Sends one message at a time over a connection of its own."""

    def __init__(self, route: Route) -> None:
        if route.relay and route.relay.tls == "none" and route.relay.host not in ("127.0.0.1", "::1", "localhost"):
            raise ValueError("a smarthost without TLS is for loopback only")
        self._route = route

    async def send(self, message: Outbound, /) -> Receipt:
        """Never raises but on cancellation."""
        payload = message.payload.reveal()
        if not well_formed(payload):
            return Receipt(result=SendResult.REFUSED, reason="payload.malformed")
        try:
            hosts = await self._hosts(message)
        except Unroutable as error:
            return Receipt(result=SendResult.REFUSED if error.permanent else SendResult.RETRY, reason=error.reason)
        if self._route.sign is not None:
            payload = self._route.sign(payload) + payload
        receipt = Receipt(result=SendResult.RETRY, reason="host.unreachable")
        for host, port in hosts:
            receipt, another = await self._attempt(message, payload, host, port)
            if not another:
                break
        return receipt

    async def _hosts(self, message: Outbound) -> list[tuple[str, int]]:
        route = self._route
        if route.relay is not None:
            return [(route.relay.host, route.relay.port)]
        if route.exchangers is None:
            raise Unroutable("route.absent", permanent=False)
        found = await route.exchangers.exchangers(message.to.rpartition("@")[2])
        return [(host, route.port) for host in found[:EXCHANGERS]]

    async def _attempt(self, message: Outbound, payload: bytes, host: str, port: int) -> tuple[Receipt, bool]:
        """One host; the second value tells whether another one may be tried."""
        attempt = _Attempt(self._route, message, payload, host, port)
        try:
            async with asyncio.timeout(self._route.seconds):
                return await attempt.run(), False
        except _Refused as refused:
            return refused.receipt, refused.another
        except SMTPResponseException as error:
            if attempt.step in _BEFORE_MAIL:
                return attempt.receipt(SendResult.RETRY, f"smtp.{attempt.step}", error.code), True
            if attempt.body_sent and not 400 <= error.code < 600:
                return attempt.receipt(SendResult.DOUBT, "answer.unclear", max(error.code, 0)), False
            result = SendResult.REFUSED if 500 <= error.code < 600 else SendResult.RETRY
            return attempt.receipt(result, f"smtp.{attempt.step}", error.code), False
        except (SMTPException, OSError, TimeoutError, ssl.SSLError) as error:
            if attempt.body_sent:
                return attempt.receipt(SendResult.DOUBT, "connection.lost-after-body"), False
            return attempt.receipt(SendResult.RETRY, _reason(error)), True
        except Exception:  # whatever the client tripped over: a body that went out isn't sent again by itself
            if attempt.body_sent:
                return attempt.receipt(SendResult.DOUBT, "answer.unclear"), False
            raise
        finally:
            attempt.close()


class _Refused(Exception):
    def __init__(self, receipt: Receipt, *, another: bool = False) -> None:
        super().__init__(receipt.reason)
        self.receipt, self.another = receipt, another


class _Attempt:
    """One session with one host. `step` is the command under way; `body_sent`, whether the body was handed over."""

    def __init__(self, route: Route, message: Outbound, payload: bytes, host: str, port: int) -> None:
        self._route, self._message, self._payload = route, message, payload
        relay = route.relay
        self._demand = Demand.REQUIRED if relay and relay.tls != "none" else message.tls
        if relay and relay.tls == "none":
            self._demand = Demand.NONE
        self.step = "connect"
        self.body_sent = False
        self._tls: str | None = None
        self._client = aiosmtplib.SMTP(
            hostname=host,
            port=port,
            local_hostname=route.hostname,
            timeout=route.connect_seconds,
            use_tls=bool(relay and relay.tls == "implicit"),
            start_tls=False,
            tls_context=self._context(),
        )

    async def run(self) -> Receipt:
        client, message = self._client, self._message
        await client.connect()
        client.timeout = self._route.seconds
        self.step = "ehlo"
        await client.ehlo()
        await self._secure()
        await self._log_in()
        options = [f"SIZE={len(self._payload)}"] if client.supports_extension("size") else []
        options += self._eight_bit()
        self.step = "mail"
        await self._command(b"MAIL", b"FROM:<" + self._path(message.mail_from or "") + b">", *map(str.encode, options))
        self.step = "rcpt"
        await self._command(b"RCPT", b"TO:<" + self._path(message.to) + b">")
        self.step = "data"
        self._watch_body()
        await client.data(self._payload)
        receipt = self.receipt(SendResult.SENT, "", 250)
        try:
            await client.quit(timeout=5)
        except (SMTPException, OSError):
            pass  # it was taken: how the session ends is of no consequence
        return receipt

    def receipt(self, result: SendResult, reason: str, code: int = 0) -> Receipt:
        return Receipt(result=result, reason=reason, code=code, tls=self._tls)

    def close(self) -> None:
        self._client.close()

    async def _command(self, *words: bytes) -> None:
        response = await self._client.execute_command(*words)
        if not 200 <= response.code < 300:
            raise SMTPResponseException(response.code, "")

    async def _secure(self) -> None:
        client = self._client
        if client.get_transport_info("ssl_object") is None and self._demand is not Demand.NONE:
            if client.supports_extension("starttls"):
                self.step = "starttls"
                await client.starttls(tls_context=self._context())
                await client.ehlo()
            elif self._demand is Demand.REQUIRED:
                raise _Refused(self.receipt(SendResult.RETRY, "tls.unavailable"), another=True)
        layer = client.get_transport_info("ssl_object")
        self._tls = layer.version() if isinstance(layer, (ssl.SSLObject, ssl.SSLSocket)) else None

    async def _log_in(self) -> None:
        relay = self._route.relay
        if relay is None or not relay.login:
            return
        self.step = "auth"
        if self._tls is None and relay.tls != "none":
            raise _Refused(self.receipt(SendResult.RETRY, "tls.unavailable"))
        try:
            await self._client.login(relay.login, relay.password.reveal() if relay.password else "")
        except SMTPAuthenticationError as error:
            # our own credentials are wrong: the message isn't to blame, and an admin can put it right
            raise _Refused(self.receipt(SendResult.RETRY, "auth.refused", error.code)) from None

    def _eight_bit(self) -> list[str]:
        """What the message needs of RFC 6152 and RFC 6531."""
        client, message = self._client, self._message
        head, _, body = self._payload.partition(b"\r\n\r\n")
        local_parts = [address.rpartition("@")[0] for address in (message.to, message.mail_from or "")]
        if not head.isascii() or not "".join(local_parts).isascii():
            if not client.supports_extension("smtputf8"):
                raise _Refused(self.receipt(SendResult.REFUSED, "smtputf8.unsupported"), another=True)
            return ["SMTPUTF8", "BODY=8BITMIME"]
        if not body.isascii():
            if not client.supports_extension("8bitmime"):
                raise _Refused(self.receipt(SendResult.REFUSED, "8bitmime.unsupported"), another=True)
            return ["BODY=8BITMIME"]
        return []

    def _path(self, address: str) -> bytes:
        """The address as it goes on the wire: a domain in A-labels unless the whole address needs SMTPUTF8."""
        local, at, domain = address.rpartition("@")
        if local.isascii() and not domain.isascii():
            domain = domain.encode("idna").decode("ascii")
        return f"{local}{at}{domain}".encode()

    def _context(self) -> ssl.SSLContext:
        if self._route.relay is not None or self._demand is Demand.REQUIRED:
            return self._route.tls
        return client_context(verify=False)

    def _watch_body(self) -> None:
        """aiosmtplib doesn't tell whether the body went out before a connection was lost: the write tells."""
        protocol = self._client.protocol
        if protocol is None:
            raise SMTPServerDisconnected("")
        write = protocol.write

        def noted(data: bytes) -> None:
            self.body_sent = self.body_sent or data.endswith(b"\r\n.\r\n")
            write(data)

        protocol.write = noted  # type: ignore[method-assign]


def well_formed(payload: bytes) -> bool:
    """CRLF ends every line and stands nowhere else; no NUL; no line is longer than RFC 5322 permits."""
    ends = payload.count(b"\r\n")
    if {payload.count(b"\r"), payload.count(b"\n")} != {ends} or b"\0" in payload or not payload.endswith(b"\r\n"):
        return False
    return max(map(len, payload.split(b"\r\n"))) <= LINE_BYTES


def _reason(error: Exception) -> str:
    causes = (error, error.__cause__, error.__context__)
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return "tls.unverified"
    if any(isinstance(cause, ssl.SSLError) for cause in causes):
        return "tls.failed"
    if isinstance(error, SMTPNotSupported):
        return "tls.unavailable"
    if isinstance(error, SMTPConnectError):
        return "host.unreachable"
    if isinstance(error, TimeoutError):
        return "host.slow"
    return "connection.lost"

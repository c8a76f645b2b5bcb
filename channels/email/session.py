"""The commands of one SMTP session (RFC 5321; RFC 6409 for submission), for mailboxes of ours only.

Rules:
1. After STARTTLS nothing from before counts (RFC 3207, section 4.2); there is no AUTH in clear.
2. One message goes to one mailbox, for its terms are judged as one. Recipients of another mailbox hear 452 and are sent
   again at once (RFC 5321, section 4.5.3.1.10).
3. Nothing is relayed, whatever the address looks like and whoever logged in.
"""

from __future__ import annotations

import asyncio
from typing import Final

from channels.contract import Address, Answer, Demand, Envelope, Terms, Verdict
from channels.email import login, paths
from channels.email.address import domain_of
from channels.email.connection import OUT_OF_TURN, TEMPORARY, Close, Connection
from channels.email.data_reader import DataReader, Endless, Fault
from channels.email.facts import Delivery, Source
from channels.email.house import House
from channels.email.settings import Kind, Listen

FAULTS: Final = {
    Fault.BARE_NEWLINE: "550 5.6.11 Bare CR or LF in the message, closing",
    Fault.NUL: "550 5.6.0 NUL in the message, closing",
    Fault.LONG_LINE: "550 5.6.0 Line too long in the message, closing",
    Fault.TOO_LARGE: "552 5.3.4 Message too large, closing",
    Fault.NO_MEMORY: "452 4.3.1 No room just now, closing",
}



class Session(Connection):
    def __init__(self, house: House, listen: Listen, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(house, listen, loop)
        self._mail: paths.MailFrom | None = None
        self._rcpts: list[Address] = []
        self._terms: Terms | None = None
        self._login: str | None = None
        self._login_failures = 0
        self._messages = 0

    # --- greeting and TLS

    async def smtp_HELO(self, hostname: str) -> None:
        await self._hello(hostname, extended=False)

    async def smtp_EHLO(self, hostname: str) -> None:
        await self._hello(hostname, extended=True)

    async def _hello(self, name: str, *, extended: bool) -> None:
        if not login.HELO.fullmatch(name):
            await self._refuse("501 5.5.4 Bad host name")
            return
        self._reset()
        self._helo, self._extended = name, extended
        lines = [self._house.config.hostname]
        if extended:
            lines += [f"SIZE {self._limits.message_bytes}", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SMTPUTF8"]
            if self._may_start_tls():
                lines.append("STARTTLS")
            if self._may_log_in():
                lines.append("AUTH PLAIN LOGIN")
        self._out += [f"250-{line}\r\n".encode() for line in lines[:-1]]
        await self.push(f"250 {lines[-1]}")

    def _may_start_tls(self) -> bool:
        return self._listen.tls is not None and self._tls is None and self._listen.starttls is not Demand.NONE

    def _may_log_in(self) -> bool:
        return self._listen.kind is Kind.SUBMISSION and self._listen.users is not None and self._tls is not None

    async def smtp_STARTTLS(self, argument: str) -> None:
        if argument:
            await self._refuse("501 5.5.4 No argument here")
        elif not self._may_start_tls():
            await self._refuse("503 5.5.1 Not now")
        elif not self._helo:
            await self._refuse("503 5.5.1 Say EHLO first")
        else:
            self._out.append(b"220 2.0.0 Go ahead\r\n")
            self._write()
            await self._secure()
            self._reset()
            self._helo, self._extended, self._junk = "", False, 0

    # --- logging in

    async def smtp_AUTH(self, argument: str) -> None:
        if self._listen.kind is not Kind.SUBMISSION or self._listen.users is None:
            await self._refuse("502 5.5.1 No logins here")
        elif self._tls is None:
            await self._refuse("538 5.7.11 Encryption required")
        elif not self._extended:
            await self._refuse("503 5.5.1 Say EHLO first")
        elif self._login is not None or self._mail is not None:
            await self._refuse("503 5.5.1 Not now")
        else:
            credentials = await login.ask(argument, self._challenge)
            async with self._house.passwords:
                good = await asyncio.to_thread(self._listen.users.verify, credentials.name, credentials.password)
            if good:
                self._login = credentials.name
                await self.push("235 2.7.0 Welcome")
                return
            self._house.counts["login.failed"] += 1
            self._login_failures += 1
            if self._login_failures >= self._limits.login_attempts:
                raise Close("421 4.7.0 Too many failed logins, closing")
            await self._refuse("535 5.7.8 Bad credentials")

    async def _challenge(self, text: str) -> bytes:
        await self.push(f"334 {text}")
        self._deadline = self.loop.time() + self._limits.command_seconds
        line = await self._wire.line(self._limits.command_line_bytes)
        if self._wire.pending:
            raise Close(OUT_OF_TURN, linger=True)
        return line

    # --- the envelope

    async def smtp_MAIL(self, argument: str) -> None:
        if not self._helo:
            await self._refuse("503 5.5.1 Say EHLO first")
        elif self._tls is None and self._listen.starttls is Demand.REQUIRED:
            await self._refuse("530 5.7.0 Must issue a STARTTLS command first")
        elif self._listen.kind is Kind.SUBMISSION and self._login is None:
            await self._refuse("530 5.7.0 Authentication required")
        elif self._mail is not None:
            await self._refuse("503 5.5.1 One message at a time")
        elif self._messages >= self._limits.session_messages:
            raise Close("421 4.7.0 Enough messages for one session, closing")
        else:
            found = paths.mail(argument, extended=self._extended, login=self._may_log_in())
            if found.size > self._limits.message_bytes:
                await self._refuse("552 5.3.4 Message too large")
                return
            self._mail = found
            await self.push("250 2.1.0 OK")

    async def smtp_RCPT(self, argument: str) -> None:
        if self._mail is None:
            await self._refuse("503 5.5.1 MAIL first")
            return
        recipient = paths.recipient(argument, extended=self._extended, smtputf8=self._mail.smtputf8)
        candidates = self._house.postmaster if recipient is None else (recipient,)
        for address in candidates:
            terms = self._house.directory.terms(address)
            if terms is not None:
                await self._add(address, terms, self._mail.size)
                return
        ours = recipient is None or domain_of(recipient) in self._house.config.domains
        if recipient is not None and (not ours or paths.routes(recipient)):
            await self._refuse("550 5.7.1 Relaying denied")
        else:
            await self._refuse("550 5.1.1 No such mailbox")

    async def _add(self, address: Address, terms: Terms, size: int) -> None:
        if size > terms.max_bytes:
            await self._refuse("552 5.3.4 Message too large for this mailbox")
        elif len(self._rcpts) >= self._limits.recipients or (
            self._terms is not None and self._terms.mailbox != terms.mailbox
        ):
            await self.push("452 4.5.3 Too many recipients, send the others separately")
        else:
            self._terms = terms
            if address not in self._rcpts:
                self._rcpts.append(address)
            await self.push("250 2.1.5 OK")

    def _reset(self) -> None:
        self._mail, self._terms, self._rcpts = None, None, []

    # --- the content

    async def smtp_DATA(self, argument: str) -> None:
        if argument:
            await self._refuse("501 5.5.4 No argument here")
        elif self._mail is None:
            await self._refuse("503 5.5.1 MAIL first")
        elif self._terms is None:
            await self._refuse("554 5.5.1 No valid recipients")
        else:
            await self.push("354 End with a dot on a line of its own")
            try:
                await self._receive(min(self._limits.message_bytes, self._terms.max_bytes), self._mail, self._terms)
            finally:
                self._forget_content()

    async def _receive(self, max_bytes: int, mail: paths.MailFrom, terms: Terms) -> None:
        raw = await self._content(max_bytes)
        envelope = Envelope(mail_from=mail.address, rcpt_to=tuple(self._rcpts))
        delivery = Delivery(
            source=self._source(), certificate=self._certificate(), envelope=envelope, terms=terms, raw=raw
        )
        self._reset()
        self._messages += 1
        self._junk = 0
        try:
            answer = await self._house.receive(delivery)
        except Exception as error:  # noqa: BLE001 - an error of ours is temporary, and its text stays here
            self._house.on_fault(error)
            self._house.counts["session.fault"] += 1
            await self.push(TEMPORARY)
            return
        self._house.counts[f"message.{answer.verdict.value}"] += 1
        await self.push(reply_to(answer))

    async def _content(self, max_bytes: int) -> bytes:
        """Raises Close for what is refused as a whole."""
        house = self._house
        reader = self._content_reader = DataReader(max_bytes=max_bytes, line_bytes=self._limits.line_bytes)
        self._content_began = self.loop.time()
        self._deadline = self._content_began + self._limits.data_seconds
        rest: bytes | None = None
        try:
            while rest is None:
                rest = reader.feed(await self._wire.take())
                if not house.keep(reader.held - self._content_held):
                    reader.stop(Fault.NO_MEMORY)
                    house.keep(reader.held - self._content_held)
                self._content_held = reader.held
        except Endless:
            pass
        self._content_reader = None
        if reader.fault is not None:
            house.counts[f"content.{reader.fault.name.lower()}"] += 1
            raise Close(FAULTS[reader.fault], linger=True)
        if rest:
            if not self._extended:
                raise Close(OUT_OF_TURN, linger=True)
            self._wire.give_back(rest)
        return reader.content()

    def _source(self) -> Source:
        tls = self._tls
        cipher = tls.cipher() if tls is not None else None
        return Source(
            tls=tls.version() if tls is not None else None,
            cipher=cipher[0] if cipher else None,
            peer=self._peer,
            helo=self._helo,
            login=self._login,
        )

    def _certificate(self) -> str:
        tls = self._tls
        shown = tls.getpeercert(binary_form=True) if tls is not None else None
        return login.fingerprint(shown) if shown else ""

    # --- the rest

    async def smtp_RSET(self, argument: str) -> None:
        self._reset()
        await self.push("250 2.0.0 OK")

    async def smtp_NOOP(self, argument: str) -> None:
        await self.push("250 2.0.0 OK")

    async def smtp_QUIT(self, argument: str) -> None:
        raise Close("221 2.0.0 Bye")

    async def smtp_HELP(self, argument: str) -> None:
        await self.push("214 2.0.0 RFC 5321")

    async def smtp_VRFY(self, argument: str) -> None:
        await self.push("252 2.1.5 Send a message and see")

    async def smtp_EXPN(self, argument: str) -> None:
        await self._refuse("502 5.5.1 Not here")


def reply_to(answer: Answer) -> str:
    """The reply line for an answer (RFC 5321, section 4.2; RFC 3463)."""
    if answer.verdict is Verdict.ACCEPTED:
        return f"250 2.0.0 Queued as {answer.wire_id}" if answer.wire_id else "250 2.0.0 Queued"
    family = answer.status.partition(".")[0]
    if answer.verdict is Verdict.DEFERRED:
        code = "452" if answer.status == "3.1" else "450" if family == "7" else "451"
        return f"{code} 4.{answer.status} {answer.says}"
    return f"{'552' if answer.status == '3.4' else '550'} 5.{answer.status} {answer.says}"


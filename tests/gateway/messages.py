"""Messages at each step of the path, for tests that begin there."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from channels.contract import (
    Address,
    Authentication,
    ChannelName,
    Demand,
    Envelope,
    Inbound,
    MailboxName,
    Pace,
    Result,
    Terms,
    Transport,
    WireId,
)
from gateway.layers import _MINT, Passed
from gateway.opened import Attachment, Opened, Part, Protection
from gateway.reply import Reply
from gateway.sanitized import SafeText, Sanitized, Trust
from keys.secret import Secret

AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
ALICE = Address("alice@example.org")
M = TypeVar("M")


def passed(message: M) -> Passed[M]:
    """As if a layer had passed it: what follows a layer is tested without it."""
    return Passed(message, _MINT)


def inbound(**changes: Any) -> Inbound:
    made = Inbound(
        channel=ChannelName("email"),
        wire_id=WireId("01WIRE"),
        sender=ALICE,
        thread=None,
        received_at=AT,
        transport=Transport(tls="TLSv1.3", peer="192.0.2.1"),
        envelope=Envelope(mail_from=ALICE, rcpt_to=(Address("support@acme.example"),)),
        authentication=Authentication(
            spf=Result.PASS, dmarc=Result.PASS, dmarc_domain="example.org", author_domain="example.org"
        ),
        terms=Terms(mailbox=MailboxName("support"), queue="support", language="en"),
        pace=Pace(),
        dedupe_key=b"",
        lane=b"",
        raw=Secret(b"raw"),
    )
    return replace(made, **changes)


def opened(**changes: Any) -> Opened:
    """Texts may be given as they are."""
    for name in ("text", "subject", "author_name"):
        if isinstance(changes.get(name), str):
            changes[name] = Secret(changes[name])
    made = Opened(
        inbound=inbound(),
        author=ALICE,
        author_name=Secret("Alice Moreno"),
        author_count=1,
        subject=Secret("Hello"),
        reply_to=(),
        message_id="<m1@example.org>",
        references=(),
        date=AT,
        automatic=False,
        text=Secret("Hi there"),
        html=False,
        language="en",
        protection=Protection.NONE,
        subject_encrypted=False,
        signatures=(),
        failures=(),
        oddities=(),
        active=(),
        parts=(),
        attachments=(),
    )
    return replace(made, **changes)


def with_attachment(
    content: bytes, media_type: str = "text/plain", name: str = "note.txt", charset: str = ""
) -> Opened:
    return opened(
        attachments=(Attachment(path="2", name=Secret(name), media_type=media_type, content=Secret(content)),),
        parts=(Part(path="2", media_type=media_type, charset=charset),),
    )


def sanitized(**changes: Any) -> Sanitized:
    made = Sanitized(
        author=SafeText("alice@example.org"),
        author_name=SafeText("Alice"),
        subject=SafeText("Hello"),
        text=SafeText("Hi there\n\tindented"),
        attachments=(),
        redactions={},
        trust=Trust(
            tls="TLSv1.3",
            encrypted="none",
            subject_encrypted=False,
            signatures=(),
            spf="pass",
            dkim="none",
            dmarc="pass",
            authenticated_domain=SafeText("example.org"),
        ),
        message_id=SafeText("<m1@example.org>"),
        references=(),
        language="en",
        automatic=False,
        sent_at=AT,
    )
    return replace(made, **changes)


def reply(**changes: Any) -> Reply:
    """Texts may be given as they are."""
    for name in ("text", "subject"):
        if isinstance(changes.get(name), str):
            changes[name] = Secret(changes[name])
    made = Reply(
        id="01JZREPLY",
        conversation="01JZTALK",
        author="ann",
        text=Secret("Dear Alice,\n\nit is on its way.\n\nAnn"),
        subject=Secret("Re: Where is my order?"),
        to=ALICE,
        mailbox=MailboxName("support"),
        language="en",
        number="2026-000042",
        message_id="<01jzreply@acme.example>",
        in_reply_to="<m2@example.org>",
        references=("<m1@example.org>", "<m0@example.org>"),
        certificates=(),
        correspondent_encrypted=False,
        clear_reply=True,
        transport=Demand.REQUIRED,
    )
    return replace(made, **changes)

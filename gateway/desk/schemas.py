"""The API's types: what comes in (unknown fields refused) and what goes out. OpenAPI is made from these."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway import limits
from gateway.requests import Reason

Id = Annotated[str, Meta(pattern="^[0-9A-Za-z_-]{1,64}$", description="an opaque id")]
Word = Annotated[str, Meta(pattern="^[a-z][a-z0-9.-]{0,79}$", description="a fixed token")]


class In(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """A request's body."""


class Out(Struct, frozen=True, kw_only=True):
    """An answer."""


# --- in


class Nothing(In, frozen=True):
    """An empty object."""


class NewReply(In, frozen=True):
    text: Annotated[str, Meta(min_length=1, max_length=limits.REPLY_CHARACTERS, description="the answer, plain text")]
    seen: Annotated[int, Meta(ge=0, le=2**53, description="sequence number of the newest message that was shown")] = 0
    promised: Annotated[
        Literal["sealed", "clear", ""],
        Meta(description="protection.how as the agent saw it: weaker the reply doesn't leave; empty: as it is now"),
    ] = ""


class NewDraft(In, frozen=True):
    text: Annotated[str, Meta(max_length=limits.REPLY_CHARACTERS, description="empty deletes it")]


class Release(In, frozen=True):
    reason: Reason
    waived: Annotated[tuple[Word, ...], Meta(max_length=50, description="findings that shall not stop it again")] = ()


class Reject(In, frozen=True):
    reason: Reason


class Settings(In, frozen=True):
    language: Annotated[str, Meta(pattern="^([a-z]{2})?$", description="empty: as the browser says")]


# --- out


class Me(Out, frozen=True):
    id: str
    name: str
    role: str
    queues: tuple[str, ...]
    language: str
    may: Annotated[tuple[str, ...], Meta(description="actions that the role allows")]


class QueueLine(Out, frozen=True):
    name: str
    open: int
    claimed: int


class Queues(Out, frozen=True):
    queues: tuple[QueueLine, ...]
    mine: int
    held: int


class ClaimOut(Out, frozen=True):
    person: str
    name: str
    until: datetime


class ProtectionOut(Out, frozen=True):
    how: Annotated[str, Meta(description="sealed, clear or blocked")]
    why: str
    to: str
    plain: str


class ConversationOut(Out, frozen=True):
    id: str
    number: str
    channel: str
    mailbox: str
    queue: str
    state: str
    language: str
    encrypted: bool
    opened_at: datetime
    updated_at: datetime
    waiting_since: datetime | None
    claim: ClaimOut | None


class SignatureOut(Out, frozen=True):
    status: str
    fingerprint: str
    signer: str
    covers: str


class FindingOut(Out, frozen=True):
    code: str
    layer: str
    plain: str


class TrustOut(Out, frozen=True):
    tls: str
    encrypted: str
    subject_encrypted: bool
    signatures: tuple[SignatureOut, ...]
    spf: str
    dkim: str
    dmarc: str
    authenticated_domain: str
    findings: tuple[FindingOut, ...]


class AttachmentOut(Out, frozen=True):
    name: str
    media_type: str
    octets: int
    text: str | None
    reason: str


class ContentOut(Out, frozen=True):
    author: str
    author_name: str
    subject: str
    text: str
    attachments: tuple[AttachmentOut, ...]
    redactions: dict[str, int]
    trust: TrustOut
    language: str
    automatic: bool
    sent_at: datetime | None


class MessageOut(Out, frozen=True):
    id: str
    sequence: int
    direction: Annotated[str, Meta(description="in, out or notice")]
    author: str | None
    at: datetime
    shown: Annotated[bool, Meta(description="false: its stamp doesn't match, so there is no content")]
    content: ContentOut | None


class ReplyOut(Out, frozen=True):
    id: str
    author: str
    state: Annotated[str, Meta(description="pending, sending, sent, doubt, refused, stopped or expired")]
    reason: str
    plain: str
    created_at: datetime
    changed_at: datetime


class Listed(Out, frozen=True):
    conversation: ConversationOut
    inbound: MessageOut | None
    newest: MessageOut | None


class ListPage(Out, frozen=True):
    items: tuple[Listed, ...]
    next: Annotated[str, Meta(description="cursor of the next page, empty at the end")]


class DraftOut(Out, frozen=True):
    text: str
    changed_at: datetime | None


class OpenedOut(Out, frozen=True):
    conversation: ConversationOut
    intact: Annotated[bool, Meta(description="false: its head doesn't verify over its messages")]
    messages: tuple[MessageOut, ...]
    replies: tuple[ReplyOut, ...]
    protection: ProtectionOut
    draft: DraftOut


class Made(Out, frozen=True):
    id: str


class RepliesOut(Out, frozen=True):
    items: tuple[ReplyOut, ...]


class HeldFinding(Out, frozen=True):
    code: str
    plain: str


class HeldOut(Out, frozen=True):
    id: str
    channel: str
    mailbox: str
    queue: str
    layer: str
    refused: bool
    findings: tuple[HeldFinding, ...]
    received_at: datetime
    held_at: datetime
    expires_at: datetime
    attempts: int
    octets: int
    asked: Annotated[str, Meta(description="release or reject when that is asked for already, else empty")]


class HeldPage(Out, frozen=True):
    items: tuple[HeldOut, ...]
    next: str


class PersonOut(Out, frozen=True):
    id: str
    login: str
    name: str
    role: str
    queues: tuple[str, ...]
    permissions: tuple[str, ...]
    disabled: bool


class PeopleOut(Out, frozen=True):
    items: tuple[PersonOut, ...]


class AuditLine(Out, frozen=True):
    chain: str
    number: int
    at: datetime
    event: str
    facts: dict[str, str | int | bool | list[str]]


class AuditPage(Out, frozen=True):
    items: tuple[AuditLine, ...]
    next: str


class ProblemOut(Out, frozen=True):
    """RFC 9457. `field` names the input that is wrong."""

    type: str
    title: str
    status: int
    detail: str = ""
    field: str = ""

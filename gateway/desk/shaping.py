"""From the store's rows to the API's types. Only what verified has content."""

from __future__ import annotations

from gateway.desk import acting
from gateway.desk.context import Call
from gateway.desk.schemas import (
    AttachmentOut,
    ClaimOut,
    ContentOut,
    ConversationOut,
    DraftOut,
    FindingOut,
    HeldFinding,
    HeldOut,
    Listed,
    MessageOut,
    OpenedOut,
    ProtectionOut,
    ReplyOut,
    SignatureOut,
    TrustOut,
)  # fmt: skip
from gateway.ids import from_micros
from gateway.sanitized import Sanitized
from gateway.states import Talk
from gateway.store.people import Draft
from gateway.store.reading import Conversation, Message, Opened, ReplyStatus
from gateway.store.reading import Listed as ListedRow
from gateway.store.spool import HeldRow


def conversation(row: Conversation, name: str = "") -> ConversationOut:
    claim = None
    if row.state is Talk.CLAIMED and row.claimed_by:
        claim = ClaimOut(person=row.claimed_by, name=name, until=from_micros(row.lease_until))
    return ConversationOut(
        id=row.id, number=row.number, channel=row.channel, mailbox=row.mailbox, queue=row.queue, state=row.state.value,
        language=row.language, encrypted=row.encrypted, opened_at=from_micros(row.opened_at),
        updated_at=from_micros(row.updated_at), claim=claim,
        waiting_since=from_micros(row.waiting_since) if row.waiting_since else None,
    )  # fmt: skip


def message(row: Message, call: Call) -> MessageOut:
    return MessageOut(
        id=row.id, sequence=row.sequence, direction=row.direction, author=row.author, at=from_micros(row.at),
        shown=row.content is not None, content=content(row.content, call) if row.content else None,
    )  # fmt: skip


def content(found: Sanitized, call: Call) -> ContentOut:
    trust = found.trust
    return ContentOut(
        author=found.author, author_name=found.author_name, subject=found.subject, text=found.text,
        attachments=tuple(
            AttachmentOut(name=one.name, media_type=one.media_type, octets=one.octets, text=one.text, reason=one.reason)
            for one in found.attachments
        ),
        redactions=dict(found.redactions),
        trust=TrustOut(
            tls=trust.tls, encrypted=trust.encrypted, subject_encrypted=trust.subject_encrypted,
            signatures=tuple(
                SignatureOut(status=one.status, fingerprint=one.fingerprint, signer=one.signer, covers=one.covers)
                for one in trust.signatures
            ),
            spf=trust.spf, dkim=trust.dkim, dmarc=trust.dmarc, authenticated_domain=trust.authenticated_domain,
            findings=tuple(
                FindingOut(code=one.code, layer=one.layer, plain=call.texts.finding(one.code, one.plain))
                for one in trust.findings
            ),
        ),
        language=found.language, automatic=found.automatic, sent_at=found.sent_at,
    )  # fmt: skip


def listed(row: ListedRow, names: dict[str, str], call: Call) -> Listed:
    return Listed(
        conversation=conversation(row.conversation, names.get(row.conversation.claimed_by or "", "")),
        inbound=message(row.inbound, call) if row.inbound else None,
        newest=message(row.newest, call) if row.newest else None,
    )


def reply(row: ReplyStatus, call: Call) -> ReplyOut:
    state, reason = acting.reply_state(row)
    changed = max(row.changed_at, row.delivery.changed_at if row.delivery else 0)
    return ReplyOut(
        id=row.id, author=row.author, state=state, reason=reason, plain=call.texts.t(f"reply.why.{state}"),
        created_at=from_micros(row.created_at), changed_at=from_micros(changed),
    )  # fmt: skip


def protection(row: Conversation, call: Call) -> ProtectionOut:
    texts, to = call.texts, row.correspondent
    plain = {"sealed": texts.t("reply.sealed", to=to), "clear": texts.t("reply.clear", to=to)}.get(row.protect)
    return ProtectionOut(
        how=row.protect, why=row.protect_why, to=to, plain=plain or acting.blocked_plain(call, row)
    )  # fmt: skip


def draft(row: Draft | None) -> DraftOut:
    return DraftOut(
        text=row.text.reveal() if row else "", changed_at=from_micros(row.changed_at) if row else None
    )  # fmt: skip


def opened(row: Opened, kept: Draft | None, name: str, call: Call) -> OpenedOut:
    return OpenedOut(
        conversation=conversation(row.conversation, name), intact=row.intact,
        messages=tuple(message(one, call) for one in row.messages),
        replies=tuple(reply(one, call) for one in row.replies),
        protection=protection(row.conversation, call), draft=draft(kept),
    )  # fmt: skip


def held(row: HeldRow, asked: str, call: Call) -> HeldOut:
    return HeldOut(
        id=row.id, channel=row.channel, mailbox=row.mailbox, queue=row.queue, layer=row.decision.layer,
        refused=row.refused, received_at=from_micros(row.received_at), held_at=from_micros(row.held_at),
        expires_at=from_micros(row.expires_at), attempts=row.attempts, octets=row.octets, asked=asked,
        findings=tuple(
            HeldFinding(code=one.rule.code, plain=call.texts.finding(one.rule.code, one.rule.plain))
            for one in row.decision.findings
        ),
    )  # fmt: skip

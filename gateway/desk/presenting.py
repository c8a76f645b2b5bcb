"""What the queue's page shows, put into words. Only what verified; the rest says that it can't be shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import quote

from gateway import limits
from gateway.desk import acting, trust
from gateway.desk.access import Do, allowed
from gateway.desk.context import Call
from gateway.desk.texts import Texts
from gateway.ids import from_micros
from gateway.sanitized import Sanitized
from gateway.states import Talk
from gateway.store.people import Draft
from gateway.store.reading import Conversation, Listed, Message, Opened, ReplyStatus
from keys.secret import Secret

TONES = {
    "pending": ("info", ""), "sending": ("send", ""), "sent": ("check", "proven"), "doubt": ("flag", "look"),
    "refused": ("stop", "stopped"), "stopped": ("stop", "stopped"), "expired": ("stop", "stopped"),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    id: str
    href: str
    who: str
    subject: str
    at: datetime
    waits: bool
    hidden: int
    encrypted: bool
    signed: str
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyShown:
    id: str
    who: str
    at: datetime
    label: str
    why: str
    reason: str
    icon: str
    tone: str
    again: bool
    text: str = ""
    reusable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FileShown:
    name: str
    size: str
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageShown:
    id: str
    at: datetime
    shown: bool
    way: str = ""
    who: str = ""
    address: str = ""
    channel: str = ""
    automatic: bool = False
    text: str = ""
    redactions: dict[str, int] = field(default_factory=dict)
    files: tuple[FileShown, ...] = ()
    trust: tuple[trust.Item, ...] = ()
    reply: ReplyShown | None = None


@dataclass(frozen=True, slots=True)
class Act:
    verb: str
    label: str
    key: str
    key_shown: str


@dataclass(frozen=True, slots=True)
class HowShown:
    kind: str
    title: str
    more: str


@dataclass(frozen=True, slots=True)
class Shut:
    why: str
    help: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TalkShown:
    id: str
    href: str
    back: str
    subject: str
    who: str
    number: str
    claim: str
    closed: bool
    acts: tuple[Act, ...]
    intact: bool
    messages: tuple[MessageShown, ...]
    underway: tuple[ReplyShown, ...]
    shut: Shut | None
    theirs: str
    how: HowShown
    draft: str
    key: str
    seen: int
    facts: tuple[tuple[str, str], ...]


def query(team: str) -> str:
    return f"?team={quote(team)}" if team else ""


def line(row: Listed, here: str, team: str, names: dict[str, str], call: Call) -> Line:
    texts, conversation = call.texts, row.conversation
    first = row.inbound or row.newest
    content = first.content if first else None
    theirs = conversation.claimed_by if conversation.state is Talk.CLAIMED else None
    signer = next((s.signer for s in content.trust.signatures if s.status == "verified"), "") if content else ""
    return Line(
        id=conversation.id, href=f"/queue/{here}/{conversation.id}{query(team)}",
        at=from_micros(conversation.updated_at),
        who=sender(content, texts) if content else texts.t("list.no_name"),
        subject=(content.subject or texts.t("list.no_subject")) if content else texts.t("list.unshown"),
        waits=conversation.waiting_since is not None, encrypted=conversation.encrypted,
        hidden=sum(content.redactions.values()) if content else 0,
        signed=texts.t("trust.label.signed", name=signer) if signer else "",
        owner=names.get(theirs, "") if theirs and theirs != call.me.id else "",
    )  # fmt: skip


def sender(content: Sanitized, texts: Texts) -> str:
    return content.author_name or content.author or texts.t("list.no_name")


def size(octets: int, texts: Texts) -> str:
    return texts.t("held.kilobytes", n=max(1, round(octets / 1000)))


def talk(
    row: Opened,
    draft: Draft | None,
    words: Mapping[str, Secret[str]],
    here: str,
    team: str,
    names: dict[str, str],
    call: Call,
) -> TalkShown:
    texts, conversation = call.texts, row.conversation
    inbound = [one for one in row.messages if one.direction == "in" and one.content]
    newest = inbound[-1].content if inbound else None
    replies = {one.id: one for one in row.replies}
    closed = conversation.state is Talk.CLOSED
    mine = conversation.state is Talk.CLAIMED and conversation.claimed_by == call.me.id
    owner = names.get(conversation.claimed_by or "", "") if conversation.state is Talk.CLAIMED and not mine else ""
    may_reply = allowed(call.actor, Do.REPLY, acting.thing(conversation))
    shut = None
    if conversation.protect not in acting.PROTECTED:
        kind = acting.blocked_kind(conversation.protect_why)
        shut = Shut(texts.t(f"reply.blocked_{kind}"), texts.t(f"reply.blocked_{kind}_help"))
    filed = {one.id for one in row.messages}
    return TalkShown(
        id=conversation.id, href=f"/queue/{here}/{conversation.id}", back=f"/queue/{here}{query(team)}",
        subject=(newest.subject if newest else "") or texts.t("list.no_subject"),
        who=sender(newest, texts) if newest else texts.t("list.no_name"), number=conversation.number, closed=closed,
        claim=_claim(conversation, mine, owner, texts), acts=_acts(conversation, mine, call), intact=row.intact,
        messages=tuple(_message(one, replies.get(one.id), conversation, names, call) for one in row.messages),
        underway=tuple(_reply(one, names, call, words.get(one.id)) for one in row.replies if one.id not in filed),
        shut=shut, theirs="" if may_reply else texts.t("reply.claimed", name=owner), how=_how(conversation, texts),
        draft=draft.text.reveal() if draft else "", key=call.desk.ids.new(),
        seen=row.messages[-1].sequence if row.messages else 0, facts=_facts(conversation, newest, call),
    )  # fmt: skip


def _claim(conversation: Conversation, mine: bool, owner: str, texts: Texts) -> str:
    if mine:
        until = from_micros(conversation.lease_until)
        return texts.t("talk.claimed_by_you", time=f"{until:%H:%M} UTC")
    return texts.t("talk.claimed_by", name=owner) if owner else ""


def _acts(conversation: Conversation, mine: bool, call: Call) -> tuple[Act, ...]:
    texts, about = call.texts, acting.thing(conversation)
    acts: list[Act] = []
    if mine:
        acts.append(Act("give-back", texts.t("talk.release"), "claim", "A"))
    elif conversation.state is Talk.CLAIMED and allowed(call.actor, Do.CLAIM, about):
        acts.append(Act("claim", texts.t("talk.take"), "claim", "A"))
    elif conversation.state is Talk.OPEN:
        acts.append(Act("claim", texts.t("talk.claim"), "claim", "A"))
    if conversation.state is not Talk.CLOSED and allowed(call.actor, Do.CLOSE, about):
        acts.append(Act("close", texts.t("talk.close"), "close", "E"))
    return tuple(acts)


def _how(conversation: Conversation, texts: Texts) -> HowShown:
    to = conversation.correspondent
    if conversation.protect == "sealed":
        return HowShown("sealed", texts.t("reply.sealed", to=to), "")
    return HowShown("clear", texts.t("reply.clear", to=to), texts.t("reply.clear_how"))


def _message(
    row: Message, reply: ReplyStatus | None, conversation: Conversation, names: dict[str, str], call: Call
) -> MessageShown:
    texts, content = call.texts, row.content
    at = from_micros(row.at)
    if content is None:
        return MessageShown(id=row.id, at=at, shown=False)
    inbound = row.direction == "in"
    who = sender(content, texts)
    if row.direction == "out":
        who = texts.t("talk.you") if row.author == call.me.id else names.get(row.author or "", call.desk.site.company)
    elif row.direction == "notice":
        who = texts.t("talk.notice")
    return MessageShown(
        id=row.id, at=at, shown=True, way=row.direction, who=who,
        address=content.author if inbound and content.author != who else "",
        channel=channel(conversation.channel, texts), automatic=content.automatic and inbound,
        text=content.text.strip("\n"), redactions=dict(content.redactions),
        files=tuple(
            FileShown(name=one.name, size=size(one.octets, texts), text=one.text) for one in content.attachments
        ),
        trust=trust.strip(content, texts) if inbound else (),
        reply=_reply(reply, names, call) if reply else None,
    )  # fmt: skip


def _reply(row: ReplyStatus, names: dict[str, str], call: Call, words: Secret[str] | None = None) -> ReplyShown:
    texts = call.texts
    state, reason = acting.reply_state(row)
    sentence = texts.finding(reason, "")
    icon, tone = TONES[state]
    return ReplyShown(
        id=row.id, at=from_micros(row.created_at), label=texts.t(f"reply.status.{state}"),
        who=texts.t("talk.you") if row.author == call.me.id else names.get(row.author, call.desk.site.company),
        why=f"{texts.t(f'reply.why.{state}')} {sentence}".strip(), reason="" if sentence else reason,
        icon=icon, tone=tone, text=words.reveal() if words else "", reusable=bool(words) and state == "stopped",
        again=state in ("doubt", "refused", "expired"),
    )  # fmt: skip


def channel(name: str, texts: Texts) -> str:
    return texts.t(f"channel.{name}") if texts.has(f"channel.{name}") else name


def _facts(conversation: Conversation, newest: Sanitized | None, call: Call) -> tuple[tuple[str, str], ...]:
    texts = call.texts
    facts = [
        (texts.t("contact.address"), newest.author if newest else ""),
        (texts.t("contact.signed"), _proven(newest)),
        (texts.t("contact.domain"), newest.trust.authenticated_domain if newest else ""),
        (texts.t("held.mailbox"), conversation.mailbox),
        (texts.t("held.channel"), channel(conversation.channel, texts)),
        (texts.t("contact.since"), f"{from_micros(conversation.opened_at):%Y-%m-%d}"),
    ]
    if conversation.note:
        facts.append((texts.t("contact.note"), texts.t("contact.quotes_another")))
    return tuple((label, value) for label, value in facts if value)


def _proven(content: Sanitized | None) -> str:
    if content is None:
        return ""
    good = (one for one in content.trust.signatures if one.status == "verified")
    return next((" ".join(one.fingerprint[i : i + 4] for i in range(0, len(one.fingerprint), 4)) for one in good), "")


def who_is_named(rows: list[Conversation], replies: tuple[ReplyStatus, ...], messages: tuple[Message, ...]) -> set[str]:
    """The people whose names a page will need."""
    found = {row.claimed_by for row in rows} | {reply.author for reply in replies} | {one.author for one in messages}
    return {person for person in found if person}


PAGE = min(50, limits.PAGE_ROWS)

"""Notices: what the gateway itself tells a customer, and whether it may.

    first-contact   your message is here, this is what happens with it
    held            a person will look at it first
    expired         it could not be read in time and was deleted
    refused         it was not taken

Rules:
1. A notice quotes nothing, not even a subject, and names nobody: templates (`gateway.texts`) and facts of ours.
2. It is a `Reply` with a template, and takes the same OUTBOUND layer and the same protection: encrypted when the
   customer's message was; what came encrypted and can't be answered so gets none.
3. Programs are never answered (RFC 3834): null sender, automatic mail, lists, bounces, our own addresses; nor senders
   whose authentication failed, who would be somebody else. One first-contact notice for a contact, few a day for an
   address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from channels.contract import Address, Demand, MailboxName, Result
from gateway import limits, texts
from gateway.policy import protection
from gateway.reply import Protect, Reply
from gateway.rules import Token
from keys.openpgp import Fingerprint
from keys.secret import Secret


class Notice(StrEnum):
    """The values are the templates' names."""

    FIRST_CONTACT = "first-contact"
    HELD = "held"
    EXPIRED = "expired"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """All that decides whether a notice is due. `to` is the one From address, None when there is none.

    `envelope_sender` None is the null reverse-path. `automatic`: a program wrote it (Auto-Submitted, a list, a bounce).
    `authentication` is DMARC's result. `certificates` counts usable ones. Whether it was told before, and how many this
    address got, is the store's knowledge (`gateway.store.notices`)."""

    notice: Notice
    wanted: bool
    to: Address | None
    own_addresses: frozenset[str]
    envelope_sender: Address | None
    automatic: bool
    authentication: Result
    encrypted: bool
    certificates: int
    clear_reply: bool


@dataclass(frozen=True, slots=True)
class Due:
    """`why` is a fixed token, also when it isn't due."""

    send: bool
    why: Token


_ROBOTS: Final = frozenset({
    "mailer-daemon", "postmaster", "no-reply", "noreply", "no_reply", "do-not-reply", "donotreply", "no-responder",
    "noresponder", "bounce", "bounces", "abuse", "root", "daemon", "listserv", "majordomo", "mailman",
})  # fmt: skip


def due(occasion: Occasion) -> Due:
    """Whether this notice may be sent now. The first reason against it is named."""
    to = occasion.to
    reasons = (
        (not occasion.wanted, "not-wanted"),
        (to is None, "nobody"),
        (occasion.envelope_sender is None, "null-sender"),
        (occasion.automatic, "automatic"),
        (to is not None and _robot(to), "robot"),
        (to is not None and to.lower() in {own.lower() for own in occasion.own_addresses}, "own-address"),
        (occasion.authentication in (Result.FAIL, Result.PERMERROR), "sender-unproven"),
    )
    for against, why in reasons:
        if against:
            return Due(False, Token(why))
    how, why = protection(
        certificates=occasion.certificates,
        correspondent_encrypted=occasion.encrypted,
        clear_reply=occasion.clear_reply,
    )
    return Due(how is not Protect.BLOCKED, Token(why))


def _robot(address: str) -> bool:
    """
    >>> _robot("MAILER-DAEMON@example.org"), _robot("list-bounces+alice=example.org@example.net"), _robot("a@b.example")
    (True, True, False)
    """
    local = address.rpartition("@")[0].lower().partition("+")[0]
    return local in _ROBOTS or local.startswith(("owner-", "bounce-", "bounces-")) or local.endswith(
        ("-owner", "-request", "-bounces", "-bounce")
    )  # fmt: skip


def notice(
    kind: Notice,
    *,
    id: str,
    conversation: str,
    number: str,
    to: Address,
    mailbox: MailboxName,
    language: str,
    message_id: str,
    in_reply_to: str,
    certificates: tuple[Fingerprint, ...],
    correspondent_encrypted: bool,
    clear_reply: bool,
    transport: Demand,
    company: str,
    privacy_url: str,
    hours: int = round(limits.HELD_SECONDS / 3600),
) -> Reply:
    """The notice as a reply. `number` is the case number, "" where there is none yet; `in_reply_to` the customer's
    Message-ID, "" when it had none; `hours` how long a held message waits."""
    return Reply(
        id=id,
        conversation=conversation,
        author="",
        text=Secret(""),
        subject=Secret(""),
        to=to,
        mailbox=mailbox,
        language=language,
        number=number,
        message_id=message_id,
        in_reply_to=in_reply_to,
        references=(),
        certificates=certificates,
        correspondent_encrypted=correspondent_encrypted,
        clear_reply=clear_reply,
        transport=transport,
        template=kind.value,
        values={"company": company, "number": number, "privacy_url": privacy_url, "hours": str(hours)},
    )


@dataclass(frozen=True, slots=True)
class Words:
    """What a reply says, before anything is added to it."""

    subject: Secret[str]
    text: Secret[str]


def words(reply: Reply) -> Words:
    """The agent's words, or the template's. Raises KeyError when there is no such template."""
    if not reply.template:
        return Words(reply.subject, reply.text)
    filled = texts.filled(f"notice.{reply.template}", reply.language, _values(reply.values))
    return Words(Secret(filled["subject"]), Secret(filled["text"]))


def _values(values: Mapping[str, str]) -> dict[str, str]:
    return {name: value.strip() for name, value in values.items()}

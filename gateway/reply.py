"""Reply: what an agent answers, and leave to send it in clear.

Rules:
1. Sending in clear takes a `ClearPermit`, and only `gateway.policy` issues one. No silent downgrade, ever.
2. A reply never quotes what was decrypted or redacted: it carries the agent's words and the signature of the mailbox.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import InitVar, dataclass, field
from enum import StrEnum

from channels.contract import Address, Demand, MailboxName
from keys.openpgp import Fingerprint
from keys.secret import Secret


class Protect(StrEnum):
    """How a reply leaves. BLOCKED: it can't, as things stand."""

    SEALED = "sealed"
    CLEAR = "clear"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An agent's answer, unboxed. `correspondent_encrypted`: the conversation came in encrypted, so it is answered
    encrypted. With `template` set it is a notice: `values` fill the template, and `subject` and `text` are empty.

    `in_reply_to` is the Message-ID that it answers, "" for none; `references` are those before it, nearest first, as in
    `Opened`. `message_id` is ours (`gateway.composing.message_id`). `number` is the case number, "" for none. With
    `promised_sealed` its agent was told that it would leave encrypted, so it never leaves in clear."""

    id: str
    conversation: str
    author: str
    text: Secret[str]
    subject: Secret[str]
    to: Address
    mailbox: MailboxName
    language: str
    number: str
    message_id: str
    in_reply_to: str
    references: tuple[str, ...]
    certificates: tuple[Fingerprint, ...]
    correspondent_encrypted: bool
    clear_reply: bool
    transport: Demand
    promised_sealed: bool = False
    template: str = ""
    values: Mapping[str, str] = field(default_factory=dict)


class _Issue:
    pass


_ISSUE = _Issue()


@dataclass(frozen=True)
class ClearPermit:
    """Leave to send one reply in clear, and on whose word: the mailbox's policy or a person's."""

    reply: str
    reason: str
    issue: InitVar[_Issue]

    def __post_init__(self, issue: _Issue) -> None:
        if issue is not _ISSUE:
            raise TypeError("only gateway.policy issues a ClearPermit")

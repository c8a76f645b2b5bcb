"""Jobs: what the parent asks of a parser worker, and what it gets back.

Rules:
1. A job carries no content: the box goes to the opener, and what was in it reaches the worker over the opener's pipe.
2. What a check needs from the store is fetched beforehand and stands in the job.
3. A report carries sanitized text, facts and sealed bytes; its outcome is keyed for this one job (`gateway.crossing`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from channels.contract import Address, ChannelName, MailboxName
from gateway.explained import Explanation
from gateway.held import HeldSight
from gateway.reply import Reply
from gateway.requests import HeldRequest
from gateway.rules import Action, Code, Decision
from keys.secret import Secret


class JobKind(StrEnum):
    """MESSAGE: the way in. REPLY: the way out, of an agent's words. NOTICE: the way out, of a template. REQUEST: a
    reviewer's decision is read. EXPLAIN: the way in, told in full and stored nowhere."""

    MESSAGE = "message"
    REPLY = "reply"
    NOTICE = "notice"
    REQUEST = "request"
    EXPLAIN = "explain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """The way out of one reply or notice. `reply` is complete but for its text, which only the opener's box has (a
    notice has a template instead). `outbox_row` is the row that the edge will find it in, `channel` the one it leaves
    by; `reply_to` is the signed address that brings the answer back into this conversation."""

    reply: Reply
    outbox_row: str
    channel: ChannelName
    reply_to: Address | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """`row` and `channel` are the place of the box; `key` (32 bytes) is good for this one outcome; `at` is the parent's
    clock."""

    kind: JobKind
    row: str
    channel: str
    key: Secret[bytes]
    at: datetime
    waived: tuple[Code, ...] = ()
    dispatch: Dispatch | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxFace:
    """How one of the company's mailboxes shows itself on a reply."""

    name: MailboxName
    address: Address
    sender_name: str
    signature: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a zygote is told once: the policy's actions, in force for every layer, and what replies and notices say of
    the company."""

    actions: Mapping[Code, Action] = field(default_factory=dict)
    company: str = ""
    privacy_url: str = ""
    mailboxes: tuple[MailboxFace, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a worker gives back. `limit` or `fault` set: nothing else is. `box` is a reply as the edge may send it;
    `protect` and `why` tell how it leaves (fixed tokens). `where` is a line of ours, for the log."""

    outcome: bytes = field(default=b"", repr=False)
    decision: Decision | None = None
    box: bytes = field(default=b"", repr=False)
    protect: str = ""
    why: str = ""
    request: HeldRequest | None = None
    sight: HeldSight | None = None
    explanation: Explanation | None = None
    limit: str = ""
    fault: str = ""
    where: str = ""

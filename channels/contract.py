"""All that a channel and the gateway know of each other.

Rules:
1. A channel establishes facts and never judges them. Only facts it saw itself go into an `Inbound`.
2. Nothing here carries free text outside a `Secret`, but addresses and names of networks.
3. What networks differ in stands in `Traits`; the core never asks a channel for its name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum
from typing import NewType, Protocol

from keys.secret import Secret

ChannelName = NewType("ChannelName", str)
Address = NewType("Address", str)
"""A handle on one network. On email an RFC 5321 mailbox: the domain lower-case, the local part as it came."""
ThreadKey = NewType("ThreadKey", str)
WireId = NewType("WireId", str)
MailboxName = NewType("MailboxName", str)
HopName = NewType("HopName", str)


class Proof(StrEnum):
    """What the network itself proves of the sender."""

    NONE = "none"
    NETWORK = "network"
    SIGNED = "signed"


class Demand(StrEnum):
    """How much the company insists."""

    REQUIRED = "required"
    PREFERRED = "preferred"
    NONE = "none"


class Result(StrEnum):
    """Of a sender-authentication method; RFC 8601, section 2.7."""

    NONE = "none"
    PASS = "pass"  # noqa: S105 - RFC 8601's word
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimResult:
    """One DKIM-Signature (RFC 6376). `domain` is d=, `selector` s=; `reason` is a fixed token, never quoted input.
    `unsigned`: the important fields that a passing signature leaves out, lower-case."""

    result: Result
    domain: str = ""
    selector: str = ""
    algorithm: str = ""
    reason: str = ""
    unsigned: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Authentication:
    """Facts by SPF, DKIM, ARC and DMARC. Domains are lower-case A-labels; an empty string means that there is none.

    `spf_identity` is "mailfrom" or, with a null reverse-path, "helo". `arc_domain` is the newest sealer of a chain that
    passes. `dmarc_domain` is the author's organizational domain, `dmarc_policy` what its owner asks for ("none",
    "quarantine", "reject"). `author_domain` is the one From's; it is authenticated only where `dmarc` is a pass.
    Reasons are fixed tokens."""

    spf: Result = Result.NONE
    spf_domain: str = ""
    spf_explanation: str = ""
    dkim: tuple[DkimResult, ...] = ()
    arc: Result = Result.NONE
    arc_domain: str = ""
    dmarc: Result = Result.NONE
    dmarc_domain: str = ""
    dmarc_policy: str = ""
    author_domain: str = ""
    spf_identity: str = "mailfrom"
    spf_reason: str = ""
    arc_reason: str = ""
    dmarc_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """How the message came. `tls` is the protocol's version as the ssl module names it ("TLSv1.3"), None in clear.
    `peer` is the IP address that facts are judged by: behind trusted hops, the last untrusted one."""

    tls: str | None
    cipher: str | None = None
    peer: str | None = None
    helo: str = ""
    proof: Proof = Proof.NONE
    login: str | None = None
    hops: tuple[HopName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """RFC 5321's envelope. `mail_from` is None for the null reverse-path."""

    mail_from: Address | None
    rcpt_to: tuple[Address, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the company demands of mail to one of its mailboxes; looked up by the recipient's address."""

    mailbox: MailboxName
    queue: str
    language: str
    encryption: Demand = Demand.PREFERRED
    transport: Demand = Demand.PREFERRED
    clear_reply: bool = True
    max_bytes: int = 26_214_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much came of late from the same peer and the same envelope sender: messages in the running window."""

    by_peer: int = 0
    by_sender: int = 0
    window_seconds: int = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A message as a channel hands it over, before any judgement.

    `dedupe_key`, `lane` and `body_key` are keyed hashes (HMAC-SHA256, 32 bytes). `seen_elsewhere` counts earlier
    messages from other senders that carried the very same body."""

    channel: ChannelName
    wire_id: WireId
    sender: Address | None
    thread: ThreadKey | None
    received_at: datetime
    transport: Transport
    envelope: Envelope
    authentication: Authentication
    terms: Terms
    pace: Pace
    dedupe_key: bytes
    lane: bytes
    body_key: bytes = b""
    seen_elsewhere: int = 0
    raw: Secret[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outbound:
    """A message as a channel takes it: complete in the network's own format, protection already applied.

    `tls` says how much the transport must prove; `mail_from` None is the null reverse-path."""

    channel: ChannelName
    to: Address
    mail_from: Address | None
    thread: ThreadKey | None
    idempotency_key: str
    tls: Demand
    payload: Secret[bytes]


class Verdict(Enum):
    """What the outside is told of a message it handed over."""

    ACCEPTED = "accepted"
    DEFERRED = "deferred"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """`says` and `status` come from a rule, never from a message or an exception. `status` is RFC 3463 without its
    class ("7.1"), which follows from the verdict. `wire_id` names the stored message; on a repeat, the first one."""

    verdict: Verdict
    says: str
    status: str
    wire_id: str | None = None


class SendResult(StrEnum):
    """Of one attempt to send. DOUBT: it may or may not have been taken (the peer was lost after the last byte)."""

    SENT = "sent"
    RETRY = "retry"
    REFUSED = "refused"
    DOUBT = "doubt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """`reason` is a fixed token such as "tls.unavailable"; `code` is the network's reply code, 0 for none."""

    result: SendResult
    wire_id: WireId | None = None
    reason: str = ""
    code: int = 0
    tls: str | None = None


class Intake(Protocol):
    """Makes a message durable and answers. Returns only after the commit; never raises; cancelling it does not cancel
    the commit."""

    async def __call__(self, message: Inbound, /) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What networks differ in. `can_retry`: a deferred message is offered again by its sender."""

    can_retry: bool
    max_text: int
    can_encrypt: bool = False
    can_attach: bool = False


class Channel(Protocol):
    @property
    def name(self) -> ChannelName: ...
    @property
    def traits(self) -> Traits: ...
    async def serve(self, intake: Intake, /) -> None:
        """Listens until cancelled; on cancelling, drains: no new messages, those under way are answered."""
        ...

    async def send(self, message: Outbound, /) -> Receipt: ...


class Directory(Protocol):
    """Which of the company's mailboxes an address belongs to."""

    def terms(self, recipient: Address, /) -> Terms | None: ...


class Paces(Protocol):
    """Counts what comes, in the shared store."""

    async def note(self, *, peer: str, sender: str) -> Pace: ...


class Seen(Protocol):
    """Whether a body came before under another sender."""

    async def elsewhere(self, *, body_key: bytes, sender: str) -> int: ...


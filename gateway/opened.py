"""Opened: a message after decrypting and parsing, before anybody judged its content.

Everything a customer wrote is `Secret` here: subject, display name and file names too. Addresses are parsed by our own
strict grammar (`channels.email.author`); an address that doesn't parse is None, never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from channels.contract import Address, Inbound
from keys.openpgp import Fingerprint, SignatureStatus
from keys.secret import Secret


class Protection(StrEnum):
    """How much of what is shown was encrypted. PARTIAL: some parts were, others stood beside them in clear."""

    FULL = "full"
    PARTIAL = "partial"
    NONE = "none"


class Covers(StrEnum):
    """What a signature covers of what is shown."""

    ALL = "all"
    PART = "part"
    NOTHING = "nothing"


class SignerStatus(StrEnum):
    """The verdict on one signature. Only VERIFIED may be shown as such: good, by a certificate that the directory binds
    to the one From address, over everything that is shown."""

    VERIFIED = "verified"
    MISMATCH = "mismatch"
    PARTIAL = "partial"
    UNKNOWN_KEY = "unknown-key"
    BAD = "bad"
    EXPIRED = "expired"
    EXPIRED_KEY = "expired-key"
    REVOKED_KEY = "revoked-key"
    WEAK = "weak"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """`signer` is the address that the certificate is bound to, None when the certificate is unknown."""

    status: SignerStatus
    engine: SignatureStatus
    fingerprint: Fingerprint | None
    signer: Address | None
    covers: Covers
    signed_at: datetime | None = None


class Oddity(StrEnum):
    """Structure that readers disagree on, or that only an attacker or a broken program makes."""

    SEVERAL_FROM = "several-from"
    NO_FROM = "no-from"
    UNREADABLE_FROM = "unreadable-from"
    DUPLICATE_HEADER = "duplicate-header"
    DUPLICATE_CONTENT_HEADER = "duplicate-content-header"
    CONFLICTING_TRANSFER_ENCODING = "conflicting-transfer-encoding"
    UNKNOWN_TRANSFER_ENCODING = "unknown-transfer-encoding"
    BAD_BASE64 = "bad-base64"
    NO_BOUNDARY = "no-boundary"
    BOUNDARY_UNUSED = "boundary-unused"
    BOUNDARY_UNCLOSED = "boundary-unclosed"
    BOUNDARY_CLASH = "boundary-clash"
    TEXT_AFTER_END = "text-after-end"
    ENCODED_MULTIPART = "encoded-multipart"
    UNKNOWN_CHARSET = "unknown-charset"
    UNDECODABLE_TEXT = "undecodable-text"
    CONTROL_CHARACTERS = "control-characters"
    LONG_HEADER = "long-header"
    BARE_NEWLINE = "bare-newline"
    NUL = "nul"
    BAD_HEADER = "bad-header"
    HEADER_BODY_GAP = "header-body-gap"
    PHONY_PROTECTED_HEADER = "phony-protected-header"
    OUTER_INNER_FROM_DIFFER = "outer-inner-from-differ"
    HIDDEN_TEXT = "hidden-text"
    ALTERNATIVES_DIFFER = "alternatives-differ"
    REPAIRED = "repaired"


class Active(StrEnum):
    """Content that would act if a reader let it."""

    SCRIPT = "script"
    FORM = "form"
    FRAME = "frame"
    OBJECT = "object"
    EVENT_HANDLER = "event-handler"
    SCRIPT_LINK = "script-link"
    REMOTE_CONTENT = "remote-content"
    META_REFRESH = "meta-refresh"


class Failure(StrEnum):
    """Why an encrypted or signed layer could not be opened."""

    NO_KEY = "no-key"
    TAMPERED = "tampered"
    BAD_DATA = "bad-data"
    TOO_LARGE = "too-large"
    TOO_SLOW = "too-slow"
    TOO_DEEP = "too-deep"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One leaf or container of the part tree, for `explain` and for review. `path` counts from 1 ("1.2"); inside an
    opened layer a "p" (PGP) is put before the number ("1.p1.2"). `octets` is the decoded size in bytes."""

    path: str
    media_type: str
    charset: str = ""
    encoding: str = ""
    disposition: str = ""
    file_name: Secret[str] | None = None
    octets: int = 0
    encrypted: bool = False
    signed: bool = False
    shown: bool = False
    sha256: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    path: str
    name: Secret[str]
    media_type: str
    content: Secret[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """`text` is what is shown, plain; `html` tells that it was made from HTML. `author` is the one From address.
    `offered` are certificates that the message brought along (Autocrypt, attached keys): candidates, never trusted.
    `references` are the Message-IDs it answers to, nearest first. `excess` names the limit of reading that the message
    passes ("parts", "depth", "html-size" …), "" for none: then what is shown is not all of it."""

    inbound: Inbound
    author: Address | None
    author_name: Secret[str]
    author_count: int
    subject: Secret[str]
    reply_to: tuple[Address, ...]
    message_id: str | None
    references: tuple[str, ...]
    date: datetime | None
    automatic: bool
    text: Secret[str]
    html: bool
    language: str
    protection: Protection
    subject_encrypted: bool
    signatures: tuple[Signature, ...]
    failures: tuple[Failure, ...]
    oddities: tuple[Oddity, ...]
    active: tuple[Active, ...]
    parts: tuple[Part, ...]
    attachments: tuple[Attachment, ...]
    offered: tuple[bytes, ...] = field(default=(), repr=False)
    excess: str = ""

"""OpenPGP as the gateway needs it (RFC 9580, RFC 4880): open, verify, seal. Names follow SOP.

Rules for an engine behind this contract:
1. Plaintext is released only when the whole message was decrypted and its integrity was proven (MDC or AEAD).
2. A signature's result never stops the plaintext: it is a verdict beside it.
3. A certificate or key is named by its full fingerprint, never by a key id or a user id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final, NewType, Protocol

from keys.secret import Secret

Fingerprint = NewType("Fingerprint", str)
"""Of a primary key: 40 (v4) or 64 (v6) upper-case hexadecimal digits."""


MICALG: Final = "pgp-sha512"
"""RFC 3156, section 5: the digest that every engine signs with."""


class SignatureStatus(StrEnum):
    """What is to be said of one signature, by itself; whose it is and what it covers is judged elsewhere."""

    GOOD = "good"
    BAD = "bad"
    UNKNOWN_KEY = "unknown-key"
    EXPIRED = "expired"
    EXPIRED_KEY = "expired-key"
    REVOKED_KEY = "revoked-key"
    WEAK = "weak"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """One signature and what it is worth. `primary_key` is None when the certificate is not here."""

    status: SignatureStatus
    signing_key: Fingerprint | None
    primary_key: Fingerprint | None
    signed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sealed:
    """An OpenPGP message, armored or binary."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsealed:
    """The plaintext of one message, and its signatures. `opened_by` is our own key's primary fingerprint, None when
    the message was signed but not encrypted; `expired_key` marks one of ours that was read after its time."""

    plaintext: Secret[bytes]
    verifications: tuple[Verification, ...]
    opened_by: Fingerprint | None = None
    expired_key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A customer's certificate, as the directory knows it. Times are UTC; `addresses` are lower-case addr-specs taken
    from the valid user ids."""

    fingerprint: Fingerprint
    addresses: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked: bool
    can_encrypt: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnKey:
    """One of the company's own keys: which mailboxes' it is, and from when to when. An expired one still reads."""

    fingerprint: Fingerprint
    addresses: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None
    revoked: bool
    can_sign: bool
    can_decrypt: bool


class OpenPGP(Protocol):
    """An engine. Every method raises a `keys.errors.KeysError` and nothing else."""

    async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed: ...

    async def verify(
        self, signed: Secret[bytes], signature: bytes | None, /, *, max_bytes: int, seconds: float
    ) -> Unsealed:
        """A detached signature over `signed`; or, with None, a clear-signed or one-pass-signed message.
        `plaintext` is exactly what is covered."""
        ...

    async def seal(
        self, plaintext: Secret[bytes], /, *, to: Sequence[Fingerprint], sign_as: Fingerprint, seconds: float
    ) -> Sealed: ...

    async def sign(self, signed: Secret[bytes], /, *, sign_as: Fingerprint, seconds: float) -> bytes:
        """A detached, armored signature (RFC 3156, section 5)."""
        ...

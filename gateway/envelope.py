"""The cryptography of one message: what is asked of the opener, what came of it, and what each signature is worth.

Rules:
1. A failure never raises: it is noted, and what it stood for is said in the text; nothing of its plaintext is used.
2. Parts are decrypted in isolation, each by itself; nothing that was decrypted is put into what surrounds it.
3. VERIFIED takes three things: the engine finds the signature good, it covers everything that is shown, and the
   directory binds its certificate to the one From address.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, Protocol

from channels.contract import Address
from gateway import limits
from gateway.opened import Covers, Failure, Signature, SignerStatus
from gateway.pieces import Scope, covers
from gateway.reading import Reading, TooMuch
from keys.errors import BadData, CannotDecrypt, KeysError, MissingKey, TooLarge, TooSlow, Unavailable
from keys.openpgp import Fingerprint, Sealed, SignatureStatus, Unsealed, Verification
from keys.secret import Secret


class Opener(Protocol):
    """What opening may ask of the key process, for one message. Raises a `keys.errors.KeysError` and nothing else."""

    async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed: ...

    async def verify(
        self, signed: Secret[bytes], signature: bytes | None, /, *, max_bytes: int, seconds: float
    ) -> Unsealed: ...

    async def bound(self, address: str, /) -> tuple[Fingerprint, ...]:
        """Trusted certificates that the directory binds to an address."""
        ...

    async def signers(self, fingerprint: Fingerprint, /) -> tuple[str, ...]:
        """Addresses that the directory binds a certificate to."""
        ...


_FAILURES: Final[dict[type[KeysError], Failure]] = {
    MissingKey: Failure.NO_KEY,
    CannotDecrypt: Failure.TAMPERED,
    TooLarge: Failure.TOO_LARGE,
    TooSlow: Failure.TOO_SLOW,
    BadData: Failure.BAD_DATA,
    Unavailable: Failure.UNAVAILABLE,
}
_BY_ITSELF: Final = {
    SignatureStatus.BAD: SignerStatus.BAD,
    SignatureStatus.UNKNOWN_KEY: SignerStatus.UNKNOWN_KEY,
    SignatureStatus.EXPIRED: SignerStatus.EXPIRED,
    SignatureStatus.EXPIRED_KEY: SignerStatus.EXPIRED_KEY,
    SignatureStatus.REVOKED_KEY: SignerStatus.REVOKED_KEY,
    SignatureStatus.WEAK: SignerStatus.WEAK,
    SignatureStatus.ERROR: SignerStatus.ERROR,
}
_ERROR: Final = Verification(status=SignatureStatus.ERROR, signing_key=None, primary_key=None, signed_at=None)
_NEWLINE: Final = re.compile(rb"\r?\n")


def failure(error: KeysError) -> Failure:
    return next((found for kind, found in _FAILURES.items() if isinstance(error, kind)), Failure.BAD_DATA)


@dataclass(slots=True)
class Found:
    """One signature. `root`: it is of the envelope, and nothing encrypted lies inside that it covers only as bytes."""

    verification: Verification
    root: bool


@dataclass(slots=True)
class Crypto:
    opener: Opener
    reading: Reading
    found: list[Found] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    operations: int = 0

    async def decrypt(self, ciphertext: bytes) -> Unsealed | Failure:
        """One OpenPGP message by itself. A failure is returned, not noted."""
        self._count()
        if len(ciphertext) > limits.CIPHERTEXT_BYTES:
            return Failure.TOO_LARGE
        try:
            opened = await self.opener.open(
                Sealed(ciphertext), max_bytes=limits.PLAINTEXT_BYTES, seconds=limits.GPG_SECONDS
            )
        except KeysError as error:
            return failure(error)
        self.reading.unpack(len(opened.plaintext))
        return opened

    async def verify(self, signed: bytes, signature: bytes | None) -> Unsealed | None:
        """A detached signature, or with None a clear-signed text. None when nothing can be said of it."""
        self._count()
        try:
            return await self.opener.verify(
                Secret(signed), signature, max_bytes=limits.PLAINTEXT_BYTES, seconds=limits.GPG_SECONDS
            )
        except Unavailable:
            self.fail(Failure.UNAVAILABLE)
        except KeysError:
            pass
        return None

    def fail(self, what: Failure) -> None:
        if what not in self.failures:
            self.failures.append(what)

    def add(self, verifications: tuple[Verification, ...], scope: Scope) -> frozenset[int]:
        """Notes signatures found in a scope; their numbers."""
        if len(self.found) + len(verifications) > limits.SIGNATURES:
            raise TooMuch("signatures")
        first = len(self.found)
        self.found += [Found(each, scope.root) for each in verifications]
        return frozenset(range(first, len(self.found)))

    def add_error(self, scope: Scope) -> frozenset[int]:
        """A signature of which nothing can be said."""
        return self.add((_ERROR,), scope)

    def sealed_inside(self, scope: Scope) -> None:
        """Something in this scope was decrypted: signatures around it cover bytes, not what is shown (RFC 9787)."""
        for number in scope.signatures:
            self.found[number].root = False

    def is_good(self, number: int) -> bool:
        return self.found[number].verification.status is SignatureStatus.GOOD

    async def signatures(self, author: Address | None, scopes: list[Scope]) -> tuple[Signature, ...]:
        """The verdicts, once it is known what is shown."""
        out: list[Signature] = []
        for number, found in enumerate(self.found):
            extent = covers(number, scopes, root=found.root)
            status, signer = await self._verdict(found.verification, author, extent)
            out.append(
                Signature(
                    status=status,
                    engine=found.verification.status,
                    fingerprint=found.verification.primary_key,
                    signer=signer,
                    covers=extent,
                    signed_at=found.verification.signed_at,
                )
            )
        return tuple(out)

    async def _verdict(
        self, verification: Verification, author: Address | None, extent: Covers
    ) -> tuple[SignerStatus, Address | None]:
        primary = verification.primary_key
        try:
            bound = primary is not None and author is not None and primary in await self.opener.bound(author.lower())
            others = () if primary is None or bound else await self.opener.signers(primary)
        except Unavailable:
            self.fail(Failure.UNAVAILABLE)
            return SignerStatus.ERROR, None
        except KeysError:
            return SignerStatus.ERROR, None
        signer = author if bound else Address(others[0]) if others else None
        if verification.status is not SignatureStatus.GOOD:
            return _BY_ITSELF[verification.status], signer
        if not bound:
            return (SignerStatus.MISMATCH if others else SignerStatus.UNKNOWN_KEY), signer
        return (SignerStatus.VERIFIED if extent is Covers.ALL else SignerStatus.PARTIAL), signer

    def _count(self) -> None:
        self.operations += 1
        if self.operations > limits.CRYPTO_OPERATIONS:
            raise TooMuch("crypto")


def canonical(data: bytes) -> bytes:
    """Text with CRLF line ends, as signatures by RFC 3156 cover it."""
    return _NEWLINE.sub(b"\r\n", data)

"""The parser worker's side of the opener pipe: everything a worker may ask of keys, for one message.

    client = OpenerClient(sock, limits)          # sock: the worker's end of the socket pair
    unboxed = await client.unseal()              # -> keys.unbox.Unboxed; gateway.crossing makes the Passed of it
    unsealed = await client.open(Sealed(data), max_bytes=…, seconds=…)

It implements `keys.openpgp.OpenPGP`. Every method raises a `keys.errors.KeysError` and nothing else: Unavailable when
the opener is gone (try the message again later), TooSlow when it doesn't answer in time. When the pipe broke, or a call
was cancelled, every later call is Unavailable: a frame that was cut can't be told from the next one.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final, TypeVar

from keys import protocol
from keys.box import Binding, Purpose
from keys.codec import pack
from keys.limits import Limits
from keys.openpgp import Fingerprint, Sealed, Unsealed
from keys.pipe import AsyncPipe
from keys.secret import Secret
from keys.unbox import Unboxed

T = TypeVar("T")

GRACE_SECONDS: Final = 5.0  # beyond the engine's own limit: to start gpg, and to say that it was too slow


class OpenerClient:
    """One message's opener. `sock` is a connected stream socket and belongs to the client from now on."""

    def __init__(self, sock: socket.socket, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._pipe = AsyncPipe(sock, max_bytes=self._limits.frame_bytes)

    async def unseal(self) -> Unboxed:
        """The box of this message, its signature verified over the row it was found in. Raises BadSignature (forged,
        moved or replayed), MissingKey (its key was destroyed), CannotDecrypt, BadData."""
        return await self._ask(protocol.Unseal(), Unboxed)

    async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed:
        """An OpenPGP message, decrypted and its signatures judged. Raises MissingKey (sealed to others),
        CannotDecrypt (changed on the way), BadData, TooLarge, TooSlow."""
        return await self._ask(protocol.Open(sealed.data, max_bytes, seconds), Unsealed, seconds)

    async def verify(
        self, signed: Secret[bytes], signature: bytes | None, /, *, max_bytes: int, seconds: float
    ) -> Unsealed:
        """A detached signature over `signed`, or, with None, a clear-signed or one-pass-signed message."""
        return await self._ask(protocol.Verify(signed, signature, max_bytes, seconds), Unsealed, seconds)

    async def seal(
        self, plaintext: Secret[bytes], /, *, to: Sequence[Fingerprint], sign_as: Fingerprint, seconds: float
    ) -> Sealed:
        """Armored. Raises CertCannotEncrypt, MissingKey, KeyCannotSign. Kind REPLY only."""
        return await self._ask(protocol.Seal(plaintext, tuple(to), sign_as, seconds), Sealed, seconds)

    async def sign(self, signed: Secret[bytes], /, *, sign_as: Fingerprint, seconds: float) -> bytes:
        """A detached, armored signature with SHA-512 (RFC 3156: micalg=pgp-sha512). Kind REPLY only."""
        return await self._ask(protocol.Sign(signed, sign_as, seconds), bytes, seconds)

    async def bound(self, address: str) -> tuple[Fingerprint, ...]:
        """The certificates that a trusted entry binds to the address. Expired and revoked ones too: a signature by one
        has its own status."""
        return await self._ask(protocol.Bound(address), tuple[Fingerprint, ...])

    async def signers(self, fingerprint: Fingerprint) -> tuple[str, ...]:
        """The addresses that the certificate is bound to: lower-case, sorted."""
        return await self._ask(protocol.Signers(fingerprint), tuple[str, ...])

    async def mailbox_key(self, address: str) -> Fingerprint:
        """Our own key for one of the company's addresses: newest of those that can sign. Raises MissingKey. REPLY."""
        return Fingerprint(await self._ask(protocol.MailboxKey(address), str))

    async def export(self, fingerprint: Fingerprint) -> bytes:
        """The public part of one of our own keys, binary and minimal, for Autocrypt or an attachment. Kind REPLY."""
        return await self._ask(protocol.Export(fingerprint), bytes)

    async def box(self, payload: Secret[bytes], purpose: Purpose, row: str, channel: str) -> bytes:
        """Sealed to the current key of the purpose and signed by the inspector. Kind REPLY only, purpose OUTBOX."""
        binding = Binding(purpose=purpose, row=row, channel=channel)
        return await self._ask(protocol.Box(payload, binding), bytes)

    def close(self) -> None:
        """The opener sees the end and exits."""
        self._pipe.close()

    async def _ask(self, request: protocol.Request, kind: type[T], seconds: float = 0.0) -> T:
        limit = seconds + self._limits.gpg_wait_seconds + GRACE_SECONDS
        return protocol.result(kind, await self._pipe.exchange(pack(request), seconds=limit))

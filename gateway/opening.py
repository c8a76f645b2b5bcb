"""Opening: a message as it was admitted becomes an `Opened`: decrypted, verified, parsed, within limits."""

from __future__ import annotations

from typing import Protocol

from channels.contract import Inbound
from gateway.layers import Passed
from gateway.opened import Opened
from keys.openpgp import Fingerprint, Sealed, Unsealed
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


async def open_message(admitted: Passed[Inbound], opener: Opener) -> Opened:
    """Never raises for what a message contains."""
    raise NotImplementedError

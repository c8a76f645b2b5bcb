"""Stamps: the inspector's signature on what the desk reads (verifying side).

Rules:
1. A row's stamp covers tenant, conversation, message, sequence number, revision, policy version and ciphertext: a row
   can't be changed, moved to another conversation, or taken from another company.
2. A conversation's head commits to the current revision of each of its messages: an old row can't be put back.
3. `keys.stamping` makes them; the desk may not import it.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

from keys.box import VerifyKey
from keys.errors import BadSignature


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedRow:
    tenant: str
    conversation: str
    message: str
    sequence: int
    revision: int
    policy_version: int
    ciphertext: bytes

    def encode(self) -> bytes:
        numbers = struct.pack(">QQQ", self.sequence, self.revision, self.policy_version)
        return _encode(
            b"vestibule row 1", self.tenant.encode(), self.conversation.encode(), self.message.encode(), numbers,
            hashlib.sha256(self.ciphertext).digest(),
        )  # fmt: skip

    def digest(self) -> bytes:
        return hashlib.sha256(self.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class StampedHead:
    """`rows` are the digests of the current revisions in the order of their sequence numbers, chained:
    chain(n) = SHA-256(chain(n-1) | digest(n)), chain(0) = 32 zero bytes, so that appending is cheap. `epoch` grows
    with every change, so that an old head can't be put back beside a newer feed entry."""

    tenant: str
    conversation: str
    epoch: int
    length: int
    chain: bytes

    def encode(self) -> bytes:
        numbers = struct.pack(">QQ", self.epoch, self.length)
        return _encode(b"vestibule head 1", self.tenant.encode(), self.conversation.encode(), numbers, self.chain)


ZERO = bytes(32)


def extend(chain: bytes, digest: bytes) -> bytes:
    return hashlib.sha256(chain + digest).digest()


def chain_of(digests: Iterable[bytes]) -> bytes:
    chain = ZERO
    for digest in digests:
        chain = extend(chain, digest)
    return chain


def verify(key: VerifyKey, signature: bytes, stamped: StampedRow | StampedHead) -> None:
    """Raises BadSignature."""
    if len(signature) != 64:
        raise BadSignature
    key.verify(signature, stamped.encode())


def _encode(*fields: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(field)) + field for field in fields)

"""Verifying and opening a box. Only the role that a box is meant for holds the private keys; see `keys.box`.

Rule: the sender's signature is checked first, over the place where the box was found; nothing is decrypted before.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import MLKEM768X25519PrivateKey

from keys.box import SUITE, Binding, BoxPublicKey, KeyId, VerifyKey, parse
from keys.errors import BadSignature, CannotDecrypt, MissingKey
from keys.secret import Secret

SEED_BYTES = 64 + 32
"""ML-KEM-768's seed (d and z, FIPS 203) followed by the X25519 private key: both component seeds are kept."""


@dataclass(frozen=True, slots=True)
class BoxPrivateKey:
    seed: Secret[bytes]

    @classmethod
    def generate(cls) -> BoxPrivateKey:
        return cls(Secret(os.urandom(SEED_BYTES)))

    def public(self) -> BoxPublicKey:
        mlkem, x25519 = self._parts()
        return BoxPublicKey(mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw())

    def hpke(self) -> MLKEM768X25519PrivateKey:
        return MLKEM768X25519PrivateKey(*self._parts())

    def _parts(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        seed = self.seed.reveal()
        return MLKEM768PrivateKey.from_seed_bytes(seed[:64]), X25519PrivateKey.from_private_bytes(seed[64:])


@dataclass(frozen=True, slots=True, kw_only=True)
class Unboxed:
    """What was in a box whose signature verified. Made only by `open_box`, or from an opener's answer on its pipe."""

    payload: Secret[bytes]
    binding: Binding
    signer: KeyId


def open_box(
    box: bytes, *, binding: Binding, keys: Mapping[KeyId, BoxPrivateKey], senders: Mapping[KeyId, VerifyKey]
) -> Unboxed:
    """Raises BadData (not a box), BadSignature (forged, moved or by a stranger), MissingKey (its key was destroyed),
    CannotDecrypt."""
    head = parse(box)
    sender = senders.get(head.signer)
    if sender is None:
        raise BadSignature
    info = binding.encode(bytes.fromhex(head.key), bytes.fromhex(head.signer))
    sender.verify(head.signature, info + head.ciphertext)
    key = keys.get(head.key)
    if key is None:
        raise MissingKey
    try:
        payload = SUITE.decrypt(head.ciphertext, key.hpke(), info)
    except (InvalidTag, ValueError):
        raise CannotDecrypt from None
    return Unboxed(payload=Secret(payload), binding=binding, signer=head.signer)

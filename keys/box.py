"""Boxes: what one role hands to another through the store (sealing side: public keys and the role's own signing key).

A box is HPKE base mode (RFC 9180) with MLKEM768-X25519, HKDF-SHA256 and AES-256-GCM, signed by the sending role with
Ed25519 (RFC 8032): base mode alone proves no sender, so anyone who can insert a row could forge one.

    box = "VB1" | key id (8) | signer id (8) | signature (64) | HPKE enc and ciphertext

Rules:
1. Version, both ids, purpose, row and channel are bound twice: as HPKE's `info` and under the signature.
2. Public keys come from files, never from the database.
3. This module can't open anything; `keys.unbox` can, and the desk and the edge's spool side may not import it.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Final, NewType

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PublicKey, Suite

from keys.errors import BadData, BadSignature, ExposedKey, MissingKey
from keys.secret import Secret

KeyId = NewType("KeyId", str)
"""The first 8 bytes of the SHA-256 of the public key, in hexadecimal: names a key, proves nothing."""

MAGIC: Final = b"VB1"
HEAD: Final = len(MAGIC) + 8 + 8 + 64
SUITE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
MLKEM_PUBLIC_BYTES: Final = 1184


class Purpose(StrEnum):
    """Which way a box goes; each has keys of its own."""

    SPOOL = "spool"
    REPLY = "reply"
    OUTBOX = "outbox"
    REQUEST = "request"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """The place that a box is good for: it opens nowhere else."""

    purpose: Purpose
    row: str
    channel: str

    def encode(self, key: bytes, signer: bytes) -> bytes:
        fields = (MAGIC, key, signer, self.purpose.encode(), self.row.encode(), self.channel.encode())
        return b"".join(struct.pack(">I", len(field)) + field for field in fields)


def key_id(public: bytes) -> KeyId:
    return KeyId(hashlib.sha256(public).digest()[:8].hex())


@dataclass(frozen=True, slots=True)
class BoxPublicKey:
    """`raw` is the ML-KEM-768 encapsulation key followed by the X25519 public key."""

    raw: bytes

    @property
    def id(self) -> KeyId:
        return key_id(self.raw)

    def hpke(self) -> MLKEM768X25519PublicKey:
        return _hpke(self.raw)


@lru_cache(maxsize=16)
def _hpke(raw: bytes) -> MLKEM768X25519PublicKey:
    """Expanding an ML-KEM key takes half as long as sealing to it."""
    mlkem, x25519 = raw[:MLKEM_PUBLIC_BYTES], raw[MLKEM_PUBLIC_BYTES:]
    return MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(mlkem), X25519PublicKey.from_public_bytes(x25519)
    )


@dataclass(frozen=True, slots=True)
class VerifyKey:
    """A role's Ed25519 public key, 32 bytes."""

    raw: bytes

    @property
    def id(self) -> KeyId:
        return key_id(self.raw)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Raises BadSignature."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            raise BadSignature from None


class SigningKey:
    """A role's own Ed25519 key."""

    __slots__ = ("_key", "public")

    def __init__(self, seed: Secret[bytes]) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed.reveal())
        self.public = VerifyKey(self._key.public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data)

    def __repr__(self) -> str:
        return f"SigningKey({self.public.id})"


def seal(payload: Secret[bytes], *, to: BoxPublicKey, by: SigningKey, binding: Binding) -> bytes:
    """The box. About 100 µs for 4 KB."""
    key, signer = bytes.fromhex(to.id), bytes.fromhex(by.public.id)
    info = binding.encode(key, signer)
    ciphertext = SUITE.encrypt(payload.reveal(), to.hpke(), info)
    signature = by.sign(info + ciphertext)
    return b"".join((MAGIC, key, signer, signature, ciphertext))


@dataclass(frozen=True, slots=True)
class Head:
    key: KeyId
    signer: KeyId
    signature: bytes
    ciphertext: bytes


def parse(box: bytes) -> Head:
    """Raises BadData. Says nothing about whether the box is genuine."""
    if len(box) < HEAD or not box.startswith(MAGIC):
        raise BadData
    return Head(KeyId(box[3:11].hex()), KeyId(box[11:19].hex()), box[19:83], box[83:])


# --- files: one line, `vestibule-KIND-1 BASE64`; the name tells the purpose and the time it was made


def dump(kind: str, raw: bytes) -> str:
    return f"vestibule-{kind}-1 {base64.b64encode(raw).decode()}\n"


def load(kind: str, text: str) -> bytes:
    """Raises BadData."""
    words = text.split()
    if len(words) != 2 or words[0] != f"vestibule-{kind}-1":
        raise BadData
    try:
        return base64.b64decode(words[1], validate=True)
    except ValueError:
        raise BadData from None


def read_key_file(path: Path, kind: str) -> Secret[bytes]:
    """A private file. Raises MissingKey, ExposedKey (others may read it), BadData."""
    try:
        if path.stat().st_mode & 0o007:
            raise ExposedKey
        return Secret(load(kind, path.read_text("ascii")))
    except OSError:
        raise MissingKey from None
    except UnicodeDecodeError:
        raise BadData from None


def load_signing_key(path: Path) -> SigningKey:
    """A role's `sign.key`. Raises MissingKey, ExposedKey, BadData."""
    seed = read_key_file(path, "sign")
    if len(seed) != 32:
        raise BadData
    return SigningKey(seed)


def newest(paths: Iterable[Path]) -> Path:
    """Files are named PURPOSE.YYYYMMDDTHHMMSSZ.ID.pub, so that names sort by time. Raises MissingKey."""
    try:
        return max(paths, key=lambda path: path.name)
    except ValueError:
        raise MissingKey from None


class PublicKeys:
    """The directory of public files that every role may read. Looked at again whenever it changed, so that a rotated
    key is used without a restart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[Purpose, tuple[int, BoxPublicKey]] = {}

    def current(self, purpose: Purpose) -> BoxPublicKey:
        """The key to seal to: the newest published. Raises MissingKey, BadData."""
        try:
            changed = self._folder.stat().st_mtime_ns
        except OSError:
            raise MissingKey from None
        kept = self._seen.get(purpose)
        if kept is None or kept[0] != changed:
            path = newest(self._folder.glob(f"{purpose}.*.pub"))
            kept = (changed, BoxPublicKey(load("box-public", path.read_text())))
            self._seen[purpose] = kept
        return kept[1]

    def verify_key(self, role: str) -> VerifyKey:
        """The key that the role (edge, inspector, desk) signs its boxes with, or "stamp" for stamps."""
        try:
            return VerifyKey(load("verify", (self._folder / f"{role}.sign.pub").read_text()))
        except OSError:
            raise MissingKey from None

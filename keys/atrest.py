"""AEAD at rest: what stands in the database for longer than a message's passage.

    root key (a file) ── wraps ──► data key, one per contact ── seals ──► fields and rows

Sealed value: version (1 byte) | root key's id (8) | nonce (12) | AES-256-GCM ciphertext and tag. Rules:
1. Every sealed value is bound to its place (`place`, as associated data): it can't be moved to another row or column.
2. Destroying a contact's wrapped data key makes all of their rows unreadable, in backups too (crypto-shredding).
3. Root keys rotate: the newest wraps, the older ones still unwrap. A data key is re-wrapped, rows are not rewritten.
4. Blind indexes (HMAC-SHA256) answer "is it the same?" and nothing else; their key is derived, never reused to seal.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from keys.box import KeyId, key_id, newest, read_key_file
from keys.errors import BadData, CannotDecrypt, MissingKey
from keys.secret import Secret

VERSION: Final = b"\x01"
NONCE_BYTES: Final = 12


class DataKey:
    """Seals and opens one contact's values."""

    __slots__ = ("_aead",)

    def __init__(self, key: Secret[bytes]) -> None:
        self._aead = AESGCM(key.reveal())

    def seal(self, value: Secret[bytes], place: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return VERSION + nonce + self._aead.encrypt(nonce, value.reveal(), place.encode())

    def open(self, sealed: bytes, place: str) -> Secret[bytes]:
        """Raises BadData, CannotDecrypt (another key, another place, or changed)."""
        if sealed[:1] != VERSION or len(sealed) < 1 + NONCE_BYTES + 16:
            raise BadData
        nonce, ciphertext = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return Secret(self._aead.decrypt(nonce, ciphertext, place.encode()))
        except InvalidTag:
            raise CannotDecrypt from None


class AtRest:
    """A role's root keys. `keys` maps id to 32 bytes; `current` names the one that wraps."""

    def __init__(self, keys: Mapping[KeyId, Secret[bytes]], current: KeyId, index_key: Secret[bytes]) -> None:
        if current not in keys:
            raise MissingKey
        self._roots = {name: AESGCM(_derive(key, b"wrap")) for name, key in keys.items()}
        self._own = {name: DataKey(Secret(_derive(key, b"own"))) for name, key in keys.items()}
        self._current = current
        self._index = index_key

    @classmethod
    def single(cls, key: Secret[bytes]) -> AtRest:
        """From one 32-byte key, which also gives the index key."""
        name = key_id(key.reveal())
        return cls({name: key}, name, Secret(_derive(key, b"index")))

    @property
    def current(self) -> KeyId:
        return self._current

    def new_data_key(self, owner: str) -> bytes:
        """A fresh data key, wrapped, for the row that `owner` names."""
        return self._wrap(os.urandom(32), owner)

    def data_key(self, wrapped: bytes, owner: str) -> DataKey:
        """Raises BadData, MissingKey (root key destroyed), CannotDecrypt."""
        return DataKey(Secret(self._unwrap(wrapped, owner)))

    def rewrap(self, wrapped: bytes, owner: str) -> bytes:
        """The same data key under the current root key."""
        return self._wrap(self._unwrap(wrapped, owner), owner)

    def root_of(self, wrapped: bytes) -> KeyId:
        return KeyId(wrapped[1:9].hex())

    def seal(self, value: Secret[bytes], place: str) -> bytes:
        """For what belongs to no contact: directly under the current root key."""
        return bytes.fromhex(self._current) + self._own[self._current].seal(value, place)

    def open(self, sealed: bytes, place: str) -> Secret[bytes]:
        """Raises BadData, MissingKey, CannotDecrypt."""
        own = self._own.get(KeyId(sealed[:8].hex()))
        if own is None:
            raise MissingKey
        return own.open(sealed[8:], place)

    def index(self, purpose: str, value: str) -> bytes:
        """A blind index: the same 32 bytes for the same purpose and value. Raises MissingKey."""
        if not self._index:
            raise MissingKey
        message = purpose.encode() + b"\x00" + value.encode("utf-8", "surrogatepass")
        return hmac.digest(self._index.reveal(), message, "sha256")

    def _wrap(self, key: bytes, owner: str) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._roots[self._current].encrypt(nonce, key, owner.encode())
        return VERSION + bytes.fromhex(self._current) + nonce + sealed

    def _unwrap(self, wrapped: bytes, owner: str) -> bytes:
        if wrapped[:1] != VERSION or len(wrapped) != 1 + 8 + NONCE_BYTES + 32 + 16:
            raise BadData
        root = self._roots.get(self.root_of(wrapped))
        if root is None:
            raise MissingKey
        try:
            return root.decrypt(wrapped[9 : 9 + NONCE_BYTES], wrapped[9 + NONCE_BYTES :], owner.encode())
        except InvalidTag:
            raise CannotDecrypt from None


def load_secret(path: Path) -> Secret[bytes]:
    """A file with 32 secret bytes (session.key, threads.key, lane.key). Raises MissingKey, ExposedKey, BadData."""
    secret = read_key_file(path, "secret")
    if len(secret) != 32:
        raise BadData
    return secret


def load_roots(folder: Path, prefix: str, index: Secret[bytes] | None = None) -> AtRest:
    """The root keys PREFIX.TIME.ID.key in the folder; the newest wraps. Without an index key, `AtRest.index` raises
    MissingKey: indexes must outlive the roots. Raises MissingKey, ExposedKey, BadData."""
    paths = sorted(folder.glob(f"{prefix}.*.key"))
    current = newest(paths)
    keys = {path: load_secret(path) for path in paths}
    named = {key_id(key.reveal()): key for key in keys.values()}
    return AtRest(named, key_id(keys[current].reveal()), Secret(b"") if index is None else index)


def derive(key: Secret[bytes], purpose: str) -> Secret[bytes]:
    """32 bytes for one purpose, from a secret that serves several."""
    return Secret(_derive(key, b"derived " + purpose.encode()))


def _derive(key: Secret[bytes], purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=b"vestibule at rest 1 " + purpose).derive(key.reveal())

"""DKIM public keys in the DNS (RFC 6376, section 3.6; RFC 8301; RFC 8463), and checking one signature with one.

Rules: keys below 1,024 bits and SHA-1 verify nothing (RFC 8301, section 3); a flag that limits a key is obeyed; several
key records at one name are none.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

from channels.contract import Result
from channels.email.canonical import TagError, tags, without_blanks
from channels.email.resolver import Resolver, Status

RSA_BITS_LEAST: Final = 1_024  # RFC 8301, section 3.2
RSA_BITS_MOST: Final = 8_192  # beyond it a signature costs us more than the sender
RSA_EXPONENT_BITS_MOST: Final = 33
KEYS_KEPT: Final = 256  # the same few senders write most mail
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/]+={0,2}")


class Algorithm(Enum):
    RSA_SHA256 = "rsa-sha256"
    ED25519_SHA256 = "ed25519-sha256"


class Refusal(Exception):
    """Why a signature doesn't verify: a result and a fixed token."""

    def __init__(self, result: Result, reason: str) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Key:
    """`strict`: t=s. `granularity`: the historic g=, None for any local part."""

    public: RSAPublicKey | Ed25519PublicKey
    strict: bool
    granularity: str | None


async def fetch(
    resolver: Resolver, selector: str, domain: str, algorithm: Algorithm, *, least_bits: int = RSA_BITS_LEAST
) -> Key:
    """The key of a signature. Raises Refusal."""
    answer = await resolver.query(f"{selector}._domainkey.{domain}", "TXT")
    if answer.status is Status.FAILED:
        raise Refusal(Result.TEMPERROR, "key.dns")
    texts = [text for text in answer.texts if b"p=" in without_blanks(text)]
    if not texts:
        raise Refusal(Result.PERMERROR, "key.missing" if not answer.texts else "key.syntax")
    if len(texts) > 1:
        raise Refusal(Result.PERMERROR, "key.several")
    return parse(texts[0], algorithm, least_bits=least_bits)


@lru_cache(KEYS_KEPT)
def parse(text: bytes, algorithm: Algorithm, *, least_bits: int = RSA_BITS_LEAST) -> Key:
    """Raises Refusal."""
    try:
        found = tags(text, lenient=True)
    except TagError:
        raise Refusal(Result.PERMERROR, "key.syntax") from None
    if "v" in found and (found["v"] != b"DKIM1" or next(iter(found)) != "v"):
        raise Refusal(Result.PERMERROR, "key.version")
    if "p" not in found:
        raise Refusal(Result.PERMERROR, "key.syntax")
    family = found.get("k", b"rsa")
    if family != (b"rsa" if algorithm is Algorithm.RSA_SHA256 else b"ed25519"):
        raise Refusal(Result.PERMERROR, "key.algorithm")
    if "h" in found and b"sha256" not in _list(found["h"]):
        raise Refusal(Result.PERMERROR, "key.hash")
    if not {b"*", b"email"}.intersection(_list(found.get("s", b"*"))):
        raise Refusal(Result.PERMERROR, "key.service")
    flags = _list(found.get("t", b""))
    data = without_blanks(found["p"])
    if not data:
        raise Refusal(Result.PERMERROR, "key.revoked")
    public = _public(data, algorithm)
    if isinstance(public, RSAPublicKey):
        if public.key_size < least_bits:
            raise Refusal(Result.POLICY, "key.short")
        if public.key_size > RSA_BITS_MOST or public.public_numbers().e.bit_length() > RSA_EXPONENT_BITS_MOST:
            raise Refusal(Result.POLICY, "key.long")
    if b"y" in flags:
        raise Refusal(Result.POLICY, "key.testing")
    return Key(public, b"s" in flags, _granularity(found))


def verifies(key: Key, signature: bytes, data: bytes, digest: bytes) -> bool:
    """`data` is what was signed, `digest` its SHA-256, which is what Ed25519 signs (RFC 8463, section 3)."""
    try:
        if isinstance(key.public, RSAPublicKey):
            key.public.verify(signature, data, PKCS1v15(), SHA256())
        else:
            key.public.verify(signature, digest)
    except InvalidSignature:
        return False
    return True


def unbase64(value: bytes) -> bytes:
    """Base64 with folding blanks in it, or nothing else. Raises ValueError."""
    value = without_blanks(value)
    if not _BASE64.fullmatch(value):
        raise ValueError("base64")
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error:
        raise ValueError("base64") from None


def _public(data: bytes, algorithm: Algorithm) -> RSAPublicKey | Ed25519PublicKey:
    try:
        raw = unbase64(data)
        if algorithm is Algorithm.ED25519_SHA256:
            return Ed25519PublicKey.from_public_bytes(raw)
        key = load_der_public_key(raw)
    except Exception:  # noqa: BLE001 - whatever the bytes are, they are no key
        raise Refusal(Result.PERMERROR, "key.syntax") from None
    if not isinstance(key, RSAPublicKey):
        raise Refusal(Result.PERMERROR, "key.algorithm")
    return key


def _granularity(found: Mapping[str, bytes]) -> str | None:
    """g= of RFC 4871, gone since RFC 6376. An owner who still limits a key by it is obeyed; an empty one without v= is
    DomainKeys' "any" (RFC 6376, appendix C)."""
    value = found.get("g", b"*").decode("utf-8", "replace")
    return None if value == "*" or (not value and "v" not in found) else value


def _list(value: bytes) -> list[bytes]:
    return [each.strip(b" \t\r\n") for each in value.split(b":")]

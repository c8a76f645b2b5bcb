"""Signing what we send (RFC 6376, RFC 8301, RFC 8463): relaxed/relaxed, the whole body, headers oversigned.

Rule: every field that programs show or act on is named once more than it stands in the message, so that none can be
added afterwards without breaking the signature (RFC 6376, section 5.4).
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from channels.email.address import domain_name
from channels.email.canonical import Body, canonical_field, relaxed_field, signed_fields
from channels.email.dkim_key import Algorithm
from channels.email.headers import HeaderFault, read
from keys.secret import Secret

OVERSIGNED: Final = (
    "from", "sender", "reply-to", "to", "cc", "subject", "date", "message-id", "in-reply-to", "references",
    "mime-version", "content-type", "content-transfer-encoding", "content-disposition", "autocrypt",
)  # fmt: skip
RSA_BITS_LEAST: Final = 2_048  # RFC 8301, section 3.2: signers should
_LINE: Final = 72


class SigningError(ValueError):
    """A key that can't sign, or a message that can't be signed. Its text is a fixed token."""


class Signer:
    """One domain's key. Thread-safe; keeps the private key to itself."""

    def __init__(
        self,
        domain: str,
        selector: str,
        key: RSAPrivateKey | Ed25519PrivateKey,
        *,
        least_bits: int = RSA_BITS_LEAST,
    ) -> None:
        """Raises SigningError."""
        name = domain_name(domain)
        if name is None or domain_name(f"{selector}._domainkey.{name}") is None:
            raise SigningError("domain or selector")
        if isinstance(key, RSAPrivateKey) and key.key_size < least_bits:
            raise SigningError("key too short")
        self.domain = name
        self.selector = selector
        self._key = key

    @classmethod
    def load(cls, domain: str, selector: str, pem: Secret[bytes]) -> Signer:
        """From a PEM private key without a passphrase. Raises SigningError."""
        try:
            key = load_pem_private_key(pem.reveal(), None)
        except (ValueError, TypeError):
            raise SigningError("not a PEM private key") from None
        if not isinstance(key, RSAPrivateKey | Ed25519PrivateKey):
            raise SigningError("neither RSA nor Ed25519")
        return cls(domain, selector, key)

    @property
    def algorithm(self) -> Algorithm:
        return Algorithm.RSA_SHA256 if isinstance(self._key, RSAPrivateKey) else Algorithm.ED25519_SHA256

    def record(self) -> str:
        """The TXT record to publish at SELECTOR._domainkey.DOMAIN."""
        public = self._key.public_key()
        if isinstance(self._key, RSAPrivateKey):
            data, family = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo), "rsa"
        else:
            data, family = public.public_bytes(Encoding.Raw, PublicFormat.Raw), "ed25519"
        return f"v=DKIM1; k={family}; p={base64.b64encode(data).decode()}"

    def sign(self, raw: bytes, *, now: int) -> bytes:
        """The DKIM-Signature field, with its CRLF, to be put on top of a message whose lines end in CRLF. `now` in
        seconds since 1970. Raises SigningError."""
        block = read(raw)
        if block.faults - {HeaderFault.BLANK_FOLD} or not block.named("from"):
            raise SigningError("message is malformed")
        present = Counter(each.name for each in block.fields)
        names = [name for name in OVERSIGNED for _ in range(present[name] + 1)]
        body_hash = base64.b64encode(Body(raw[block.body :]).sha256("relaxed")).decode()
        tags = [
            ("v", "1"),
            ("a", self.algorithm.value),
            ("c", "relaxed/relaxed"),
            ("d", self.domain),
            ("s", self.selector),
            ("t", str(now)),
            ("h", ":".join(names)),
            ("bh", body_hash),
        ]
        value = folded([f"{name}={text}" for name, text in tags], "DKIM-Signature: ") + ";\r\n\tb="
        data = b"".join(canonical_field(each, "relaxed") + b"\r\n" for each in signed_fields(block.fields, names))
        data += relaxed_field("dkim-signature", b" " + value.encode())
        return f"DKIM-Signature: {value}{_in_lines(base64.b64encode(self.signature(data)).decode())}\r\n".encode()

    def signature(self, data: bytes) -> bytes:
        """Over data in its canonical form; used for ARC as well."""
        if isinstance(self._key, RSAPrivateKey):
            return self._key.sign(data, PKCS1v15(), SHA256())
        return self._key.sign(hashlib.sha256(data).digest())


def folded(tags: Sequence[str], name: str) -> str:
    """Tags as the folded value of a field (`name`: with its colon and blank). A list of names breaks behind colons."""
    lines, line = [], name
    for number, tag in enumerate(tags):
        for index, piece in enumerate(_pieces(tag)):
            glue = "; " if number and index == 0 else ""
            if len(line) + len(glue) + len(piece) > _LINE:
                lines.append(line + glue.rstrip())
                line = piece
            else:
                line += glue + piece
    return "\r\n\t".join([*lines, line]).removeprefix(name)


def _pieces(tag: str) -> list[str]:
    if not tag.startswith("h="):
        return [tag]
    names = tag.split(":")
    return [f"{name}:" for name in names[:-1]] + [names[-1]]


def _in_lines(text: str) -> str:
    return "\r\n\t ".join(text[at : at + _LINE] for at in range(0, len(text), _LINE))

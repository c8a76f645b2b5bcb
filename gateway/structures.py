"""Which cryptographic structure an entity is: PGP/MIME (RFC 3156), inline PGP (RFC 9580, section 7), S/MIME (RFC 8551).

Rules: a structure is recognized by its MIME types, liberal on file names and transfer encodings, strict on the shape;
inline PGP only where the armor lines stand at the start of a line. Recognizing opens nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway import limits
from gateway.mime import Entity
from gateway.reading import TooMuch


class Structure(Enum):
    PLAIN = "plain"
    PGP_ENCRYPTED = "pgp-encrypted"
    PGP_SIGNED = "pgp-signed"
    PGP_MANGLED = "pgp-mangled"
    WRAPPED = "wrapped"
    SMIME_ENCRYPTED = "smime-encrypted"
    SMIME_OPAQUE = "smime-opaque"
    SMIME_SIGNED = "smime-signed"
    UNKNOWN_ENCRYPTED = "unknown-encrypted"
    UNKNOWN_SIGNED = "unknown-signed"


PGP_BEGIN: Final = b"-----BEGIN PGP MESSAGE-----"
_CRYPTO_TYPE: Final = re.compile(rb"(?im)^content-type:[ \t]*multipart/(?:encrypted|signed)")
_PKCS7: Final = frozenset({"application/pkcs7-mime", "application/x-pkcs7-mime"})
_ENVELOPED: Final = frozenset({"enveloped-data", "authenveloped-data", "auth-enveloped-data", "encrypted-data"})
_OID_SIGNED: Final = bytes.fromhex("06092a864886f70d010702")
_OID_SECRET: Final = (
    bytes.fromhex("06092a864886f70d010703"),  # enveloped-data
    bytes.fromhex("060b2a864886f70d0109100117"),  # auth-enveloped-data
)
_OID_COMPRESSED: Final = bytes.fromhex("060b2a864886f70d0109100109")


def structure(entity: Entity) -> Structure:
    kind = entity.media_type
    if kind == "multipart/encrypted":
        return _encrypted(entity)
    if kind == "multipart/signed" and entity.children:
        return _signed(entity)
    if kind == "multipart/mixed" and _is_mangled(entity):
        return Structure.PGP_MANGLED
    if kind == "multipart/mixed" and _is_wrapped(entity):
        return Structure.WRAPPED
    if kind in _PKCS7 or (
        kind == "application/octet-stream" and (entity.file_name or "").lower().endswith((".p7m", ".p7z"))
    ):
        return Structure.PLAIN if named(entity) == "certs-only" else _smime(entity)
    return Structure.PLAIN


def named(entity: Entity) -> str:
    """RFC 8551's smime-type. "certs-only" holds certificates and neither text nor signature."""
    return entity.content.params.get("smime-type", "").lower()


def _encrypted(entity: Entity) -> Structure:
    protocol = entity.content.params.get("protocol", "").lower()
    types = [child.media_type for child in entity.children]
    if protocol == "application/pgp-encrypted" or "application/pgp-encrypted" in types:
        return Structure.PGP_ENCRYPTED
    return Structure.PGP_ENCRYPTED if ciphertext(entity) is not None else Structure.UNKNOWN_ENCRYPTED


def _signed(entity: Entity) -> Structure:
    names = (entity.content.params.get("protocol", "").lower(), *(c.media_type for c in entity.children[1:2]))
    if "application/pgp-signature" in names:
        return Structure.PGP_SIGNED
    if any(name in ("application/pkcs7-signature", "application/x-pkcs7-signature") for name in names):
        return Structure.SMIME_SIGNED
    return Structure.UNKNOWN_SIGNED


def _is_mangled(entity: Entity) -> bool:
    """What Exchange and some lists make of PGP/MIME: the two parts, after an empty text, as multipart/mixed."""
    parts = list(entity.children)
    if len(parts) == 3 and parts[0].media_type == "text/plain" and not parts[0].data.strip():
        parts = parts[1:]
    return (
        len(parts) == 2
        and parts[0].media_type == "application/pgp-encrypted"
        and parts[0].data.strip().lower().startswith(b"version")
        and parts[1].media_type in ("application/octet-stream", "text/plain", "application/pgp-encrypted")
        and is_message(parts[1].data)
    )


def _is_wrapped(entity: Entity) -> bool:
    """Outlook with GpgOL, seen from outside: an empty text, and the whole cryptographic structure as one file."""
    parts = entity.children
    return (
        len(parts) == 2
        and parts[0].media_type == "text/plain"
        and not parts[0].data.strip()
        and (parts[1].file_name or "").startswith("GpgOL_MIME_structure.")
        and _CRYPTO_TYPE.search(parts[1].data[:2_048]) is not None
    )


def ciphertext(entity: Entity) -> Entity | None:
    """The one part of an encrypted structure that holds an OpenPGP message: the second, by RFC 3156."""
    if entity.media_type == "multipart/encrypted" and len(entity.children) == 2:
        return entity.children[1]
    holders = [child for child in entity.children if child.data and is_message(child.data)]
    return holders[0] if len(holders) == 1 else None


def _smime(entity: Entity) -> Structure:
    kind = named(entity)
    head = entity.data[:80]
    if any(oid in head for oid in _OID_SECRET):
        return Structure.SMIME_ENCRYPTED
    if _OID_SIGNED in head or _OID_COMPRESSED in head:
        return Structure.SMIME_OPAQUE
    if kind in _ENVELOPED:
        return Structure.SMIME_ENCRYPTED
    return Structure.SMIME_OPAQUE if kind else Structure.SMIME_ENCRYPTED


def is_message(data: bytes) -> bool:
    """Whether bytes are an OpenPGP message that may be encrypted: armored, or by the first packet (RFC 9580,
    section 4.2: session key packets, encrypted data, or a marker)."""
    if PGP_BEGIN in data[:4_096]:
        return True
    first = data[:1]
    if not first or not first[0] & 0x80:
        return False
    tag = first[0] & 0x3F if first[0] & 0x40 else first[0] >> 2 & 0x0F
    return tag in (1, 3, 9, 18, 20)


# --- inline

_BEGIN: Final = re.compile(rb"(?m)^-----BEGIN PGP (MESSAGE|SIGNED MESSAGE)-----[ \t\r]*$")
_END: Final = {
    b"MESSAGE": re.compile(rb"(?m)^-----END PGP MESSAGE-----[ \t\r]*$"),
    b"SIGNED MESSAGE": re.compile(rb"(?m)^-----END PGP SIGNATURE-----[ \t\r]*$"),
}


class Run(Enum):
    CLEAR = "clear"
    MESSAGE = "message"
    SIGNED = "signed"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of a text: clear, or one armored block. BROKEN: a block without an end."""

    run: Run
    data: bytes


def inline(data: bytes) -> list[Stretch]:
    """A text cut at its armored blocks; one clear stretch when there is none. Blank clear stretches are left out.
    Raises TooMuch."""
    out: list[Stretch] = []
    at = 0
    while (begin := _BEGIN.search(data, at)) is not None:
        if data[at : begin.start()].strip():
            out.append(Stretch(Run.CLEAR, data[at : begin.start()]))
        end = _END[begin[1]].search(data, begin.end())
        if end is None:
            out.append(Stretch(Run.BROKEN, data[begin.start() :]))
            return out
        run = Run.MESSAGE if begin[1] == b"MESSAGE" else Run.SIGNED
        out.append(Stretch(run, data[begin.start() : end.end()] + b"\n"))
        at = end.end()
        if len(out) > limits.CRYPTO_OPERATIONS * 2:
            raise TooMuch("crypto")
    if data[at:].strip() or not out:
        out.append(Stretch(Run.CLEAR, data[at:]))
    return out


def armored_key(data: bytes) -> bool:
    return b"-----BEGIN PGP PUBLIC KEY BLOCK-----" in data[:4_096]

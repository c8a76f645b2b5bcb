"""What must be known of an OpenPGP message before gpg sees it: armor off, the outermost packets counted, no more.

    RFC 9580, section 6.2 (armor), 4.2 (packet headers), 5.1 (session-key packets), 7 (cleartext signatures)

Rules:
1. gpg is given what was checked here and nothing beside it: binary, one message, nothing before or after.
2. Only headers are read; bodies of session-key packets to their key id. Nothing is decompressed.
3. A message that grammar doesn't allow is `BadData`; one without integrity protection is `CannotDecrypt`.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from keys.errors import BadData, CannotDecrypt

_ARMOR: Final = re.compile(
    rb"^-----BEGIN PGP (MESSAGE|SIGNATURE|PUBLIC KEY BLOCK|PRIVATE KEY BLOCK)-----[ \t]*\r?\n"
    rb"(.*?)"
    rb"^-----END PGP \1-----[ \t]*\r?$",
    re.DOTALL | re.MULTILINE,
)
_HEADER: Final = re.compile(rb"[A-Za-z][A-Za-z0-9-]{0,40}: ?.{0,500}")
_CHECKSUM: Final = re.compile(rb"=[A-Za-z0-9+/]{4}")
_CLEAR: Final = re.compile(
    rb"^-----BEGIN PGP SIGNED MESSAGE-----[ \t]*\r?\n(.*?)"
    rb"(^-----BEGIN PGP SIGNATURE-----[ \t]*\r?\n.*?^-----END PGP SIGNATURE-----)[ \t]*\r?$",
    re.DOTALL | re.MULTILINE,
)
_BEGIN: Final = re.compile(rb"^-----BEGIN PGP ", re.MULTILINE)
_HASH: Final = re.compile(rb"Hash: [A-Za-z0-9, -]{1,200}[ \t]*\r?")
CLEAR_LINE_BYTES: Final = 16_000  # gpg cuts longer ones off when it hashes, and shows them whole
LEADING_PACKETS: Final = 1_000


class Tag(IntEnum):
    """Packet types that are told apart."""

    PKESK = 1
    SIGNATURE = 2
    SKESK = 3
    ONE_PASS = 4
    PUBLIC_KEY = 6
    COMPRESSED = 8
    SED = 9
    MARKER = 10
    LITERAL = 11
    TRUST = 12
    USER_ID = 13
    PUBLIC_SUBKEY = 14
    USER_ATTRIBUTE = 17
    SEIPD = 18
    AEAD = 20
    PADDING = 21


_ENCRYPTED: Final = frozenset({Tag.SED, Tag.SEIPD, Tag.AEAD})
_OF_CERTIFICATES: Final = frozenset(
    {
        Tag.PUBLIC_KEY,
        Tag.PUBLIC_SUBKEY,
        Tag.USER_ID,
        Tag.USER_ATTRIBUTE,
        Tag.SIGNATURE,
        Tag.TRUST,
        Tag.MARKER,
        Tag.PADDING,
    }
)
_STREAMED: Final = frozenset({Tag.COMPRESSED, Tag.SED, Tag.LITERAL, Tag.SEIPD, Tag.AEAD})


@dataclass(frozen=True, slots=True)
class Outline:
    """`recipients` are the session-key packets: key id (16 upper-case hexadecimal digits; empty for a hidden one), and
    the packet's place. `passwords` counts those for a passphrase; `data` is where what they open begins."""

    encrypted: bool
    recipients: tuple[tuple[str, slice], ...] = ()
    passwords: int = 0
    data: int = 0

    @property
    def hidden(self) -> int:
        return sum(not name for name, _ in self.recipients)


def dearmor(data: bytes) -> bytes:
    """Binary packets: those in the one armor block of `data`, or `data` itself when it is binary. The checksum is not
    looked at (RFC 9580, section 6.1). Raises BadData."""
    if data[:1] and data[0] & 0x80:
        return data
    blocks = list(_ARMOR.finditer(data))
    if len(blocks) != 1 or len(_BEGIN.findall(data)) != 1:
        raise BadData
    lines = [line.strip() for line in blocks[0][2].splitlines()]
    while lines and _HEADER.fullmatch(lines[0]) and b":" in lines[0]:
        lines.pop(0)
    body: list[bytes] = []
    for line in lines:
        if _CHECKSUM.fullmatch(line):
            break
        body.append(line)
    try:
        packets = base64.b64decode(b"".join(body), validate=True)
    except (binascii.Error, ValueError):
        raise BadData from None
    if not packets or not packets[0] & 0x80:
        raise BadData
    return packets


def outline(packets: bytes) -> Outline:
    """Of a binary message: one encrypted packet after its session-key packets, or a signed, literal or compressed one.
    Raises BadData (other grammar, cut off, something behind it), CannotDecrypt (no integrity protection)."""
    recipients: list[tuple[str, slice]] = []
    passwords = at = 0
    for _ in range(LEADING_PACKETS):
        if at >= len(packets):
            raise BadData
        tag, body, end = _packet(packets, at)
        if tag == Tag.PKESK:
            recipients.append((_recipient(packets[body:end]), slice(at, end)))
        elif tag == Tag.SKESK:
            passwords += 1
        elif tag in _ENCRYPTED:
            if tag == Tag.SED:
                raise CannotDecrypt
            if end != len(packets):
                raise BadData
            return Outline(True, tuple(recipients), passwords, at)
        elif tag in (Tag.ONE_PASS, Tag.SIGNATURE, Tag.COMPRESSED, Tag.LITERAL):
            if recipients or passwords:
                raise BadData
            return Outline(False)
        elif tag not in (Tag.MARKER, Tag.PADDING):
            raise BadData
        at = end
    raise BadData


def signatures(packets: bytes) -> int:
    """How many signature packets a detached signature has. Raises BadData if it has anything else."""
    count = at = 0
    while at < len(packets):
        tag, _, at = _packet(packets, at)
        if tag == Tag.SIGNATURE:
            count += 1
        elif tag not in (Tag.MARKER, Tag.PADDING):
            raise BadData
    if not count:
        raise BadData
    return count


def certificates(packets: bytes) -> int:
    """How many certificates a transferable public key, or several, has. Raises BadData; also for a secret key, which
    nobody may bring us."""
    count = at = 0
    while at < len(packets):
        tag, _, at = _packet(packets, at)
        count += tag == Tag.PUBLIC_KEY
        if tag not in _OF_CERTIFICATES or not count:
            raise BadData
    if not count:
        raise BadData
    return count


def is_clear_signed(data: bytes) -> bool:
    return _CLEAR.search(data) is not None


@dataclass(frozen=True, slots=True)
class ClearSigned:
    """`block` is the message as gpg may see it, `text` the lines that it covers, dashes unescaped, ends unified to LF
    and stripped of trailing blanks (RFC 9580, section 7.2)."""

    block: bytes
    text: bytes


def clear_signed(data: bytes) -> ClearSigned:
    """The one clear-signed block of `data`, whatever stands around it. Stricter than the RFC where readers were
    deceived: no header but Hash, no NUL, no endless lines, no second block. Raises BadData."""
    found = list(_CLEAR.finditer(data))
    if len(found) != 1 or len(_BEGIN.findall(data)) != 2:
        raise BadData
    block = found[0][0]
    lines = found[0][1].split(b"\n")
    while lines and lines[0].strip():
        if not _HASH.fullmatch(lines.pop(0)):
            raise BadData
    if len(lines) < 2 or b"\x00" in block or any(len(line) > CLEAR_LINE_BYTES for line in lines):
        raise BadData
    covered: list[bytes] = []
    for line in lines[1:-1]:
        if line.startswith(b"-") and not line.startswith(b"- "):
            raise BadData
        covered.append(line.removeprefix(b"- "))
    return ClearSigned(block + b"\n", unify(b"\n".join(covered)))


def unify(text: bytes) -> bytes:
    """As the digest of a clear signature sees it, with LF: trailing blanks gone from each line, and from the end."""
    return b"\n".join(line.rstrip(b" \t\r") for line in text.split(b"\n")).rstrip(b"\n")


def _recipient(body: bytes) -> str:
    """Empty for a hidden one. Version 3 (RFC 9580, section 5.1.1) names a key id, version 6 a fingerprint."""
    if len(body) < 10 or body[0] not in (3, 6):
        raise BadData
    if body[0] == 3:
        return body[1:9].hex().upper() if any(body[1:9]) else ""
    length, version = body[1], body[2]
    if not length:
        return ""
    name = body[3 : 2 + length]
    return (name[:8] if version == 6 else name[-8:]).hex().upper()


def _packet(data: bytes, at: int) -> tuple[int, int, int]:
    """Tag, start of the body, end of the packet."""
    head = data[at]
    if not head & 0x80:
        raise BadData
    if head & 0x40:
        tag = head & 0x3F
        body, end = _new_length(data, at + 1, tag in _STREAMED)
    else:
        tag = head >> 2 & 0x0F
        body, end = _old_length(data, at + 1, head & 3, tag in _STREAMED)
    if end > len(data):
        raise BadData
    return tag, body, end


def _new_length(data: bytes, at: int, may_stream: bool) -> tuple[int, int]:
    start = None
    while True:
        first = data[at : at + 1]
        if not first:
            raise BadData
        if first[0] < 192:
            body, length = at + 1, first[0]
        elif first[0] < 224:
            if at + 2 > len(data):
                raise BadData
            body, length = at + 2, (first[0] - 192 << 8) + data[at + 1] + 192
        elif first[0] == 255:
            body, length = at + 5, int.from_bytes(data[at + 1 : at + 5], "big")
        else:
            if not may_stream:
                raise BadData
            body = at + 1
            start = body if start is None else start
            at = body + (1 << (first[0] & 0x1F))
            continue
        return (body if start is None else start), body + length


def _old_length(data: bytes, at: int, kind: int, may_stream: bool) -> tuple[int, int]:
    if kind == 3:
        if not may_stream:
            raise BadData
        return at, len(data)
    size = 1 << kind
    body = at + size
    return body, body + int.from_bytes(data[at:body], "big")

"""Keyed hashes of what comes in: by them the store tells repeats, order and replays, and learns nothing else.

Rules:
1. All are HMAC-SHA256, 32 bytes, under keys derived from the edge's lane key; without it nobody can test a guess.
2. Fields are length-prefixed: what is bound as two fields can't be had as one.
3. A lane's name has in it how its sender is known: nobody waits behind what a stranger sent in their name.
4. Of a body with OpenPGP armor (RFC 9580, section 6.2) only the ciphertext counts, of others all but white space: a
   copy with another line length, other text around it or in another MIME structure is the same body.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import string
import struct
from collections.abc import Iterable
from typing import Final

from channels.contract import Address, ChannelName, ThreadKey
from keys.secret import Secret

BODY_BYTES: Final = 128
"""Shorter bodies ("yes", "thanks") are the same by chance and prove no replay."""

_BEGIN: Final = b"-----BEGIN PGP MESSAGE-----"
_END: Final = b"-----END PGP MESSAGE-----"
_BLANK: Final = re.compile(rb"\n[ \t\r]*+\n")
_SPACE: Final = b" \t\r\n\v\f"
_NOT_RADIX_64: Final = bytes(set(range(256)) - set(string.ascii_letters.encode() + string.digits.encode() + b"+/"))


class Keyed:
    """The three uses of the edge's lane key (32 bytes)."""

    def __init__(self, key: Secret[bytes]) -> None:
        root = key.reveal()
        self._dedupe = hmac.digest(root, b"dedupe", "sha256")
        self._lane = hmac.digest(root, b"lane", "sha256")
        self._body = hmac.digest(root, b"body", "sha256")

    def dedupe(self, fields: Iterable[bytes | memoryview]) -> bytes:
        """Names one message for good: a second one with the same key is a repeat."""
        mac = hmac.new(self._dedupe, digestmod=hashlib.sha256)
        for field in fields:
            mac.update(struct.pack(">Q", len(field)))
            mac.update(field)
        return mac.digest()

    def lane(self, channel: ChannelName, sender: Address | None, thread: ThreadKey | None, standing: str) -> bytes:
        """What is worked on in order. `standing`: what the sender is known by, or where an unproven one is."""
        fields = [text.encode() for text in (channel, sender or "", thread or "", standing)]
        return hmac.digest(self._lane, b"".join(struct.pack(">Q", len(field)) + field for field in fields), "sha256")

    def body(self, body: bytes | memoryview) -> bytes:
        """Names a body whoever sends it; b"" for one too short to tell."""
        counts = essence(bytes(body))
        return hmac.digest(self._body, counts, "sha256") if len(counts) >= BODY_BYTES else b""


def essence(body: bytes) -> bytes:
    """What of a body counts (rule 4). Linear in its length."""
    found, at = [], body.find(_BEGIN)
    while at >= 0:
        start = at + len(_BEGIN)
        end = body.find(_END, start)
        found.append(_ciphertext(body[start:] if end < 0 else body[start:end]))
        at = -1 if end < 0 else body.find(_BEGIN, end)
    return b"".join(found) or body.translate(None, _SPACE)


def _ciphertext(block: bytes) -> bytes:
    """Radix-64 only: no armor headers, padding or checksum. A soft break of quoted-printable isn't padding."""
    blank = _BLANK.search(block)
    data = block[blank.end() :] if blank else block
    data = data.replace(b"=\r\n", b"").replace(b"=\n", b"")
    return data.partition(b"=")[0].translate(None, _NOT_RADIX_64)

"""Keyed hashes of what comes in: by them the store tells repeats, order and replays, and learns nothing else.

Rules:
1. All are HMAC-SHA256, 32 bytes, under keys derived from the edge's lane key; without it nobody can test a guess.
2. Fields are length-prefixed: what is bound as two fields can't be had as one.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable
from typing import Final

from channels.contract import Address, ChannelName, ThreadKey
from keys.secret import Secret

BODY_BYTES: Final = 128
"""Shorter bodies ("yes", "thanks") are the same by chance and prove no replay."""


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

    def lane(self, channel: ChannelName, sender: Address | None, thread: ThreadKey | None) -> bytes:
        """What is worked on in order."""
        fields = [text.encode() for text in (channel, sender or "", thread or "")]
        return hmac.digest(self._lane, b"".join(struct.pack(">Q", len(field)) + field for field in fields), "sha256")

    def body(self, body: bytes | memoryview) -> bytes:
        """Names a body whoever sends it; b"" for one too short to tell."""
        return hmac.digest(self._body, body, "sha256") if len(body) >= BODY_BYTES else b""

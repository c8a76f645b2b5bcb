"""Our own types as bytes, between processes and in sealed rows: `keys.codec`, in the gateway's terms.

Rules: only `pack` reveals a Secret, and what it returns is a Secret again unless the type holds none; a frame that
doesn't fit raises `BadFrame` and says nothing of its content.
"""

from __future__ import annotations

from typing import TypeVar

from gateway.errors import VestibuleError
from keys import codec
from keys.errors import BadData
from keys.secret import Secret

T = TypeVar("T")


class BadFrame(VestibuleError):
    """Bytes that are not what they should be."""


def pack(value: object) -> Secret[bytes]:
    """A dataclass, or a tuple, list or dict of such, as MessagePack."""
    return Secret(codec.pack(value))


def unpack(kind: type[T], data: bytes) -> T:
    """Raises BadFrame."""
    try:
        return codec.unpack(kind, data)
    except BadData:
        raise BadFrame from None

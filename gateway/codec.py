"""Our own types as bytes, between processes and in sealed rows: MessagePack, checked against the type on reading.

Rules: only `pack` reveals a Secret, and what it returns is a Secret again unless the type holds none; nothing is read
back but into the very type that was meant; a frame that doesn't fit raises `BadFrame` and says nothing of its content.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_args, get_origin

import msgspec

from gateway.errors import VestibuleError
from keys.secret import Secret

T = TypeVar("T")


class BadFrame(VestibuleError):
    """Bytes that are not what they should be."""


def pack(value: object) -> Secret[bytes]:
    """A dataclass, or a tuple, list or dict of such, as MessagePack."""
    return Secret(msgspec.msgpack.encode(value, enc_hook=_encode))


def unpack(kind: type[T], data: bytes) -> T:
    """Raises BadFrame."""
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_decode)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        raise BadFrame from None


def _encode(value: object) -> object:
    if isinstance(value, Secret):
        return value.reveal()
    raise NotImplementedError(type(value).__name__)


def _decode(kind: Any, value: object) -> object:
    if get_origin(kind) is Secret or kind is Secret:
        wanted = (get_args(kind) or (None,))[0]
        if wanted is bytes and isinstance(value, bytes):
            return Secret(value)
        if wanted is str and isinstance(value, str):
            return Secret(value)
    raise TypeError(kind)

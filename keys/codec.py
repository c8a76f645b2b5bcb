"""Our types as bytes, between processes and in sealed rows: MessagePack, checked against the type on reading.

Rules: `Secret` fields come back as `Secret`; nothing is read back but into the very type that was meant; what doesn't
fit raises `BadData` and says nothing of its content.
"""

from __future__ import annotations

from typing import Any, TypeVar, get_args, get_origin

import msgspec

from keys.errors import BadData
from keys.secret import Secret

T = TypeVar("T")


def pack(value: object) -> bytes:
    """A dataclass, struct, tuple, list or dict of such. Reveals its secrets: the result goes into a pipe or a box."""
    return msgspec.msgpack.encode(value, enc_hook=_encode)


def unpack(kind: type[T], data: bytes | bytearray | memoryview) -> T:
    """Raises BadData."""
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_decode)
    except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
        raise BadData from None


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

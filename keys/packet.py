"""Packets on the control socket between parent and key process: a small one, with descriptors beside it.

Whatever is large (a box, a certificate, a listing) travels as a memory file whose descriptor is passed (unix(7),
SCM_RIGHTS), so that neither side blocks on the other's buffers and the key process never copies a box.
"""

from __future__ import annotations

import array
import os
import socket
from typing import Final

from keys.errors import BadData, TooLarge
from keys.limits import CONTROL_BYTES

DESCRIPTORS: Final = 3
_WORD: Final = array.array("i").itemsize


def send(sock: socket.socket, packet: bytes, files: tuple[int, ...] = ()) -> None:
    """Raises TooLarge, OSError."""
    if len(packet) > CONTROL_BYTES:
        raise TooLarge
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", files).tobytes())] if files else []
    sock.sendmsg([packet], beside)


def receive(sock: socket.socket) -> tuple[bytes, tuple[int, ...]]:
    """The packet and its descriptors, which are the caller's to close. Empty at the end. Raises BadData, OSError."""
    packet, beside, flags, _ = sock.recvmsg(
        CONTROL_BYTES, socket.CMSG_SPACE(DESCRIPTORS * _WORD), socket.MSG_CMSG_CLOEXEC
    )
    files: list[int] = []
    for level, kind, data in beside:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            words = array.array("i")
            words.frombytes(data[: len(data) - len(data) % _WORD])
            files += words
    if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
        close(files)
        raise BadData
    return packet, tuple(files)


def close(files: tuple[int, ...] | list[int]) -> None:
    for file in files:
        os.close(file)


def read(file: int, max_bytes: int) -> bytes:
    """All of a memory file. Raises TooLarge, BadData."""
    size = os.fstat(file).st_size
    if size > max_bytes:
        raise TooLarge
    data = os.pread(file, size, 0)
    if len(data) != size:
        raise BadData
    return data


def write(file: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(file, view) :]

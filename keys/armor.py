"""ASCII armor for what we hand out (RFC 9580, section 6.2), with the CRC-24 of section 6.1: it is optional today, but
GnuPG 2.2 takes the tail line for data where the checksum is missing."""

from __future__ import annotations

import base64
from typing import Final

LINE: Final = 64


def armored(data: bytes, kind: str) -> str:
    """`kind` is the words of the header line, such as "PUBLIC KEY BLOCK". Lines end in LF.

    >>> armored(b"", "MESSAGE").splitlines()[-2]
    '=twTO'
    """
    text = base64.b64encode(data).decode("ascii")
    lines = [text[start : start + LINE] for start in range(0, len(text), LINE)]
    checksum = "=" + base64.b64encode(crc24(data).to_bytes(3, "big")).decode("ascii")
    return "\n".join((f"-----BEGIN PGP {kind}-----", "", *lines, checksum, f"-----END PGP {kind}-----", ""))


def crc24(data: bytes) -> int:
    """RFC 9580, section 6.1.1: generator 0x864CFB, initial value 0xB704CE."""
    crc = 0xB704CE
    for octet in data:
        crc ^= octet << 16
        for _ in range(8):
            crc = (crc << 1) ^ (0x1864CFB if crc & 0x800000 else 0)
    return crc & 0xFFFFFF

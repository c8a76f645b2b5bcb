"""What a client says of itself: EHLO's name, AUTH PLAIN (RFC 4616) and AUTH LOGIN, its certificate's fingerprint.

Rules: base64 is read strictly; a name or password with a control character is none; nothing is repeated to the peer.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from channels.email.paths import Refused
from keys.secret import Secret

HELO: Final = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}", re.ASCII)
"""A domain or an address literal (RFC 5321, section 4.1.1.1), and what real clients make of them."""
_NAME: Final = re.compile(r"[!-~]{1,254}")
_BAD: Final = "501 5.5.2 Bad credentials syntax"


@dataclass(frozen=True, slots=True)
class Credentials:
    name: str
    password: Secret[str]


async def ask(argument: str, challenge: Callable[[str], Awaitable[bytes]]) -> Credentials:
    """What follows AUTH (RFC 4954), and the challenges it takes. Raises Refused."""
    mechanism, _, initial = argument.partition(" ")
    if mechanism.upper() == "PLAIN":
        answer = _decoded(initial.encode() if initial else await challenge(""))
        parts = answer.split("\0")
        if len(parts) != 3 or parts[0] not in ("", parts[1]):
            raise Refused(_BAD)
        name, password = parts[1:]
    elif mechanism.upper() == "LOGIN":
        name = _decoded(initial.encode() if initial else await challenge("VXNlcm5hbWU6"))
        password = _decoded(await challenge("UGFzc3dvcmQ6"))
    else:
        raise Refused("504 5.5.4 Unknown mechanism")
    if not _NAME.fullmatch(name) or not password.isprintable():
        raise Refused(_BAD)
    return Credentials(name, Secret(password))


def _decoded(answer: bytes) -> str:
    if answer == b"*":
        raise Refused("501 5.7.0 Cancelled")
    try:
        return base64.b64decode(answer, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        raise Refused(_BAD) from None


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate in DER, lower-case hexadecimal."""
    return hashlib.sha256(certificate).hexdigest()

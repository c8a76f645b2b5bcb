"""The arguments of MAIL and RCPT (RFC 5321, section 4.1.2; RFC 6531; parameters by RFC 1870, RFC 6152, RFC 4954).

Rule: what isn't in the grammar is refused with a constant text; nothing of what the peer sent is repeated to it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from channels.contract import Address
from channels.email import address

_MAIL: Final = re.compile(r"FROM: ?(<(?:[^<>\"]|\"(?:[^\"\\]|\\.)*+\")*+>)(?: +(\S.*))?", re.IGNORECASE)
_RCPT: Final = re.compile(r"TO: ?(<(?:[^<>\"]|\"(?:[^\"\\]|\\.)*+\")*+>)(?: +(\S.*))?", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~]+))?")
_SIZE: Final = re.compile(r"\d{1,20}", re.ASCII)
_PARAMETERS: Final = 10


class Refused(Exception):
    """`reply` is what the peer hears."""

    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class MailFrom:
    """`address` None is the null reverse-path. `size` is what the client declares, 0 if it doesn't."""

    address: Address | None
    size: int = 0
    smtputf8: bool = False


def mail(argument: str, *, extended: bool, login: bool) -> MailFrom:
    """What follows MAIL. `login`: AUTH= is understood (RFC 4954, section 5). Raises Refused."""
    match = _MAIL.fullmatch(argument)
    if match is None:
        raise Refused("501 5.5.2 Syntax: MAIL FROM:<address>")
    parameters = _parameters(match[2], extended=extended)
    size, smtputf8 = 0, False
    for name, value in parameters.items():
        if name == "SIZE" and value is not None and _SIZE.fullmatch(value):
            size = int(value)
        elif name == "BODY" and value is not None and value.upper() in ("7BIT", "8BITMIME"):
            pass
        elif name == "SMTPUTF8" and value is None:
            smtputf8 = True
        elif name == "AUTH" and value is not None and login:
            pass  # who submitted it to somebody else is hearsay
        elif name in ("SIZE", "BODY", "SMTPUTF8"):
            raise Refused("501 5.5.4 Bad parameter")
        else:
            raise Refused("555 5.5.4 Unknown parameter")
    path = match[1][1:-1]
    if not path:
        return MailFrom(None, size, smtputf8)
    if not smtputf8 and not path.isascii():
        raise Refused("553 5.6.7 Such an address takes SMTPUTF8")
    found = address.parse(path, utf8=smtputf8)
    if found is None:
        raise Refused("553 5.1.7 Bad sender address")
    return MailFrom(found, size, smtputf8)


def recipient(argument: str, *, extended: bool, smtputf8: bool) -> Address | None:
    """What follows RCPT. None: <postmaster> without a domain (section 4.5.1). Raises Refused."""
    match = _RCPT.fullmatch(argument)
    if match is None:
        raise Refused("501 5.5.2 Syntax: RCPT TO:<address>")
    if _parameters(match[2], extended=extended):
        raise Refused("555 5.5.4 Unknown parameter")
    path = match[1][1:-1]
    if path.lower() == "postmaster":
        return None
    if path.startswith("@") or path.endswith("]"):
        raise Refused("550 5.7.1 Relaying denied")
    if not smtputf8 and not path.isascii():
        raise Refused("553 5.6.7 Such an address takes SMTPUTF8")
    found = address.parse(path, utf8=smtputf8)
    if found is None:
        raise Refused("553 5.1.3 Bad recipient address")
    return found


def routes(recipient: Address) -> bool:
    """Whether a local part asks to be sent on elsewhere: the % hack, UUCP's bang path, an address in quotes."""
    local = address.local_part_of(recipient)
    return "%" in local or "!" in local or "@" in local


def _parameters(text: str | None, *, extended: bool) -> dict[str, str | None]:
    if not text:
        return {}
    words = text.split()
    if not extended or len(words) > _PARAMETERS:
        raise Refused("501 5.5.4 No parameters here")
    found: dict[str, str | None] = {}
    for word in words:
        match = _PARAMETER.fullmatch(word)
        if match is None or match[1].upper() in found:
            raise Refused("501 5.5.4 Bad parameter")
        found[match[1].upper()] = match[2]
    return found

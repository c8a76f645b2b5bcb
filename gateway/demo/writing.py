"""From a letter to bytes on the wire: MIME, and OpenPGP by the customer's own gpg (RFC 3156)."""

from __future__ import annotations

import secrets
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.mime.application import MIMEApplication
from email.mime.multipart import MIMEMultipart
from email.policy import SMTP, Policy
from email.utils import format_datetime
from typing import Final

from gateway.demo.letters import Letter, Way
from gateway.demo.people import PEOPLE, Gpg, Person

_WIRE: Final[Policy] = SMTP
_SEALED = frozenset({Way.SEALED, Way.SEALED_SIGNED, Way.TAMPERED})


def write(letter: Letter, *, gpg: Gpg, recipient: str, at: datetime) -> bytes:
    """The complete message with CRLF line ends. `recipient` is the fingerprint of the mailbox's certificate."""
    person = PEOPLE[letter.sender]
    body = _body(letter)
    if letter.way in _SEALED:
        signing = ("--sign", "--local-user", person.address) if letter.way is not Way.SEALED else ()
        sealed = gpg.do("--armor", "--recipient", recipient, *signing, "--encrypt", data=body)
        if letter.way is Way.TAMPERED:
            sealed = _tamper(sealed)
        return _headers(_encrypted(sealed), letter, person, at).as_bytes(policy=_WIRE)
    if letter.way is Way.SIGNED:
        signature = gpg.do("--armor", "--local-user", person.address, "--detach-sign", data=body)
        return _signed(body, signature, letter, person, at)
    message = _content(letter)
    _headers(message, letter, person, at)
    return message.as_bytes(policy=_WIRE)


def _content(letter: Letter) -> EmailMessage:
    message = EmailMessage(policy=_WIRE)
    message.set_content(letter.text, cte="quoted-printable")
    if letter.html:
        message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    if letter.attachment:
        name, text = letter.attachment
        message.add_attachment(text, subtype="csv", filename=name)
    return message


def _body(letter: Letter) -> bytes:
    """What is signed or encrypted: a MIME entity of its own, with its subject inside (RFC 9788)."""
    message = _content(letter)
    if letter.way in _SEALED:
        message["Subject"] = letter.subject
        message.replace_header("Content-Type", message["Content-Type"] + '; hp="cipher"; protected-headers="v1"')
    del message["MIME-Version"]
    return message.as_bytes(policy=_WIRE)


def _headers(
    message: EmailMessage | MIMEMultipart, letter: Letter, person: Person, at: datetime
) -> EmailMessage | MIMEMultipart:
    local, _, domain = person.address.partition("@")
    message["From"] = str(Address(person.name, local, domain))
    message["To"] = letter.to
    message["Subject"] = "..." if letter.way in _SEALED else letter.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{secrets.token_hex(12)}@{domain}>"
    if letter.automatic:
        message["Auto-Submitted"] = "auto-replied" if not letter.html else "auto-generated"
        if letter.html:
            message["List-Unsubscribe"] = f"<https://{domain}/unsubscribe>"
            message["Precedence"] = "bulk"
    return message


def _encrypted(sealed: bytes) -> MIMEMultipart:
    outer = MIMEMultipart("encrypted", protocol="application/pgp-encrypted", policy=_WIRE)
    version = MIMEApplication(b"Version: 1\r\n", "pgp-encrypted", lambda part: None, policy=_WIRE)
    data = MIMEApplication(sealed, "octet-stream", lambda part: None, policy=_WIRE)
    data.add_header("Content-Disposition", "inline", filename="encrypted.asc")
    outer.attach(version)
    outer.attach(data)
    return outer


def _signed(body: bytes, signature: bytes, letter: Letter, person: Person, at: datetime) -> bytes:
    """By hand: what was signed must go out to the byte (RFC 3156, section 5)."""
    boundary = f"signed-{secrets.token_hex(8)}"
    head = EmailMessage(policy=_WIRE)
    _headers(head, letter, person, at)
    head["MIME-Version"] = "1.0"
    fields = head.as_bytes(policy=_WIRE).rstrip(b"\r\n")
    kind = (
        f'Content-Type: multipart/signed; micalg="pgp-sha512"; protocol="application/pgp-signature";\r\n'
        f' boundary="{boundary}"'
    )
    mark = f"--{boundary}".encode()
    name = b'Content-Type: application/pgp-signature; name="signature.asc"'
    crlf_signature = signature.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    return b"\r\n".join((fields, kind.encode(), b"", mark, body, mark, name, b"", crlf_signature, mark + b"--", b""))


def _tamper(armored: bytes) -> bytes:
    """Changes one character in the middle of the armor's base64."""
    lines = armored.split(b"\n")
    middle = len(lines) // 2
    line = bytearray(lines[middle])
    line[10] = ord("A") if line[10] != ord("A") else ord("B")
    lines[middle] = bytes(line)
    return b"\n".join(lines)

"""Composing: a reply or notice as the bytes of a message (RFC 5322, 2045), protected or with leave to go in clear.

    inner(passed, …)              what is sealed: the text with the real subject (RFC 9788, and protected-headers v1)
    compose(passed, Sealed, …)    PGP/MIME (RFC 3156) around it, outer subject "[...]"
    compose(passed, ClearPermit)  the text itself, and only because policy issued the permit

Rules:
1. `compose` takes a `Sealed` or a `ClearPermit`, and a permit only for the very reply it was issued for: law 8.
2. Nothing of what was received is quoted. The text is the agent's or the template's, the mailbox's signature and the
   case number.
3. Lines end in CRLF, are ASCII and at most 76 characters long, but for addresses that aren't ASCII (RFC 6532) and
   single words of a header. Bare CR, bare LF and NUL can't come out: a value that holds one raises `ValueError`.
4. The same reply gives the same bytes: its Message-ID comes from its id, its date from the caller's clock.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from email.utils import format_datetime
from typing import Final

from channels.contract import Address
from gateway import texts
from gateway.jobs import MailboxFace
from gateway.layers import Passed
from gateway.notices import words
from gateway.reply import ClearPermit, Reply
from keys.openpgp import Sealed
from keys.secret import Secret

OUTER_SUBJECT: Final = "[...]"
"""RFC 9788, section 3.2.2: what `hcp_baseline` puts in a subject's place."""

Field = tuple[str, str]

_BREAKING: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_PHRASE: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_PRINTABLE: Final = re.compile(r"[ -~]*")
_PLAIN_LINES: Final = re.compile(rb"(?:(?!From )[\t -~]{0,76}(?<![ \t])\n)*")
_BEGIN: Final = b"-----BEGIN PGP MESSAGE-----"
_LINE: Final = 76
_FOLD: Final = "\r\n "
_FRAME: Final = "=?utf-8?B??="
_WORD_BYTES: Final = 45  # of one encoded-word: 60 characters of base 64 and its frame stay below 75


def message_id(id: str, domain: str) -> str:
    """The Message-ID of a reply or notice of ours.

    >>> message_id("01JZ", "acme.example")
    '<01jz@acme.example>'
    """
    return f"<{id.lower()}@{domain}>"


def return_path(reply: Reply, face: MailboxFace) -> Address | None:
    """The envelope's sender; None, the null reverse-path, for notices, so that no program answers them (RFC 3834)."""
    return None if reply.template else face.address


def inner(passed: Passed[Reply], face: MailboxFace, *, reply_to: Address | None, at: datetime) -> Secret[bytes]:
    """The cryptographic payload of a sealed reply. `reply_to`: the signed address that brings the answer back."""
    reply = passed.message
    subject = words(reply).subject.reveal()
    fields = _fields(reply, face, subject, reply_to, at)
    outer = _fields(reply, face, OUTER_SUBJECT, reply_to, at)
    encoding, body = _text(reply, face)
    fields += [("HP-Outer", f"{name}: {value}") for name, value in outer]
    fields += [
        ("Content-Type", 'text/plain; charset="utf-8"; protected-headers="v1";\r\n hp="cipher"'),
        ("Content-Transfer-Encoding", encoding),
    ]
    return Secret(_serialised(fields, body))


def compose(
    passed: Passed[Reply],
    protection: Sealed | ClearPermit,
    face: MailboxFace,
    *,
    reply_to: Address | None,
    at: datetime,
) -> Secret[bytes]:
    """The message, ready for a channel. Raises ValueError when the permit is another reply's, or a certificate is there
    and a permit is used all the same, or the other way round."""
    reply = passed.message
    if isinstance(protection, Sealed):
        if not reply.certificates:
            raise ValueError("sealed to nobody")
        fields = _fields(reply, face, OUTER_SUBJECT, reply_to, at)
        return Secret(_pgp_mime([*fields, ("MIME-Version", "1.0")], protection, reply.message_id))
    if protection.reply != reply.id or reply.certificates or reply.correspondent_encrypted or reply.promised_sealed:
        raise ValueError("this permit isn't good for this reply")
    encoding, body = _text(reply, face)
    fields = [
        *_fields(reply, face, words(reply).subject.reveal(), reply_to, at),
        ("MIME-Version", "1.0"),
        ("Content-Type", 'text/plain; charset="utf-8"'),
        ("Content-Transfer-Encoding", encoding),
    ]
    return Secret(_serialised(fields, body))


# --- header


def _fields(reply: Reply, face: MailboxFace, subject: str, reply_to: Address | None, at: datetime) -> list[Field]:
    """The header, values folded and encoded."""
    thread = [*reversed(reply.references), *filter(None, [reply.in_reply_to])]
    references = list(dict.fromkeys(thread))
    fields = [
        ("Date", format_datetime(at)),
        ("From", _mailbox(face.sender_name, face.address)),
        ("To", _checked(reply.to)),
        ("Message-ID", _checked(reply.message_id)),
        ("Subject", encoded(subject, len("Subject: "))),
    ]
    if reply_to is not None:
        fields.append(("Reply-To", _mailbox(face.sender_name, reply_to)))
    if reply.in_reply_to:
        fields.append(("In-Reply-To", _checked(reply.in_reply_to)))
    if references:
        fields.append(("References", "\r\n ".join(_checked(reference) for reference in references)))
    if reply.template:
        fields += [("Auto-Submitted", "auto-replied"), ("X-Auto-Response-Suppress", "All")]
    return fields


def _checked(value: str) -> str:
    if _BREAKING.search(value):
        raise ValueError("a control character in a header")
    return value


def _mailbox(name: str, address: str) -> str:
    if not name:
        return _checked(address)
    short = _PRINTABLE.fullmatch(name) and len(name) < _LINE // 2 and "=?" not in name
    if short and _PHRASE.fullmatch(name):
        shown = name
    elif short:
        shown = '"' + re.sub(r'([\\"])', r"\\\1", name) + '"'
    else:
        shown = encoded(name, len("HP-Outer: Reply-To: "), always=True)
    fits = len("HP-Outer: Reply-To: ") + len(shown) + len(address) + 3 <= _LINE
    return f"{shown}{' ' if fits else _FOLD}<{_checked(address)}>"


def encoded(text: str, used: int, *, always: bool = False) -> str:
    """Unstructured text as a header's value: as it is where it is short ASCII, else as encoded-words (RFC 2047).
    `used`: how much of the first line the field's name takes.

    >>> encoded("Re: order", 9)
    'Re: order'
    >>> encoded("Café", 9)
    '=?utf-8?B?Q2Fmw6k=?='
    """
    _checked(text)
    plain = _PRINTABLE.fullmatch(text) and used + len(text) <= _LINE and "=?" not in text and text == text.strip()
    if plain and not always:
        return text
    chunks: list[bytes] = [b""]
    room = (_LINE - used - len(_FRAME)) // 4 * 3
    for char in text:
        octets = char.encode("utf-8", "replace")
        if len(chunks[-1]) + len(octets) > room:
            chunks.append(b"")
            room = _WORD_BYTES
        chunks[-1] += octets
    return "\r\n ".join(f"=?utf-8?B?{base64.b64encode(chunk).decode('ascii')}?=" for chunk in chunks)


# --- body


def _text(reply: Reply, face: MailboxFace) -> tuple[str, bytes]:
    """Content-Transfer-Encoding and the encoded text, lines ending in CRLF."""
    parts = [words(reply).text.reveal().strip("\n")]
    if not reply.template:
        below = [face.signature.strip("\n")]
        if reply.number:
            below.append(texts.filled("reply", reply.language, {"number": reply.number})["case"])
        signature = "\n".join(filter(None, below))
        parts += [f"-- \n{signature}"] if signature else []
    text = "\n\n".join(parts).replace("\r\n", "\n").replace("\r", "\n") + "\n"
    if "\x00" in text:
        raise ValueError("a control character in the text")
    octets = text.encode("utf-8", "replace")
    if _PLAIN_LINES.fullmatch(octets):
        return "7bit", octets.replace(b"\n", b"\r\n")
    return "quoted-printable", _quoted_printable(octets)


def _quoted_printable(octets: bytes) -> bytes:
    """RFC 2045, section 6.7, with "From " and a lone "." at the start of a line encoded too: nothing on the way may
    take them for more than text."""
    lines = []
    for line in octets.removesuffix(b"\n").split(b"\n"):
        coded = binascii.b2a_qp(line, quotetabs=False, istext=True).replace(b"=\n", b"=\r\n")
        for wire in coded.split(b"\r\n"):
            if wire.startswith(b"From "):
                lines += [b"=46=", wire[1:]]
            elif wire in (b".", b".="):
                lines.append(b"=2E" + wire[1:])
            else:
                lines.append(wire)
    return b"\r\n".join(lines) + b"\r\n"


def _pgp_mime(fields: list[Field], sealed: Sealed, id: str) -> bytes:
    boundary = "=_" + hashlib.sha256(id.encode()).hexdigest()[:40]
    fields.append(
        ("Content-Type", f'multipart/encrypted; protocol="application/pgp-encrypted";\r\n boundary="{boundary}"')
    )
    first = [("Content-Type", "application/pgp-encrypted"), ("Content-Description", "PGP/MIME version identification")]
    second = [
        ("Content-Type", 'application/octet-stream; name="encrypted.asc"'),
        ("Content-Description", "OpenPGP encrypted message"),
        ("Content-Disposition", 'inline; filename="encrypted.asc"'),
    ]
    mark = f"--{boundary}".encode("ascii")
    return _serialised(
        fields,
        b"\r\n".join((
            mark, _serialised(first, b"Version: 1\r\n"),
            mark, _serialised(second, _armored(sealed.data)),
            mark + b"--", b"",
        )),
    )  # fmt: skip


def _armored(data: bytes) -> bytes:
    """ASCII armor (RFC 9580, section 6.2) with CRLF; binary is put into it, without the optional checksum."""
    if data.lstrip().startswith(_BEGIN):
        lines: Sequence[bytes] = data.strip().replace(b"\r\n", b"\n").split(b"\n")
    else:
        coded = base64.b64encode(data)
        rows = [coded[at : at + 64] for at in range(0, len(coded), 64)]
        lines = [_BEGIN, b"", *rows, b"-----END PGP MESSAGE-----"]
    return b"\r\n".join(lines) + b"\r\n"


def _serialised(fields: Iterable[Field], body: bytes) -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in fields)
    return head.encode("utf-8") + b"\r\n" + body

"""Mails to measure with, each of them once: `Letters(kind).make(n)`.

plain   3.7 KB, text and HTML side by side, with a card number and an order number
dkim    the same, signed by the sender's domain (RSA-2048, relaxed/relaxed), DMARC aligned
pgp     PGP/MIME as a mail program makes it: signed and encrypted by gpg with Ed25519 and Cv25519, gpg's compression on

The gateway's cost of a mail doesn't depend on whether an equal ciphertext was opened before (gpg keeps nothing), so a
few dozen ciphertexts, under ever new Message-IDs, serve for all rounds.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from functools import cache

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from channels.email.dkim_sign import Signer
from keys.testing import encrypted, identities

KINDS = ("plain", "dkim", "pgp")
CIPHERTEXTS = 40
SIGNER = Signer("example.org", "s", generate_private_key(65_537, 2_048))
ZONE = {
    ("example.org", "TXT"): ['"v=spf1 ip4:127.0.0.1 -all"'],
    ("_dmarc.example.org", "TXT"): ['"v=DMARC1; p=reject"'],
    ("client.example.org", "TXT"): ['"v=spf1 ip4:127.0.0.1 -all"'],  # a name without an answer can't be remembered
    ("s._domainkey.example.org", "TXT"): [
        " ".join(f'"{SIGNER.record()[at : at + 250]}"' for at in range(0, len(SIGNER.record()), 250))
    ],
}
WORDS = (
    "Good morning, I ordered two lamps of you last week and only one of them has come. The card was 4111 1111 1111 1111"
    " and the order number 2026-4711. Could you please look where the other one is? Thank you very much.\r\n"
)
Mail = tuple[str, str, bytes]


class Letters:
    """Numbers never come twice in a process."""

    _numbers: Iterator[int] = itertools.count()

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def make(self, count: int) -> list[Mail]:
        return [self._one(next(Letters._numbers)) for _ in range(count)]

    def _one(self, number: int) -> Mail:
        pgp = self.kind == "pgp"
        sender = "alice@example.org" if pgp else f"customer{number % 200}@example.org"
        head = (
            f"From: Customer <{sender}>\r\nTo: support@acme.example\r\nSubject: My order {number}\r\n"
            f"Date: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}.{time.time_ns()}@example.org>\r\n"
            "MIME-Version: 1.0\r\n"
        ).encode()
        raw = head + (_sealed()[number % CIPHERTEXTS] if pgp else _alternative(number))
        if self.kind == "dkim":
            raw = SIGNER.sign(raw, now=int(time.time())) + raw
        return sender, "support@acme.example", (b"\r\n" + raw).replace(b"\r\n.", b"\r\n..")[2:]


def _alternative(number: int) -> bytes:
    text = f"Message {number}.\r\n" + WORDS * 4
    html = f"<html><body><p>Message {number}.</p>" + f"<p style='color: navy'><b>{WORDS}</b></p>\r\n" * 8 + "</body>"
    return (
        'Content-Type: multipart/alternative; boundary="b"\r\n\r\n'
        f'--b\r\nContent-Type: text/plain; charset="utf-8"\r\n\r\n{text}\r\n'
        f'--b\r\nContent-Type: text/html; charset="utf-8"\r\n\r\n{html}\r\n--b--\r\n'
    ).encode()


@cache
def _sealed() -> list[bytes]:
    people = identities()
    found = []
    for number in range(CIPHERTEXTS):
        inner = f'Content-Type: text/plain; charset="utf-8"\r\n\r\nMessage {number}.\r\n{WORDS * 8}'.encode()
        sealed = encrypted(inner, to=[people["support"].certificate], by=people["alice"])
        found.append(
            b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="b"\r\n\r\n'
            b"--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
            b"--b\r\nContent-Type: application/octet-stream\r\n\r\n"
            + sealed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n--b--\r\n"
        )  # fmt: skip
    return found

"""Letters of customers, for tests that answer them."""

from __future__ import annotations

from keys.testing import encrypted, identities


def clear(words: str, *, sender: str = "alice@example.org", subject: str = "My order", number: str = "1") -> bytes:
    return (
        f"From: {sender}\r\nTo: support@acme.example\r\nSubject: {subject}\r\n"
        f"Date: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <{number}@peers.example>\r\n\r\n{words}\r\n"
    ).encode()


def pgp_mime(words: str, *, by: str, number: str = "2") -> bytes:
    """Signed, then encrypted to support's key (RFC 3156), by the customer's own gpg."""
    people = identities()
    inner = f'Content-Type: text/plain; charset="utf-8"\r\n\r\n{words}\r\n'.encode()
    sealed = encrypted(inner, to=[people["support"].certificate], by=people[by])
    head = (
        f"From: {people[by].address}\r\nTo: support@acme.example\r\nSubject: ...\r\n"
        f"Message-ID: <{number}@peers.example>\r\nMIME-Version: 1.0\r\n"
        'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary="b"\r\n\r\n'
        "--b\r\nContent-Type: application/pgp-encrypted\r\n\r\nVersion: 1\r\n"
        "--b\r\nContent-Type: application/octet-stream\r\n\r\n"
    ).encode()
    return head + sealed.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n--b--\r\n"

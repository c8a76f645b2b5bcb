"""Hostile octets by function: what would be thousands of lines in a vector."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from vector_format import Vector

HEAD: Final = (
    b"From: Alice <alice@example.org>\r\nTo: support@acme.example\r\nSubject: Order 17\r\n"
    b"Date: Wed, 25 Nov 2026 09:00:00 +0000\r\nMIME-Version: 1.0\r\n"
)


def _letter(content: bytes, body: bytes, head: bytes = HEAD) -> bytes:
    return head + b"Content-Type: " + content + b"\r\n\r\n" + body


def _parts(vector: Vector, count: str) -> bytes:
    part = b"--b\r\n\r\nx\r\n"
    return _letter(b"multipart/mixed; boundary=b", part * int(count) + b"--b--\r\n")


def _nesting(vector: Vector, depth: str) -> bytes:
    body, n = b"Content-Type: text/plain\r\n\r\ndeep\r\n", int(depth)
    opened = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%dx\r\n\r\n--b%dx\r\n" % (number, number) for number in range(n)
    )
    return HEAD + opened + body


def _from(vector: Vector, value: bytes) -> bytes:
    """Folded, so that no line is long."""
    lines = b"\r\n ".join(value[at : at + 900] for at in range(0, len(value), 900))
    return HEAD.replace(b"Alice <alice@example.org>", lines, 1) + b"\r\nhello\r\n"


def _field(name: bytes, value: bytes, body: bytes = b"hello\r\n") -> bytes:
    lines = b"\r\n ".join(value[at : at + 900] for at in range(0, len(value), 900))
    return HEAD + name + b": " + lines + b"\r\n\r\n" + body


def _megabytes(vector: Vector, count: str) -> bytes:
    line = b"0123456789 abcdefghijklmnopqrstuvwxyz\r\n"
    return _letter(b"text/plain", line * (int(count) * 1_048_576 // len(line) + 1))


def _html(vector: Vector, kind: str) -> bytes:
    """Of what a browser builds a tree from, too much."""
    body = {
        "tags": b"<p>x\r\n" * 60_000,
        "depth": b"<div>\r\n" * 20_000,
        "attributes": b"<p " + b"".join(b"a%d=1\r\n" % number for number in range(50_000)) + b">x</p>",
    }[kind]
    return _letter(b"text/html; charset=utf-8", b"<html><body>\r\n" + body)


def _text(vector: Vector, characters: str) -> bytes:
    line = b"the same words again and again, with nothing in them\r\n"
    return _letter(b"text/plain", line * (int(characters) // (len(line) - 1) + 1))


GENERATED: Final[dict[str, Callable[..., bytes]]] = {
    "empty": lambda vector: b"",
    "parts": _parts,
    "nesting": _nesting,
    "long-from": lambda vector: _from(vector, b"a," * 100_000),
    "backslashes-in-from": lambda vector: _from(vector, b"\\" * 50_000 + b" <alice@example.org>"),
    "comments-in-from": lambda vector: _from(vector, b"(" * 3_000 + b")" * 3_000 + b" alice@example.org"),
    "pieces-of-a-parameter": lambda vector: _field(b"Content-Type", b"text/plain" + b"; a*0=b" * 1_000),
    "encoded-words": lambda vector: _field(b"Subject-X", b"=?utf-8?q?a?= " * 4_000),
    "headers": lambda vector, count: HEAD + b"X-Filler: x\r\n" * int(count) + b"\r\nhello\r\n",
    "header-block": lambda vector: (
        HEAD + b"".join(b"X-Filler: " + b"x" * 900 + b"\r\n" for _ in range(120)) + b"\r\nhi\r\n"
    ),
    "long-line": lambda vector, length: HEAD + b"\r\n" + b"x" * int(length) + b"\r\n",
    "long-field": lambda vector, name, length: _field(name.encode(), b"x" * int(length)),
    "megabytes": _megabytes,
    "html": _html,
    "text": _text,
}

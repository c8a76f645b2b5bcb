"""The body's key: the same for the same ciphertext, however it is wrapped."""

from __future__ import annotations

import base64
import time

import pytest

from channels.keyed import BODY_BYTES, Keyed
from keys.secret import Secret

KEYED = Keyed(Secret(b"k" * 32))
CIPHERTEXT = base64.b64encode(bytes(range(256)) * 4).decode()
LINES = [CIPHERTEXT[at : at + 64] for at in range(0, len(CIPHERTEXT), 64)]
BEGIN, END = "-----BEGIN PGP MESSAGE-----", "-----END PGP MESSAGE-----"
ARMORED = "\r\n".join((BEGIN, "", *LINES, "=abcd", END, ""))


def key(text: str) -> bytes:
    return KEYED.body(text.encode())


@pytest.mark.parametrize(
    "wrapped",
    [
        ARMORED + "\r\n",
        ARMORED.replace("\r\n", "\n"),
        ARMORED.replace("=abcd\r\n", ""),
        ARMORED.replace(BEGIN, BEGIN + "\r\nVersion: 2\r\nComment: hello"),
        "\r\n".join((BEGIN, "  ", *(CIPHERTEXT[at : at + 20] + " " for at in range(0, len(CIPHERTEXT), 20)), END)),
        "\r\n".join((BEGIN, "", *LINES[:-1], LINES[-1].replace("=", "=3D"), "=3Dabcd", END)),
        "\r\n".join((BEGIN, "", *(line + "=" for line in LINES[:3]), *LINES[3:], END)),
        f"--b\r\nContent-Type: text/plain\r\n\r\nHello!\r\n{ARMORED}\r\n--b--\r\n",
        ARMORED.replace(END, ""),
    ],
)
def test_ciphertext_has_one_key_however_it_is_wrapped(wrapped: str) -> None:
    assert key(wrapped) == key(ARMORED) != b""


def test_other_ciphertext_has_another_key() -> None:
    assert key(ARMORED.replace(LINES[2], LINES[2][::-1])) != key(ARMORED)
    assert key(ARMORED + ARMORED) != key(ARMORED)


def test_of_other_bodies_all_but_white_space_counts() -> None:
    text = "A letter of some length, which says what letters say. " * 4
    assert key(text) == key(text.replace(" ", "\r\n") + "\r\n") != key(text + "!")
    assert key("x" * (BODY_BYTES - 1) + "\n" * BODY_BYTES) == b""


@pytest.mark.parametrize("unit", [BEGIN, BEGIN + "\n", BEGIN + END, BEGIN + "\n \r", "\n \r\t", "a:b\n"])
def test_hostile_bodies_take_linear_time(unit: str) -> None:
    body = (BEGIN + unit * (8_000_000 // len(unit))).encode()
    started = time.process_time()
    KEYED.body(body)
    assert time.process_time() - started < 2

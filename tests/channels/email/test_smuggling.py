"""SMTP smuggling: no sequence but CRLF.CRLF ends a message, and none of the others gets into one.

The first list is The-Login's (SMTP-Smuggling-Tools, MIT), read from the test data; the second is every way to spell two
line ends around a dot, with NULs in between.
"""

from __future__ import annotations

import asyncio
import base64
import json
from itertools import product

from mailroom import MESSAGE, peer, running
from testdata import email_suite

ENDS = [b"\n", b"\r", b"\r\n", b"\r\r\n", b"\n\r", b"\r\n\0", b"\0\r\n", b"\r\0\n", b""]
SPELT = [a + dot + b for a, dot, b in product(ENDS, (b".", b"\0.", b".\0"), ENDS)]
OURS = [sequence for sequence in SPELT if not sequence.startswith(b"\r\n.\r\n")]  # those are the real end
EVIL = b"MAIL FROM:<ceo@acme.example>\r\nRCPT TO:<support@acme.example>\r\nDATA\r\nSubject: smuggled\r\n\r\nx\r\n.\r\n"


def harmless(sequence: bytes) -> bool:
    """A line that has a dot in it, and no oddity."""
    text = b"x" + sequence + b"x"
    return b"\0" not in text and text.count(b"\r") == text.count(b"\n") == text.count(b"\r\n")


async def test_the_published_sequences_end_nothing() -> None:
    cases = json.loads((email_suite("smtp-smuggling-tools") / "eod_sequences.json").read_text())
    await no_message_from([base64.b64decode(case["bytes_b64"]) for case in cases])


async def test_no_other_sequence_ends_anything() -> None:
    await no_message_from([sequence for sequence in OURS if not harmless(sequence)])


async def no_message_from(sequences: list[bytes]) -> None:
    async with running() as run:

        async def attack(sequence: bytes) -> None:
            async with peer(run) as client:
                await client.envelope()
                assert (await client.ask("DATA"))[:3] == "354"
                client.send(MESSAGE + b"end" + sequence + EVIL)
                heard = await client.closed()
                assert heard.startswith((b"550 5.6.11 ", b"550 5.6.0 ")), (sequence, heard)
                assert heard.count(b"\r\n") == 1, (sequence, heard)

        for at in range(0, len(sequences), 20):
            await asyncio.gather(*(attack(sequence) for sequence in sequences[at : at + 20]))
        assert run.intake.got == []


async def test_the_real_end_is_one_however_it_is_cut() -> None:
    async with running() as run:
        for cut in range(1, 5):
            async with peer(run) as client:
                await client.envelope()
                await client.ask("DATA")
                end = b"\r\n.\r\n"
                client.send(MESSAGE.removesuffix(b"\r\n") + end[:cut])
                await asyncio.sleep(0.01)
                client.send(end[cut:])
                assert (await client.reply())[:3] == "250"
        assert {got.raw.reveal() for got in run.intake.got} == {MESSAGE}


async def test_a_dot_on_a_longer_line_is_content() -> None:
    async with running() as run, peer(run) as client:
        for sequence in (s for s in OURS if harmless(s)):
            assert (await client.deliver(b"Subject: x\r\n\r\nx" + sequence + b"x\r\n"))[:3] == "250"
    assert run.intake.got

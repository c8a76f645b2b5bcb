"""Redaction masks in a text, found again so that the console can show them as quiet chips.

A customer can type the same characters as a mask (`gateway.redact.masks`), so a chip is made only for a kind that
this message's `redactions` count, and never more often than they count it; the rest stays the text it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.redact.masks import MASK

KINDS: Final[Mapping[str, tuple[str, frozenset[str]]]] = {
    "card": ("card", frozenset({"card"})),
    "IBAN": ("iban", frozenset({"iban"})),
    "ID number": ("id", frozenset({"es-dni", "es-nie", "us-ssn"})),
    "code hidden": ("security-code", frozenset({"security-code"})),
}
"""A mask's words → the chip's name, and the kinds that it stands for."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A run of text, or (with `kind`) a mask whose last four characters are `text`, "" for none."""

    text: str
    kind: str = ""


def pieces(text: str, redactions: Mapping[str, int]) -> Iterator[Piece]:
    left = {name: sum(redactions.get(kind, 0) for kind in kinds) for name, kinds in KINDS.values()}
    at = 0
    for match in MASK.finditer(text):
        name = KINDS.get(match[1], ("", frozenset()))[0]
        if left.get(name, 0) <= 0:
            continue
        left[name] -= 1
        if match.start() > at:
            yield Piece(text[at : match.start()])
        yield Piece(match[2] or "", name)
        at = match.end()
    if at < len(text):
        yield Piece(text[at:])

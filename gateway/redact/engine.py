"""The engine: all recognizers over a text, spans into masks, until nothing fires."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from gateway.redact.cards import find as find_cards
from gateway.redact.codes import find as find_codes
from gateway.redact.iban import find as find_ibans
from gateway.redact.masks import WITHHELD, mask
from gateway.redact.spanish import find as find_spanish
from gateway.redact.spans import Span, merged
from gateway.redact.us_ssn import find as find_us_ssn
from gateway.redact.view import Text, View

Recognizer = Callable[[Text], Iterable[Span]]

RECOGNIZERS: Final[tuple[Recognizer, ...]] = (find_cards, find_codes, find_ibans, find_spanish, find_us_ssn)

ROUNDS: Final = 8
"""Masking changes what stands beside what, so that something may fire that didn't before; two rounds are normal."""

_DIGITS: Final = re.compile("[0-9][^0-9]*+[0-9]")
"""Two digits anywhere. No recognizer fires on less (an IBAN has its check digits), and most texts have less."""


@dataclass(frozen=True, slots=True)
class Redacted:
    """`text` is clean. `spans` are in the original's offsets; `withheld`: one mask stands for all of it."""

    text: str
    spans: tuple[Span, ...]
    withheld: bool = False

    @property
    def counts(self) -> Mapping[str, int]:
        """How many values of each kind were masked."""
        return Counter(str(span.kind) for span in self.spans)


def _pass(text: str) -> tuple[Span, ...]:
    view = View(text)
    if _DIGITS.search(view.folded) is None:
        return ()
    return merged(span for recognizer in RECOGNIZERS for span in recognizer(view))


def fires(text: str) -> Mapping[str, int]:
    """What one plain pass finds, counted by kind.

    >>> fires("card 4111 1111 1111 1111"), fires("card [card ···· 1111]")
    (Counter({'card': 1}), Counter())
    """
    return Counter(str(span.kind) for span in _pass(text))


def find(text: str) -> tuple[Span, ...]:
    """Everything to be masked."""
    return redact(text).spans


def redact(text: str) -> Redacted:
    """
    >>> redact("Mi tarjeta es 4111-1111-1111-1111, CVV 123. IBAN ES91 2100 0418 4502 0005 1332, DNI 12345678Z").text
    'Mi tarjeta es [card ···· 1111], CVV [code hidden]. IBAN [IBAN ···· 1332], DNI [ID number]'
    """
    spans = _pass(text)
    if not spans:
        return Redacted(text, ())
    for _ in range(ROUNDS):
        masked, pieces = _masked(text, spans)
        late = _pass(masked)
        if not late:
            return Redacted(masked, spans)
        spans = merged((*spans, *(_back(span, pieces) for span in late)))
    return Redacted(WITHHELD, spans, withheld=True)


@dataclass(frozen=True, slots=True)
class _Piece:
    """A piece of a masked text: where it begins there, and what it is of the original. A mask is one whole."""

    at: int
    start: int
    end: int
    plain: bool


def _masked(text: str, spans: tuple[Span, ...]) -> tuple[str, list[_Piece]]:
    shown: list[str] = []
    pieces: list[_Piece] = []
    at = last = 0

    def add(piece: str, start: int, end: int, plain: bool) -> None:
        nonlocal at
        if piece:
            shown.append(piece)
            pieces.append(_Piece(at, start, end, plain))
            at += len(piece)

    for span in spans:
        add(text[last : span.start], last, span.start, True)
        add(mask(span), span.start, span.end, False)
        last = span.end
    add(text[last:], last, len(text), True)
    return "".join(shown), pieces


def _back(span: Span, pieces: list[_Piece]) -> Span:
    """A span of the masked text in the original's offsets; of a mask that it touches it takes all."""
    first = pieces[bisect_right(pieces, span.start, key=lambda piece: piece.at) - 1]
    final = pieces[bisect_left(pieces, span.end, key=lambda piece: piece.at) - 1]
    start = first.start + span.start - first.at if first.plain else first.start
    end = final.start + span.end - final.at if final.plain else final.end
    return Span(span.kind, start, end, span.last4 if first is final else "", span.reason)

"""Spans: where something sensitive stands in a text, of which kind, and on what grounds.

Rules:
1. A span carries places and reasons, never the value. The one thing kept of it is `last4`, which the mask shows.
2. Offsets count code points of the original text, never of a folded view.
3. Spans that overlap become one; touching ones stay two.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What was found. The values are what `Sanitized.redactions` and `explain` count by."""

    CARD = "card"
    SECURITY_CODE = "security-code"
    IBAN = "iban"
    ES_DNI = "es-dni"
    ES_NIE = "es-nie"
    US_SSN = "us-ssn"


class Reason(StrEnum):
    """On what grounds a recognizer decided."""

    CHECKSUM = "checksum"
    PATTERN = "pattern"
    CONTEXT = "context"


RANK = {kind: rank for rank, kind in enumerate(Kind)}
"""Which kind names a merged span: the first of these."""


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]` is of this kind. `last4` are its last four characters, "" where none may be shown."""

    kind: Kind
    start: int
    end: int
    last4: str = ""
    reason: Reason = Reason.CHECKSUM


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """In order, none overlapping. What lies inside a longer span goes into it; a union of two that cross is named after
    the more sensitive one and shows no last four.

    >>> merged([Span(Kind.CARD, 5, 24, "1111"), Span(Kind.ES_DNI, 20, 30)])
    (Span(kind=<Kind.CARD: 'card'>, start=5, end=30, last4='', reason=<Reason.CHECKSUM: 'checksum'>),)
    >>> [span.last4 for span in merged([Span(Kind.IBAN, 0, 18, "6243"), Span(Kind.CARD, 2, 18, "6243")])]
    ['6243']
    """
    return tuple(_merged(sorted(spans, key=lambda span: (span.start, -span.end, RANK[span.kind]))))


def _merged(ordered: Iterable[Span]) -> Iterator[Span]:
    last: Span | None = None
    for span in ordered:
        if last is None or span.start >= last.end:
            if last is not None:
                yield last
            last = span
        elif span.end > last.end:
            first = min(last, span, key=lambda span: RANK[span.kind])
            last = Span(first.kind, last.start, span.end, "", first.reason)
    if last is not None:
        yield last

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
    """In order, none overlapping. A union is named after its most sensitive part and shows no last four, unless one
    part covers all of it.

    >>> merged([Span(Kind.CARD, 5, 24, "1111"), Span(Kind.ES_DNI, 20, 30), Span(Kind.IBAN, 40, 64, "1332")])
    (Span(kind=<Kind.CARD: 'card'>, start=5, end=30, last4='', reason=<Reason.CHECKSUM: 'checksum'>), \
Span(kind=<Kind.IBAN: 'iban'>, start=40, end=64, last4='1332', reason=<Reason.CHECKSUM: 'checksum'>))
    """
    return tuple(_merged(sorted(spans, key=lambda span: (span.start, -span.end, RANK[span.kind]))))


def _merged(ordered: Iterable[Span]) -> Iterator[Span]:
    last: Span | None = None
    for span in ordered:
        if last is None or span.start >= last.end:
            if last is not None:
                yield last
            last = span
        elif span.end > last.end or RANK[span.kind] < RANK[last.kind]:
            last = _union(last, span)
    if last is not None:
        yield last


def _union(one: Span, other: Span) -> Span:
    first = min(one, other, key=lambda span: RANK[span.kind])
    end = max(one.end, other.end)
    whole = first.start == one.start and first.end == end
    return Span(first.kind, one.start, end, first.last4 if whole else "", first.reason)

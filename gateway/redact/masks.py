"""Masks: what stands in a text where something was hidden.

    [card ···· 1111]   [IBAN ···· 1332]   [ID number]   [code hidden]

Rules:
1. A mask shows the kind and at most the last four characters (PCI DSS 4.0.1, 3.4.1; FAQ 1091: one format, the
   shortest). A security code shows nothing and can't be had back (PCI DSS 3.3.1).
2. No recognizer fires on a mask, and no mask reads as a label that makes a number beside it look sensitive.
3. Whoever shows masks finds them with `MASK`; they are plain text, so that they survive being copied.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.redact.spans import Kind, Span

_WORDS: Final = {
    Kind.CARD: "card",
    Kind.SECURITY_CODE: "code hidden",
    Kind.IBAN: "IBAN",
    Kind.ES_DNI: "ID number",
    Kind.ES_NIE: "ID number",
    Kind.US_SSN: "ID number",
}
_SHOWS_LAST: Final = frozenset({Kind.CARD, Kind.IBAN})

WITHHELD: Final = "[text withheld]"
"""Stands for a whole text that could not be made clean."""

MASK: Final = re.compile(r"\[(card|IBAN|ID number|code hidden|text withheld)(?: ···· ([0-9A-Z]{4}))?\]")
"""Group 1: the kind in words. Group 2: the last four, if shown."""


def mask(span: Span) -> str:
    """
    >>> mask(Span(Kind.CARD, 0, 19, "1111"))
    '[card ···· 1111]'
    >>> mask(Span(Kind.SECURITY_CODE, 0, 3))
    '[code hidden]'
    """
    words = _WORDS[span.kind]
    return f"[{words} ···· {span.last4}]" if span.last4 and span.kind in _SHOWS_LAST else f"[{words}]"

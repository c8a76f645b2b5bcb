"""Redaction: what must not be read is found on folded views and masked on the original.

    find(text)    → spans, in order, in the original's offsets
    redact(text)  → the text with each span masked; no recognizer fires on it
    fires(text)   → how many spans of each kind one plain pass finds: what tripwires ask

Rules:
1. A recognizer is a pure function `find(text) -> Iterable[Span]` of linear time; it stands in `RECOGNIZERS`, which
   guards sanitizing, release and outbound alike. Adding one takes one file and that line.
2. `redact` goes on until nothing fires; a text that doesn't become clean in `ROUNDS` is withheld whole.
3. Nothing here logs, caches or keeps a text.
"""

from __future__ import annotations

from gateway.redact.engine import RECOGNIZERS, Recognizer, Redacted, find, fires, redact
from gateway.redact.masks import MASK, WITHHELD, mask
from gateway.redact.spans import Kind, Reason, Span
from gateway.redact.view import Text, View, view_of

__all__ = [
    "MASK",
    "RECOGNIZERS",
    "WITHHELD",
    "Kind",
    "Reason",
    "Recognizer",
    "Redacted",
    "Span",
    "Text",
    "View",
    "find",
    "fires",
    "mask",
    "redact",
    "view_of",
]

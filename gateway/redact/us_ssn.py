"""US social security numbers: area, group, serial; no check digit.

Source: Social Security Administration, "Social Security Number Randomization" (2011): never area 000, 666 or 900–999,
never group 00, never serial 0000.

Rules:
1. Written 3-2-4 with one and the same separator, it needs no label. With another separator than a dash, a telephone's
   or an order's label nearer than its own speaks against it.
2. Nine digits in a row, or grouped otherwise, need a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.redact.labels import Label, nearer
from gateway.redact.spans import Kind, Reason, Span
from gateway.redact.view import Text, view_of

_GAP: Final = r"[ \t\r\n.\-/_]{0,3}+"
_NINE: Final = re.compile(rf"(?=([0-9](?<![0-9][0-9])(?:{_GAP}[0-9]){{8}}(?![0-9])))[0-9]")
"""In a look-ahead: "12 219-09-9999" begins with two digits that aren't its own."""

_FORMATTED: Final = re.compile(r"[0-9]{3}(\s?[\-./_]\s?| )[0-9]{2}\1[0-9]{4}")
_ISBN: Final = re.compile(r"97[89][ -]?$")
_NOISE: Final = re.compile(r"[^0-9]+")


def find(text: Text) -> Iterator[Span]:
    """
    >>> [(span.start, span.end) for span in find("078-05-1120, SSN 219099999, 219 09 9999")]
    [(0, 11), (17, 26), (28, 39)]
    >>> list(find("666-12-1234 900-12-1234 123-00-4567 123-45-0000 219099999 ISBN 978-600-12-1234-1"))
    []
    """
    view = view_of(text)
    folded = view.folded
    labels = view.labels
    end = 0
    for match in _NINE.finditer(folded):
        start = match.start()
        formatted = _FORMATTED.fullmatch(match[1]) is not None
        if start < end or not (formatted or labels.of(Label.SSN).spans):
            continue
        digits = _NOISE.sub("", match[1])
        if digits[:3] in ("000", "666") or digits[0] == "9" or digits[3:5] == "00" or digits[5:] == "0000":
            continue
        after = match.end(1)
        own = labels.of(Label.SSN).near(start, after)
        if not formatted and own is None:
            continue
        if _ISBN.search(folded, max(0, start - 4), start):
            continue
        others = (labels.of(label).near(start, after, before=30, after=10) for label in (Label.PHONE, Label.ORDER))
        claimed = any(other is not None and not nearer(own, other) for other in others)
        if claimed and folded.count("-", start, after) != 2:
            continue
        yield Span(Kind.US_SSN, *view.origin(start, after), reason=Reason.PATTERN if formatted else Reason.CONTEXT)
        end = after

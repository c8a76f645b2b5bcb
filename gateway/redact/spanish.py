"""Spanish identity numbers: DNI (NIF of citizens) and NIE (of foreigners), with their check letter.

Source: Orden INT/2058/2008 and Real Decreto 1553/2005: the letter is the number modulo 23 in TRWAGMYFPDXBNJZSQVHLCKE;
an NIE's X, Y or Z counts as 0, 1 or 2 before its seven digits.

Rules:
1. Written whole, dotted, dashed or spaced: 12345678Z, 12.345.678-Z, X-1234567-L. These need no label.
2. A letter that stands apart must be a capital, or a label must stand near ("12345678 y el …" is a sentence).
3. Digits grouped in another way, or seven of them (a leading nought left out), need a label.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.redact.labels import Label
from gateway.redact.spans import Kind, Span
from gateway.redact.view import Text, view_of

_LETTERS: Final = "TRWAGMYFPDXBNJZSQVHLCKE"
_GAP: Final = r"[ \t\r\n.\-/_]{0,3}+"
_LETTER: Final = f"[{_LETTERS}{_LETTERS.lower()}](?![0-9A-Za-z])"
_DNI: Final = re.compile(rf"[0-9](?<![0-9][0-9])(?:{_GAP}[0-9]){{6,7}}{_GAP}{_LETTER}")
_NIE: Final = re.compile(rf"[XYZxyz](?<![0-9A-Za-z].)(?:{_GAP}[0-9]){{7,8}}{_GAP}{_LETTER}")
_PLAIN: Final = re.compile(
    r"(?:[0-9]{8}|[0-9]{1,2}[. ][0-9]{3}[. ][0-9]{3}|[0-9]{2}-[0-9]{3}-[0-9]{3})[ .\-]{0,3}[A-Za-z]"
)
_APART: Final = re.compile(r"[0-9]\s+[.\-]?\s*[a-z]$")
_GLUED: Final = re.compile(r"(?:^|[^A-Za-z])(?:dni|nif|nie|es|id|num|no)$", re.IGNORECASE)
_NOISE: Final = re.compile(r"[^0-9A-Za-z]+")


def letter(number: int) -> str:
    """
    >>> letter(12345678)
    'Z'
    """
    return _LETTERS[number % 23]


def find(text: Text) -> Iterator[Span]:
    """
    >>> [(span.kind.value, span.start) for span in find("DNI 12.345.678-Z, NIE X-1234567-L, nif:87654321x")]
    [('es-nie', 22), ('es-dni', 4), ('es-dni', 39)]
    >>> list(find("12345678A, pedido 12345678 y el 12345679, AB12345678Z, 2024-05-12 Z"))
    []
    """
    view = view_of(text)
    folded = view.folded
    taken = 0
    foreigners: list[tuple[int, int]] = []
    for match in _NIE.finditer(folded):
        plain = _NOISE.sub("", match[0]).upper()
        if letter(int(str("XYZ".index(plain[0])) + plain[1:-1])) == plain[-1]:
            foreigners.append(match.span())
            yield Span(Kind.ES_NIE, *view.origin(*match.span()))
    for match in _DNI.finditer(folded):
        while taken < len(foreigners) and foreigners[taken][1] <= match.start():
            taken += 1
        if taken < len(foreigners) and foreigners[taken][0] < match.end():
            continue
        plain = _NOISE.sub("", match[0]).upper()
        if letter(int(plain[:-1])) != plain[-1]:
            continue
        start, end = match.span()
        before = folded[max(0, start - 4) : start]
        if before[-1:].isalpha() and not _GLUED.search(before):
            continue
        usual = len(plain) == 9 and _PLAIN.fullmatch(match[0]) and not _APART.search(match[0])
        if usual or view.labels.of(Label.SPANISH_ID).near(start, end, before=40, after=20) is not None:
            yield Span(Kind.ES_DNI, *view.origin(start, end))

"""Payment cards: runs of digits, windows aligned to their groups, network table and Luhn.

Rules:
1. A run is 12 or more digits with at most four separating characters between them. Every window of whole groups is
   tried, so that a failed one never swallows its neighbour's digits ("order 663592 4111 1111 1111 1111").
2. How the digits are grouped says how much must hold besides: a network's own grouping or one solid block needs the
   table and Luhn; an odd grouping needs a firm length and a card label, or one and the same dash, dot or slash.
3. What is known to be something else (IMEI, EAN-13, UUID, decimal fraction, telephone number, an order's number with
   a loose length) is left, unless a card label stands nearer.
4. Of overlapping windows the better shaped wins; equals become one span.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from gateway.redact import iin
from gateway.redact.iin import Trust
from gateway.redact.labels import Label, nearer
from gateway.redact.spans import Kind, Reason, Span
from gateway.redact.view import Text, View, view_of

SHORTEST: Final = 12
LONGEST: Final = 19
CROWD: Final = 24
"""Digits one by one or in pairs: in a longer run they are a list of numbers, unless a label says otherwise."""

_BETWEEN: Final = r"[ \t\r\n\-./_>,:;*+~|'\"()\\]"
_RUN: Final = re.compile(rf"[0-9](?:{_BETWEEN}{{0,4}}+[0-9]){{{SHORTEST - 1},}}+")
_NUMBER: Final = re.compile(r"[0-9]{3}")
_GROUP: Final = re.compile(r"[0-9]+")
_UUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)
_HEX: Final = re.compile(r"[0-9a-f]+", re.IGNORECASE)
_HEXADECIMAL: Final = "0123456789abcdefABCDEF"
_HASH_SIZES: Final = frozenset({24, 32, 40, 56, 64, 96, 128})
_OWN_SHAPES: Final = frozenset({
    (4, 4, 4, 4), (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4), (4, 4, 5), (4, 4, 4),
    (4, 4, 4, 1), (4, 4, 4, 2), (4, 4, 4, 3), (8, 8), (6, 10), (6, 13), (4, 5, 6), (4, 12), (6, 6, 4), (4, 8, 4),
})  # fmt: skip


class Shape(IntEnum):
    """How a window's digits are grouped."""

    ODD = 0
    EVEN = 1
    """Groups of one size."""
    OWN = 2
    """A network's grouping, or one block."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A card in the folded text. `size` counts its digits."""

    start: int
    end: int
    last4: str
    size: int
    shape: Shape
    trust: Trust
    reason: Reason


def find(text: Text) -> Iterator[Span]:
    """
    >>> list(find("order 663592 4111 1111 1111 1111"))
    [Span(kind=<Kind.CARD: 'card'>, start=13, end=32, last4='1111', reason=<Reason.CHECKSUM: 'checksum'>)]
    >>> [span.last4 for span in find("3782-822463-10005, 2223003122003222 and 6304.0000.0000.0000.00")]
    ['0005', '3222', '0000']
    >>> list(find("IMEI 490154203237518, tracking 9400111899223197428490, EAN 4006381333931, 4111 1111 1111 1112"))
    []
    """
    view = view_of(text)
    for hit in view.once(hits):
        yield Span(Kind.CARD, *view.origin(hit.start, hit.end), hit.last4, hit.reason)


def hits(view: View) -> tuple[Hit, ...]:
    """All cards in a view, in its folded offsets."""
    return tuple(hit for match in _RUN.finditer(view.folded) for hit in _best(_Run(view, match).hits()))


def _best(found: Iterator[Hit]) -> Iterator[Hit]:
    """Without those that a better one overlaps. Of two well-grouped ones, one within the other, the longer is better:
    what it hides too much is safe."""
    kept: list[Hit] = []
    for hit in sorted(found, key=lambda hit: (hit.start, -hit.end)):
        while kept and kept[-1].end > hit.start and _beats(hit, kept[-1]):
            kept.pop()
        if not (kept and kept[-1].end > hit.start and _beats(kept[-1], hit)):
            kept.append(hit)
    yield from kept


def _beats(one: Hit, other: Hit) -> bool:
    if one.shape is Shape.OWN and other.shape is Shape.OWN:
        if one.start <= other.start and other.end <= one.end:
            return True
        if other.start <= one.start and one.end <= other.end:
            return False
    return (one.shape, one.trust, one.reason is Reason.CHECKSUM) > (
        other.shape, other.trust, other.reason is Reason.CHECKSUM,
    )  # fmt: skip


class _Run:
    """One run of digits: its groups, and what lies between them."""

    def __init__(self, view: View, match: re.Match[str]) -> None:
        self.view = view
        self.text = view.folded
        self.groups = [group.span() for group in _GROUP.finditer(self.text, *match.span())]
        self.digits = "".join(self.text[start:end] for start, end in self.groups)
        self.offsets = [0]
        for start, end in self.groups:
            self.offsets.append(self.offsets[-1] + end - start)

        self.crowded = len(self.digits) > CROWD

    def hits(self) -> Iterator[Hit]:
        for first in range(len(self.groups)):
            at = self.offsets[first]
            if len(self.digits) - at < SHORTEST:
                return
            if self.groups[first][1] - self.groups[first][0] > LONGEST:
                yield from self._inside(first)
                continue
            lengths = iin.lengths(self.digits[at : at + 6])
            if not lengths or (self.crowded and self._listed(first)):
                continue
            for last in range(first, len(self.groups)):
                size = self.offsets[last + 1] - at
                if size > LONGEST:
                    break
                if size in lengths:
                    hit = self._judge(first, last, self.digits[at : at + size], lengths[size])
                    if hit:
                        yield hit

    def _listed(self, first: int) -> bool:
        """One of many numbers of one or two digits, and no card label near."""
        start, end = self.groups[first]
        return end - start <= 2 and not self._near(Label.CARD, start, start + LONGEST)

    def _judge(self, first: int, last: int, digits: str, trust: Trust) -> Hit | None:
        start, end = self.groups[first][0], self.groups[last][1]
        checked = iin.luhn(digits)
        if not checked and not self._unchecked(digits, start, end):
            return None
        card = self.view.labels.of(Label.CARD).near(start, end)
        shape = self._shape(first, last, card is not None)
        if shape is None:
            return None
        if shape is Shape.ODD and (trust < Trust.FIRM or (card is None and not self._one_sign(first, last))):
            return None
        if shape is Shape.EVEN and trust < Trust.FIRM and card is None:
            return None
        if self._something_else(first, last, digits, trust, card):
            return None
        reason = Reason.CHECKSUM if checked else Reason.CONTEXT
        return Hit(start, end, digits[-4:], len(digits), shape, trust, reason)

    def _shape(self, first: int, last: int, labelled: bool) -> Shape | None:
        """None: the grouping speaks against a card."""
        sizes = tuple(end - start for start, end in self.groups[first : last + 1])
        if len(sizes) == 1:
            return Shape.OWN
        breaks = ["\n" in self._gap(index) for index in range(first, last)]
        if all(breaks) and not labelled:
            whole = first == 0 and last == len(self.groups) - 1
            return Shape.OWN if whole and sizes in _OWN_SHAPES and len(sizes) > 2 else None
        if sizes in _OWN_SHAPES:
            return Shape.OWN
        if any(breaks):
            joined = [sizes[0]]
            for size, broken in zip(sizes[1:], breaks, strict=True):
                if broken:
                    joined[-1] += size
                else:
                    joined.append(size)
            if len(joined) == 1 or tuple(joined) in _OWN_SHAPES:
                return Shape.OWN
        size = sizes[0]
        alike = all(other == size for other in sizes[:-1]) and sizes[-1] <= size
        if alike and (size > 2 or len({self._gap(index).strip() for index in range(first, last)}) == 1):
            return Shape.EVEN
        return Shape.ODD

    def _gap(self, index: int) -> str:
        """What stands between this group and the next."""
        return self.text[self.groups[index][1] : self.groups[index + 1][0]]

    def _one_sign(self, first: int, last: int) -> bool:
        """Whether one and the same sign joins three groups or more, none of them a single digit."""
        if last - first < 2 or any(end - start < 2 for start, end in self.groups[first : last + 1]):
            return False
        return {self._gap(index) for index in range(first, last)} in ({"-"}, {"."}, {"/"}, {"_"})

    def _unchecked(self, digits: str, start: int, end: int) -> bool:
        """UnionPay issues numbers that fail Luhn: its own name must stand near."""
        return digits.startswith("62") and len(digits) >= 16 and self._near(Label.UNIONPAY, start, end)

    def _near(self, label: Label, start: int, end: int) -> bool:
        return self.view.labels.of(label).near(start, end) is not None

    def _something_else(self, first: int, last: int, digits: str, trust: Trust, card: int | None) -> bool:
        start, end = self.groups[first][0], self.groups[last][1]
        labels = self.view.labels
        if trust is Trust.ASKED:
            return not self._near(Label.UATP, start, end) and not (first == last and card is not None and card <= 20)
        imei = labels.of(Label.IMEI).before(start, 30)
        if imei is not None and not nearer(card, imei):
            return len(digits) == 15 or digits[:2] in ("01", "35", "86", "99")
        if trust is Trust.LOOSE:
            if any(self._named(label, start, card) for label in (Label.ORDER, Label.PHONE)):
                return True
            if last > first and card is None and self._torn(first, last):
                return True
        if card is not None:
            return False
        if len(digits) <= 14 and self._dialled(start):
            return True
        if first == last and (self._fraction(first) or self._in_hash(start, end)):
            return True
        if trust is Trust.LOOSE and self._in_url(start):
            return True
        if first == last and len(digits) == 13 and _ean13(digits):
            return True
        return any(match.start() < end and start < match.end()
                   for match in _UUID.finditer(self.text, max(0, start - 36), end + 36))  # fmt: skip

    def _named(self, label: Label, start: int, card: int | None) -> bool:
        """Whether this label stands before the number and no other number between, and no card label nearer."""
        distance = self.view.labels.of(label).before(start, 30)
        if distance is None or nearer(card, distance):
            return False
        return _NUMBER.search(self.text, start - distance, start) is None

    def _torn(self, first: int, last: int) -> bool:
        """Whether the window cuts through something: a date or an amount ("… 1111 12/27", "… 1111 250.00"), or a longer
        row of groups of the same size."""
        inside = self._gap(first)
        size = self._size(first)
        if last + 1 < len(self.groups):
            after = self._gap(last)
            if self._size(last) <= 3 and after != inside and after in ("/", "-", ".", ",", ":"):
                return True
            if after == inside and self._size(last) == size == self._size(last + 1):
                return True
        return first > 0 and self._gap(first - 1) == inside and self._size(first - 1) == size

    def _size(self, group: int) -> int:
        start, end = self.groups[group]
        return end - start

    def _dialled(self, start: int) -> bool:
        """E.164: a plus, or two noughts, before the country's code."""
        return self.text[max(0, start - 1) : start] == "+" or self.text[max(0, start - 2) : start] == "+("

    def _fraction(self, group: int) -> bool:
        """0.4111111111111111: all of it after a point, with a short whole part before."""
        if not group or self._gap(group - 1) not in (".", ","):
            return False
        start, end = self.groups[group - 1]
        return end - start <= 3

    def _in_hash(self, start: int, end: int) -> bool:
        before = self.text[max(0, start - max(_HASH_SIZES)) : start]
        low = start - (len(before) - len(before.rstrip(_HEXADECIMAL)))
        match = _HEX.match(self.text, low, end + max(_HASH_SIZES))
        return match is not None and match.end() - low in _HASH_SIZES and not match[0].isdigit()

    def _in_url(self, start: int) -> bool:
        before = self.text[max(0, start - 200) : start]
        word = before[max(before.rfind(" "), before.rfind("\n"), before.rfind("<"), before.rfind('"')) + 1 :]
        return "://" in word or word.startswith("www.")

    def _inside(self, group: int) -> Iterator[Hit]:
        """A card glued to other digits, in a block too long for one: only where a card label stands before it."""
        start, end = self.groups[group]
        labels = self.view.labels
        card = labels.of(Label.CARD).before(start, 30)
        if end - start > 2 * CROWD or card is None or not nearer(card, labels.of(Label.ORDER).before(start, 30)):
            return
        block = self.text[start:end]
        for at in range(len(block) - SHORTEST + 1):
            for size, trust in iin.lengths(block[at : at + 6]).items():
                window = block[at : at + size]
                if trust is Trust.FIRM and len(window) == size and iin.luhn(window):
                    yield Hit(start, end, "", end - start, Shape.ODD, trust, Reason.CONTEXT)
                    return


def _ean13(digits: str) -> bool:
    """GS1 General Specifications, 7.9: weights 1 and 3 from the left.

    >>> _ean13("4006381333931"), _ean13("4222222222222")
    (True, False)
    """
    values = [int(digit) for digit in digits]
    return (sum(values[::2]) + 3 * sum(values[1::2])) % 10 == 0

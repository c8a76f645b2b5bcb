"""IIN: which card networks issue numbers that begin so, and how long they are (ISO/IEC 7812-1).

Sources: the networks' published ranges as collected in "Payment card number" (Wikipedia) and in
braintree/credit-card-type; national schemes (Mir, Troy, RuPay, Elo, Hipercard, Verve, Carnet, Uzcard, Humo, …) from
their operators' pages. Ranges of networks overlap on purpose: cards are co-badged.

A length is *firm* where the network issues it today in numbers; the others (old Visa of 13 digits, Maestro's 12 to 15)
are *loose*: real, but so short of redundancy that numbers of other kinds pass too, so that a label may speak against
them. UATP is *asked for*: only beside its own name or a card's.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import IntEnum
from typing import Final


class Trust(IntEnum):
    """How much a beginning and a length say by themselves."""

    ASKED = 0
    LOOSE = 1
    FIRM = 2


_Range = tuple[int, int]
_Lengths = tuple[int, ...]

# (ranges of leading digits, firm lengths, loose lengths)
_NETWORKS: Final[tuple[tuple[str, tuple[_Range, ...], _Lengths, _Lengths], ...]] = (
    ("visa", ((4, 4),), (16,), (13, 18, 19)),
    ("mastercard", ((51, 55), (2221, 2720)), (16,), ()),
    ("amex", ((34, 34), (37, 37)), (15,), ()),
    ("diners", ((300, 305), (3095, 3095), (36, 36), (38, 39)), (14, 16), (15, 17, 18, 19)),
    ("discover", ((6011, 6011), (644, 649), (65, 65), (622126, 622925)), (16,), (17, 18, 19)),
    ("jcb", ((3528, 3589),), (16,), (17, 18, 19)),
    ("jcb", ((2131, 2131), (1800, 1800)), (), (15,)),
    ("unionpay", ((62, 62), (810, 817)), (16, 19), (14, 15, 17, 18)),
    ("maestro", ((50, 50), (56, 59), (60, 61), (63, 64), (66, 69)), (16,), (12, 13, 14, 15, 17, 18, 19)),
    ("maestro", ((493698, 493698), (62, 62), (65, 65)), (), (12, 13)),
    ("mir", ((2200, 2204),), (16,), (17, 18, 19)),
    ("troy", ((9792, 9792),), (16,), ()),
    ("rupay", ((60, 60), (65, 65), (81, 82), (508, 508), (353, 353), (356, 356)), (16,), ()),
    ("elo", ((504175, 504175), (506699, 506778), (509000, 509999), (627780, 627780), (636297, 636297),
             (636368, 636368)), (16,), ()),
    ("hipercard", ((606282, 606282), (637095, 637095), (637568, 637568), (637599, 637599), (637609, 637612)),
     (16,), (13, 19)),
    ("hipercard", ((384100, 384100), (384140, 384140), (384160, 384160)), (16,), (13, 19)),
    ("verve", ((506099, 506198), (507865, 507964), (650002, 650027)), (16, 18, 19), ()),
    ("carnet", ((286900, 286999), (502275, 502275), (506199, 506499), (627535, 627535), (639484, 639484)), (16,), ()),
    ("uzcard", ((8600, 8600), (5614, 5614)), (16,), ()),
    ("humo", ((9860, 9860),), (16,), ()),
    ("belkart", ((9112, 9112),), (16,), ()),
    ("arca", ((9051, 9051),), (16,), ()),
    ("prostir", ((9804, 9804),), (16,), ()),
    ("elcart", ((9417, 9417),), (16,), ()),
    ("borica", ((2205, 2205),), (16,), ()),
    ("lankapay", ((357111, 357111),), (16,), ()),
    ("gpn", ((1946, 1946),), (16,), ()),
    ("instapayment", ((637, 639),), (16,), ()),
    ("interpayment", ((636, 636),), (16, 17, 18, 19), ()),
    ("dankort", ((5019, 5019), (4571, 4571)), (16,), ()),
    ("switch", ((4903, 4903), (4905, 4905), (4911, 4911), (4936, 4936), (564182, 564182), (633110, 633110)),
     (16,), (18, 19)),
    ("laser", ((6304, 6304), (6706, 6706), (6709, 6709), (6771, 6771)), (16,), (17, 18, 19)),
    ("naranja", ((589562, 589562),), (16,), ()),
    ("cabal", ((589657, 589657), (600691, 600691), (603522, 603522), (604201, 604219), (604300, 604400)), (16,), ()),
)  # fmt: skip
_ASKED: Final = (("uatp", ((1, 1),), (15,)),)

_DIGITS: Final = 6
Lengths = dict[int, Trust]


def _segments() -> tuple[list[int], list[Lengths]]:
    """All ranges cut into pieces that don't overlap: where each begins, and its lengths."""
    rules: list[tuple[int, int, Lengths]] = []
    for _, ranges, firm, loose in _NETWORKS:
        lengths = dict.fromkeys(loose, Trust.LOOSE) | dict.fromkeys(firm, Trust.FIRM)
        rules.extend((*_six(low, high), lengths) for low, high in ranges)
    for _, ranges, asked in _ASKED:
        rules.extend((*_six(low, high), dict.fromkeys(asked, Trust.ASKED)) for low, high in ranges)
    starts = sorted({0, *(low for low, _, _ in rules), *(high + 1 for _, high, _ in rules)})
    found: list[Lengths] = []
    for start in starts:
        here: Lengths = {}
        for low, high, lengths in rules:
            if low <= start <= high:
                for length, trust in lengths.items():
                    here[length] = max(trust, here.get(length, trust))
        found.append(here)
    return starts, found


def _six(low: int, high: int) -> _Range:
    """A range of leading digits as a range of six-digit beginnings."""
    scale = 10 ** (_DIGITS - len(str(low)))
    return low * scale, (high + 1) * scale - 1


_STARTS, _LENGTHS = _segments()


def lengths(beginning: str) -> Lengths:
    """The lengths that a number beginning with these digits may have. `beginning`: at least six ASCII digits.

    >>> lengths("411111"), lengths("222300"), lengths("378282"), lengths("202641")
    ({13: <Trust.LOOSE: 1>, 18: <Trust.LOOSE: 1>, 19: <Trust.LOOSE: 1>, 16: <Trust.FIRM: 2>}, \
{16: <Trust.FIRM: 2>}, {15: <Trust.FIRM: 2>}, {})
    """
    return _LENGTHS[bisect_right(_STARTS, int(beginning[:_DIGITS])) - 1]


_DOUBLED: Final = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9)) + bytes(246)
_VALUES: Final = bytes(48) + bytes(range(10)) + bytes(198)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B. `digits` are ASCII digits.

    >>> luhn("4111111111111111"), luhn("4111111111111112")
    (True, False)
    """
    values = digits.encode("ascii").translate(_VALUES)
    return (sum(values[::-2]) + sum(values[-2::-2].translate(_DOUBLED))) % 10 == 0

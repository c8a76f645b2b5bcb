"""Folding: which ASCII character each character of Unicode stands for when somebody hides a number in it.

    digits of every script, full-width, mathematical, circled, superscript, CJK  → 0–9 (a circled twelve → 12)
    letters of those styles                                                      → A–Z, a–z
    spaces, dashes, dots, slashes, line separators of any kind                   → space - . / line feed
    invisible characters, combining marks, controls                              → nothing

Source: the Unicode Character Database in Python's `unicodedata` (decimal, digit and numeric values; categories;
compatibility decompositions). Look-alikes (O for 0, Cyrillic A) are not folded here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_DOTS: Final = "\u00b7\u0387\u2022\u2024\u2027\u2219\u22c5\u25cf\u25aa\u3002\u30fb\ufe52\uff61\uff65"
_SLASHES: Final = "\u2044\u2215\u29f8\ufe68"
_DASHES: Final = "\u00af\u02d7\u2043\u2212\u2500\u2501\u30fc\uff70"
_UNDERLINES: Final = "\u203f\u2054\ufe4d\ufe4e\ufe4f"
_LINE_ENDS: Final = "\u000b\u000c\u0085\u2028\u2029"
_BLANK_LETTERS: Final = "\u115f\u1160\u3164\uffa0\u17b4\u17b5"  # Hangul and Khmer fillers: letters that show nothing
_BLANK_SYMBOLS: Final = "\u2800"  # an empty Braille cell
_CJK: Final = {
    **{char: str(value) for value, char in enumerate("〇一二三四五六七八九")},
    **{char: str(value) for value, char in enumerate("零壹贰叁肆伍陆柒捌玖")},
    "貳": "2",
    "參": "3",
    "陸": "6",
    "两": "2",
}
_LAST_DIGIT: Final = 0x1FBF9  # segmented digits; beyond it only ideographs, variation selectors and tags


def _fold(char: str) -> str | None:
    """What `char` is folded to, or None: it stays."""
    category = unicodedata.category(char)
    if char in "\t\n\r":
        return None
    if char in _LINE_ENDS:
        return "\n"
    if category in ("Cc", "Cf", "Mn", "Me", "Cs") or char in _BLANK_LETTERS:
        return ""
    if category == "Zs" or char in _BLANK_SYMBOLS:
        return None if char == " " else " "
    for kind, ascii_char in ((_DASHES, "-"), (_DOTS, "."), (_SLASHES, "/"), (_UNDERLINES, "_")):
        if char in kind:
            return ascii_char
    if category == "Pd":
        return None if char == "-" else "-"
    if char.isascii():
        return None
    if char in _CJK:
        return _CJK[char]
    value = unicodedata.digit(char, None)
    if value is not None:
        return str(value)
    if category == "No":
        number = unicodedata.numeric(char, -1.0)
        if number.is_integer() and 0 <= number <= 99:
            return str(int(number))
    if unicodedata.decomposition(char):
        plain = unicodedata.normalize("NFKC", char)
        if len(plain) == 1 and plain.isascii() and plain.isprintable():
            return plain
    return None


def _table() -> dict[int, str]:
    table = {}
    for code in (*range(_LAST_DIGIT + 1), *range(0xE0000, 0xE0200)):
        folded = _fold(chr(code))
        if folded is not None:
            table[code] = folded
    return table


def _characters(codes: list[int]) -> str:
    """A regular expression's character class of these code points."""
    ranges: list[list[int]] = []
    for code in sorted(codes):
        if ranges and ranges[-1][1] == code - 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in ranges) + "]"


TABLE: Final = _table()
"""For `str.translate`."""

_ASTRAL: Final = 0x10000
_IN_ASCII: Final = re.compile(_characters([code for code in TABLE if code < 0x80]))
_IN_PLANE: Final = re.compile(_characters([code for code in TABLE if code < _ASTRAL]))
_BEYOND: Final = re.compile(_characters([code for code in TABLE if code >= _ASTRAL]))
_ANY_BEYOND: Final = re.compile("[\U00010000-\U0010ffff]")
_UNEVEN: Final = re.compile(_characters([code for code, folded in TABLE.items() if len(folded) != 1]))

_RUNS_IN_PLANE: Final = re.compile(f"{_IN_PLANE.pattern}+")
_RUNS: Final = re.compile(f"{_IN_PLANE.pattern}+|{_BEYOND.pattern}+")


def runs(text: str) -> Iterator[re.Match[str]]:
    """Characters that are to be folded, as many as stand together."""
    return (_RUNS if _beyond(text) else _RUNS_IN_PLANE).finditer(text)


def needed(text: str) -> bool:
    """Whether anything in a text is to be folded."""
    if text.isascii():
        return _IN_ASCII.search(text) is not None
    return _IN_PLANE.search(text) is not None or _beyond(text)


def _beyond(text: str) -> bool:
    """The same, of the planes beyond the first alone: a class over several is scanned a hundred times slower."""
    return not text.isascii() and any(ord(char) in TABLE for char in _ANY_BEYOND.findall(text))


def even(run: str) -> bool:
    """Whether each character of a run becomes exactly one."""
    return _UNEVEN.search(run) is None

"""IBAN: country, check digits and the country's account number, with ISO 7064 MOD 97-10 (ISO 13616-1).

Rules:
1. Every country of SWIFT's registry, each with its own structure; a letter where a digit belongs is no IBAN.
2. In groups, dashed, dotted, over a line break, in small letters; the length is the country's, so that what follows is
   never swallowed.
3. It may be glued to what stands before it only where that is no letter or digit, or the word IBAN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.redact.spans import Kind, Span
from gateway.redact.view import Text, view_of

# SWIFT, "IBAN Registry" (ISO 13616), structures of the BBAN: n digits, a letters, c either.
REGISTRY: Final = {
    "AD": "8n12c", "AE": "19n", "AL": "8n16c", "AT": "16n", "AZ": "4a20c", "BA": "16n", "BE": "12n", "BG": "4a6n8c",
    "BH": "4a14c", "BI": "23n", "BR": "23n1a1c", "BY": "4c4n16c", "CH": "5n12c", "CR": "18n", "CY": "8n16c",
    "CZ": "20n", "DE": "18n", "DJ": "23n", "DK": "14n", "DO": "4c20n", "EE": "16n", "EG": "25n", "ES": "20n",
    "FI": "14n", "FK": "2a12n", "FO": "14n", "FR": "10n11c2n", "GB": "4a14n", "GE": "2a16n", "GI": "4a15c",
    "GL": "14n", "GR": "7n16c", "GT": "24c", "HN": "4a20n", "HR": "17n", "HU": "24n", "IE": "4a14n", "IL": "19n",
    "IQ": "4a15n", "IS": "22n", "IT": "1a10n12c", "JO": "4a4n18c", "KW": "4a22c", "KZ": "3n13c", "LB": "4n20c",
    "LC": "4a24c", "LI": "5n12c", "LT": "16n", "LU": "3n13c", "LV": "4a13c", "LY": "21n", "MC": "10n11c2n",
    "MD": "20c", "ME": "18n", "MK": "3n10c2n", "MN": "16n", "MR": "23n", "MT": "4a5n18c", "MU": "4a19n3a",
    "NI": "4a20n", "NL": "4a10n", "NO": "11n", "OM": "3n16c", "PK": "4a16c", "PL": "24n", "PS": "4a21c", "PT": "21n",
    "QA": "4a21c", "RO": "4a16c", "RS": "18n", "RU": "14n15c", "SA": "2n18c", "SC": "4a20n3a", "SD": "14n",
    "SE": "20n", "SI": "15n", "SK": "20n", "SM": "1a10n12c", "SO": "19n", "ST": "21n", "SV": "4a20n", "TL": "19n",
    "TN": "20n", "TR": "6n16c", "UA": "6n19c", "VA": "18n", "VG": "4a16n", "XK": "16n", "YE": "4a4n18c",
    # not in the registry, but issued so by their banks
    "AO": "21n", "BF": "2c22n", "BJ": "2c22n", "CF": "23n", "CG": "23n", "CI": "2c22n", "CM": "23n", "CV": "21n",
    "DZ": "22n", "GA": "23n", "GQ": "23n", "GW": "2c19n", "IR": "22n", "KM": "23n", "MA": "24n", "MG": "23n",
    "ML": "2c22n", "MZ": "21n", "NE": "2c22n", "SN": "2c22n", "TD": "23n", "TG": "2c22n",
}  # fmt: skip

_GAP: Final = r"[ \t\r\n\-./_>,:]{0,4}+"
_CLASS: Final = {"n": "[0-9]", "a": "[A-Za-z]", "c": "[0-9A-Za-z]"}
_DIGITS: Final = re.compile(r"[0-9]+")
_BLANKS: Final = " \t\r\n-./_>,:"
_NOT_ALNUM: Final = re.compile(r"[^0-9A-Za-z]+")


def _pattern(structure: str) -> re.Pattern[str]:
    parts = "".join(f"(?:{_GAP}{_CLASS[kind]}){{{count}}}" for count, kind in re.findall(r"([0-9]+)([nac])", structure))
    return re.compile(rf"[A-Za-z]{{2}}{_GAP}[0-9]{_GAP}[0-9]{parts}", re.ASCII)


_PATTERNS: Final = {country: _pattern(structure) for country, structure in REGISTRY.items()}


def find(text: Text) -> Iterator[Span]:
    """
    >>> [span.last4 for span in find("ES91 2100 0418 4502 0005 1332 gb29nwbk60161331926819, NL91-ABNA-0417-1643-00")]
    ['1332', '6819', '4300']
    >>> list(find("ES91 2100 0418 4502 0005 1333; BE12 parts; IS 14 0159 2600 7654 5510 7303 38"))
    []
    """
    view = view_of(text)
    folded = view.folded
    for digits in _DIGITS.finditer(folded):
        at = _country(folded, digits.start())
        pattern = _PATTERNS.get(folded[at : at + 2].upper()) if at >= 0 else None
        if pattern is None or (at and folded[at - 1].isalnum() and folded[max(0, at - 4) : at].upper() != "IBAN"):
            continue
        match = pattern.match(folded, at)
        if match is None or folded[match.end() : match.end() + 1].isdigit():
            continue
        plain = _NOT_ALNUM.sub("", match[0]).upper()
        if valid(plain):
            yield Span(Kind.IBAN, *view.origin(at, match.end()), plain[-4:])


def _country(folded: str, digits: int) -> int:
    """Where the two letters before these digits begin, -1 where something else stands there."""
    at = digits - 1
    if at > 0 and folded[at] in _BLANKS:
        at = digits - 4 + len(folded[max(0, digits - 4) : digits].rstrip(_BLANKS)) - 1 if digits >= 4 else at - 1
    return at - 1 if at > 0 and folded[at].isalpha() and folded[at - 1].isalpha() else -1


def valid(iban: str) -> bool:
    """MOD 97-10: the first four moved to the end, letters as 10 to 35, remainder 1.

    >>> valid("GB29NWBK60161331926819"), valid("GB29NWBK60161331926818")
    (True, False)
    """
    return int("".join(str(int(char, 36)) for char in iban[4:] + iban[:4])) % 97 == 1

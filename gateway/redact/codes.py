"""Card security codes (CVV, CVC, CID): three or four digits that only their surroundings make one.

    CVV: 123      el código de seguridad es 123      737 (cvc)      4111 1111 1111 1111, 12/27, 123

Rules:
1. A label before it within forty characters, a label right behind it, or a card right before it, with or without an
   expiry date between.
2. Not an amount, a date, a telephone number, a room's, an error's or an order's number.
3. Nothing of it is ever shown (PCI DSS 3.3.1).
4. A label doesn't reach over a mask: what it named stands there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.redact.cards import hits
from gateway.redact.labels import Label
from gateway.redact.spans import Kind, Reason, Span
from gateway.redact.view import Text, View, view_of

_AMEX_DIGITS: Final = 15
_UNIT: Final = (
    r"(?!\s?(?:%|€|\$|£|¥|(?:eur|euros?|usd|dollars?|d[oó]lares|pesos|mxn|gbp|pounds?|libras|days?|d[ií]as|"
    r"hours?|horas?|min|minutos|minutes|am|pm|km|kg|mg|cm|mm|gb|mb|times|veces|people|personas)(?![a-z])))"
)
_NUMBER: Final = rf"(?P<code>[0-9](?:[ ._\-]{{0,2}}[0-9]){{2,3}})(?![0-9]|[.,:/\-][0-9]){_UNIT}"
_EXPIRY: Final = r"(?:0?[1-9]|1[0-2])\s?[/.\- ]\s?(?:20)?[0-9]{2}(?![0-9])|(?:0[1-9]|1[0-2])[2-4][0-9](?![0-9])"
_AFTER_LABEL: Final = re.compile(rf"[^0-9]{{0,40}}+(?:(?:{_EXPIRY})[^0-9]{{1,20}}+)?{_NUMBER}", re.IGNORECASE)
_BEFORE_LABEL: Final = re.compile(
    r"(?P<code>[0-9](?<![0-9].)(?<![0-9][.,:/\-].)(?<!\.\.\.\. .)[0-9]{2,3})[\s()\[\]=:,\-]{1,4}"
    r"(?:(?:is|was|es|era|as|como|the|my|our|el|la|mi|de|del|your|su|tu)\s{1,3}){0,4}[(\[]?$",
    re.IGNORECASE,
)  # fmt: skip
_AFTER_CARD: Final = re.compile(
    r"[\s,;:|/()\-]{1,6}(?:(?:exp\w*|valid\w*|good|vto|cad\w*|venc\w*|vence|until|thru|through|hasta|date|fecha|mm/yy)"
    rf"[^0-9]{{0,16}})?(?:(?:{_EXPIRY})[\s,;:|/()\-]{{1,6}})?(?P<code>[0-9]{{3,4}})(?![0-9]|[.,:/\-][0-9]){_UNIT}",
    re.IGNORECASE,
)  # fmt: skip
_OTHER: Final = re.compile(
    r"\b(?:error|errors|room|rooms|habitaci[oó]n|order|pedido|page|p[aá]gina|status|apartment|piso|floor|planta|street|"
    r"calle|http|line|l[ií]nea|year|a[nñ]o|since|desde|version|versi[oó]n|ticket|case|caso|invoice|factura|total|"
    r"amount|importe|paid|pagu[eé]|charged|cobr\w*|phone|tel[eé]fono|extension|ext|zip|postal|expir\w*|caduc\w*)\b",
    re.IGNORECASE,
)  # fmt: skip
_SENTENCE_ENDS: Final = re.compile(r"[.!?]\s+\S*[^\s\d]")
_MASKED: Final = re.compile(r"\[(?:card|IBAN|ID number|code hidden|text withheld)\b")
_SHORT: Final = re.compile(r"[0-9](?:[ ._\-]{0,2}[0-9]){2}")
_CID: Final = re.compile(r"(?<![A-Za-z])CID(?![A-Za-z])")


def find(text: Text) -> Iterator[Span]:
    """
    >>> sample = "CVV: 123, 4111 1111 1111 1111 12/27 456. Error 402 in room 312; CVV fails with error 500"
    >>> sorted(sample[span.start : span.end] for span in find(sample))
    ['123', '456']
    """
    view = view_of(text)
    seen: set[tuple[int, int]] = set()
    for start, end in _places(view):
        if (start, end) not in seen:
            seen.add((start, end))
            yield Span(Kind.SECURITY_CODE, *view.origin(start, end), reason=Reason.CONTEXT)


def _places(view: View) -> Iterator[tuple[int, int]]:
    folded = view.folded
    if _SHORT.search(folded) is None:
        return
    found = view.once(hits)
    for card in found:
        match = _AFTER_CARD.match(folded, card.end)
        if match and (len(match["code"]) == 3 or card.size == _AMEX_DIGITS):
            yield match.span("code")
    labels = list(view.labels.of(Label.SECURITY_CODE).spans)
    if found:
        labels.extend(match.span() for match in _CID.finditer(folded))
    taken = [(card.start, card.end) for card in found]
    for start, end in labels:
        after = _AFTER_LABEL.match(folded, end, end + 100)
        if after and _plausible(folded[end : after.start("code")], after["code"]) and _free(after.span("code"), taken):
            yield after.span("code")
        before = _BEFORE_LABEL.search(folded, max(0, start - 40), start)
        if before and _free(before.span("code"), taken):
            yield before.span("code")


def _plausible(gap: str, code: str) -> bool:
    """Whether what stands between label and digits leaves them the label's."""
    if code[:2] in ("19", "20") and len(code) == 4 and len(gap) > 12:
        return False
    return not _OTHER.search(gap) and not _MASKED.search(gap) and not (len(gap) > 3 and _SENTENCE_ENDS.search(gap))


def _free(place: tuple[int, int], taken: list[tuple[int, int]]) -> bool:
    return not any(start < place[1] and place[0] < end for start, end in taken)

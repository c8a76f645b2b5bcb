"""Labels: the words beside a number that say what it is, in the languages customers write.

Rules:
1. Every label counts in every text, whatever its language is believed to be.
2. A label is looked for literally (`str.find`), so that the cost grows with the text alone; it is a word of its own,
   but a digit or a sign may touch it ("cvv123", "cc_number").
3. The words of a mask are no labels.
4. A label never makes a number sensitive by itself: recognizers say how near it must stand and what else must hold.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from enum import Enum
from typing import Final


class Label(Enum):
    """What a word beside a number claims of it."""

    CARD = (
        "card", "cards", "card no", "cardnumber", "card_number", "ccnumber", "cc", "pan", "credit", "debit",
        "tarjeta", "tarjetas", "tarj", "crédito", "credito", "débito", "debito", "visa", "mastercard", "master card",
        "amex", "american express", "maestro", "discover", "diners", "diners club", "jcb", "unionpay", "union pay",
        "rupay", "hipercard", "verve", "troy", "uatp", "karte", "kreditkarte", "karta", "kart", "kartı", "carte",
        "carte bancaire", "cartão", "cartao", "carta di credito", "kort", "kaart", "kortti", "карта", "карты",
        "карту", "карте", "мир", "银联", "卡号", "信用卡", "カード", "카드", "بطاقة", "कार्ड",
    )  # fmt: skip
    UNIONPAY = ("unionpay", "union pay", "china unionpay", "upi card", "银联", "银联卡")
    UATP = ("uatp", "air travel card", "airplus")
    ORDER = (
        "order", "orders", "order no", "tracking", "track", "parcel", "shipment", "delivery", "invoice", "bill",
        "ref", "reference", "serial", "ticket", "case", "booking", "contract", "customer", "meter", "policy",
        "barcode", "ean", "gtin", "upc", "isbn", "sku", "transaction", "pedido", "pedidos", "seguimiento", "envío",
        "envio", "paquete", "factura", "recibo", "referencia", "serie", "caso", "reserva", "contrato", "cliente",
        "contador", "póliza", "poliza", "transacción", "transaccion", "expediente", "albarán", "albaran",
        "bestellung", "bestellnummer", "sendungsnummer", "rechnung", "rechnungsnummer", "kundennummer", "commande",
        "facture", "suivi", "encomenda", "fatura", "ordine", "fattura", "заказ", "заказа", "订单", "单号",
        "epoch", "timestamp", "uuid", "guid", "arn", "iccid", "sim",
    )  # fmt: skip
    IMEI = ("imei", "imeis", "imeisv", "imei1", "imei2", "meid")
    PHONE = (
        "phone", "tel", "telephone", "mobile", "cell", "fax", "whatsapp", "call", "teléfono", "telefono", "tfno",
        "tlf", "móvil", "movil", "fijo", "llamar", "telefon", "handy", "téléphone", "телефон", "电话", "手机",
    )  # fmt: skip
    SSN = (
        "ssn", "ssn#", "ss#", "ss no", "social", "social security", "soc sec", "social sec", "seguro social",
        "numero de seguro social", "número de seguro social", "itin",
    )  # fmt: skip
    SPANISH_ID = (
        "dni", "nif", "nie", "d.n.i", "n.i.f", "n.i.e", "cif", "documento", "identidad", "identificación",
        "identificacion", "tarjeta de residencia", "id card", "identity card", "national id", "tax id",
    )  # fmt: skip
    SECURITY_CODE = (
        "cvv", "cvv2", "cvc", "cvc2", "cvn", "cvn2", "csc", "cve", "cvp2", "cvd", "cav", "security code",
        "security number", "card verification", "verification value", "card code", "code on the back",
        "digits on the back", "digits at the back", "numbers on the back", "number on the back", "3-digit code",
        "three digit code", "three-digit code", "4-digit code", "código de seguridad", "codigo de seguridad",
        "cod. seguridad", "cód. seguridad", "cod de seguridad", "código seguridad", "codigo seguridad",
        "cód. de seguridad", "cod. de seguridad", "número de seguridad", "numero de seguridad", "clave de seguridad",
        "código de la tarjeta", "codigo de la tarjeta", "dígitos de atrás", "digitos de atras", "números de atrás",
        "numeros de atras", "dígitos del reverso", "digitos del reverso", "números del reverso",
        "numeros del reverso", "código de segurança", "codigo de segurança", "codice di sicurezza",
        "sicherheitscode", "kartenprüfnummer", "prüfnummer", "prüfziffer", "code de sécurité", "cryptogramme",
        "beveiligingscode", "säkerhetskod", "код безопасности", "安全码",
    )  # fmt: skip


class Places:
    """Where one label stands in a view, in order."""

    def __init__(self, spans: list[tuple[int, int]]) -> None:
        spans.sort()
        self.spans = spans
        self._starts = [start for start, _ in spans]
        self._ends = sorted(end for _, end in spans)

    def before(self, at: int, reach: int) -> int | None:
        """How far before `at` the nearest one ends, if within reach."""
        index = bisect_right(self._ends, at) - 1
        if index < 0 or at - self._ends[index] > reach:
            return None
        return at - self._ends[index]

    def after(self, at: int, reach: int) -> int | None:
        """How far after `at` the nearest one begins, if within reach."""
        index = bisect_left(self._starts, at)
        if index == len(self._starts) or self._starts[index] - at > reach:
            return None
        return self._starts[index] - at

    def near(self, start: int, end: int, before: int = 60, after: int = 30) -> int | None:
        """The smaller of both distances. What stands behind a number names it less often: it counts twice as far."""
        if not self.spans:
            return None
        back, ahead = self.before(start, before), self.after(end, after)
        if back is None or ahead is None:
            return back if ahead is None else 2 * ahead
        return min(back, 2 * ahead)


class Labels:
    """The labels of one view, looked for when asked."""

    def __init__(self, folded: str) -> None:
        lower = folded.lower()
        self._lower: Final = lower if len(lower) == len(folded) else folded.replace("İ", "I").lower()
        self._found: dict[Label, Places] = {}

    def of(self, label: Label) -> Places:
        found = self._found.get(label)
        if found is None:
            found = self._found[label] = Places(_places(self._lower, label.value))
        return found


def _places(lower: str, words: tuple[str, ...]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    size = len(lower)
    for word in words:
        at = lower.find(word)
        while at >= 0:
            end = at + len(word)
            alone = not (at and lower[at - 1].isalpha()) and not (end < size and lower[end].isalpha())
            if alone and not (at and lower[at - 1] == "[" and lower.startswith(("]", " ...."), end)):
                found.append((at, end))
            at = lower.find(word, end)
    return found


def nearer(wanted: int | None, other: int | None) -> bool:
    """Whether the wanted label is there and no farther than the other one."""
    return wanted is not None and (other is None or wanted <= other)

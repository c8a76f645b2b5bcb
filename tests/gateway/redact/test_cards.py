"""Cards in every spelling that people use, beside everything that only looks like one."""

from __future__ import annotations

import random

import pytest

from gateway.redact import fires, redact
from gateway.redact.iin import lengths, luhn

VISA, MASTERCARD, TWO_SERIES, AMEX = "4111111111111111", "5555555555554444", "2223003122003222", "378282246310005"
NETWORKS = {
    "visa": VISA,
    "visa-13": "4222222222222",
    "visa-19": "4000000000000000006",
    "mastercard": MASTERCARD,
    "mastercard-2": TWO_SERIES,
    "amex": AMEX,
    "diners": "30569309025904",
    "diners-16": "3056930009020004",
    "discover": "6011111111111117",
    "jcb": "3530111333300000",
    "unionpay": "6200000000000005",
    "unionpay-19": "6205500000000000004",
    "maestro": "6759649826438453",
    "maestro-12": "676770000003",
    "mir": "2200000000000004",
    "troy": "9792000000000001",
    "rupay": "6085000000000009",
    "elo": "5067000000000007",
    "hipercard": "6062820000000006",
    "verve": "5061000000000000003",
}


def completed(beginning: str, size: int) -> str:
    """A number of this size with a right check digit."""
    body = beginning + "0" * (size - len(beginning) - 1)
    return next(body + digit for digit in "0123456789" if luhn(body + digit))


def grouped(number: str, sign: str, sizes: tuple[int, ...] = (4, 4, 4, 7)) -> str:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(number[at : at + size])
        at += size
    return sign.join(piece for piece in pieces if piece)


@pytest.mark.parametrize(("network", "number"), NETWORKS.items())
def test_every_network_is_known(network: str, number: str) -> None:
    number = number if luhn(number) else completed(number[:8], len(number))
    assert redact(f"My card is {number}.").text == f"My card is [card ···· {number[-4:]}]."


@pytest.mark.parametrize(
    "sign",
    [
        " ",
        "-",
        ".",
        "/",
        "_",
        "\u00a0",
        "\u2009",
        "\u202f",
        " - ",
        "\u2013",
        ", ",
        "\n",
        "\n> ",
        "·",
        "\u2011",
        "\t",
        "  ",
        "\r\n",
        " . ",
        "\u3000",
        "|",
        "\u2212",
    ],
)
@pytest.mark.parametrize("number", [VISA, TWO_SERIES])
def test_groups_of_four_may_be_joined_by_any_sign(sign: str, number: str) -> None:
    assert redact(f"card: {grouped(number, sign)}, thanks").text == f"card: [card ···· {number[-4:]}], thanks"


@pytest.mark.parametrize("sign", [" ", "-", "."])
def test_american_express_has_groups_of_its_own(sign: str) -> None:
    assert redact(f"({grouped(AMEX, sign, (4, 6, 5))})").text == "([card ···· 0005])"


ZEROS = {
    "arabic": 0x0660,
    "persian": 0x06F0,
    "devanagari": 0x0966,
    "bengali": 0x09E6,
    "thai": 0x0E50,
    "full-width": 0xFF10,
    "bold": 0x1D7CE,
    "monospace": 0x1D7F6,
    "nko": 0x07C0,
    "khmer": 0x17E0,
    "adlam": 0x1E950,
    "segmented": 0x1FBF0,
}


@pytest.mark.parametrize(("script", "zero"), ZEROS.items())
def test_digits_of_every_script_are_digits(script: str, zero: int) -> None:
    number = "".join(chr(zero + int(digit)) for digit in VISA)
    assert redact(f"tarjeta {number} ok").text == "tarjeta [card ···· 1111] ok"


@pytest.mark.parametrize(
    "number",
    [
        "".join(chr(0x2460 + int(digit) - 1) for digit in VISA),
        "".join(chr(0x2776 + int(digit) - 1) for digit in VISA),
        "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in VISA),
        "".join("〇一二三四五六七八九"[int(digit)] for digit in VISA),
        "".join(f"{digit}\ufe0f\u20e3" for digit in VISA),
        "".join(f"{digit}\u0336" for digit in VISA),
        "④⑪⑪⑪⑪⑪⑪⑪①",
    ],
    ids=["circled", "negative circled", "superscript", "chinese", "keycaps", "struck through", "circled elevens"],
)
def test_digits_in_fancy_dress_are_digits(number: str) -> None:
    assert redact(f"card {number} end").text == "card [card ···· 1111] end"


@pytest.mark.parametrize(
    "between", ["\u200b", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u034f", "\u180e", "\u202e", "\U000e0041"]
)
def test_invisible_characters_hide_nothing(between: str) -> None:
    assert redact(f"card {between.join(VISA)} end").text == "card [card ···· 1111] end"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("order 663592 4111 1111 1111 1111", "order 663592 [card ···· 1111]"),
        ("2026 4111 1111 1111 1111", "2026 [card ···· 1111]"),
        ("4111 1111 1111 1111 250.00 USD", "[card ···· 1111] 250.00 USD"),
        ("12/03/2026 5555555555554444", "12/03/2026 [card ···· 4444]"),
        ("4111111111111111,5555555555554444", "[card ···· 1111],[card ···· 4444]"),
        ("4111 1111 1111 1111 5555 5555 5555 4444", "[card ···· 1111] [card ···· 4444]"),
        ("4111 1111 11\n11 1111", "[card ···· 1111]"),
        ("(555) 123-4567 4111-1111-1111-1111", "(555) 123-4567 [card ···· 1111]"),
        ("abc4111111111111111xyz", "abc[card ···· 1111]xyz"),
        ("pan=4111111111111111&exp=1227", "pan=[card ···· 1111]&exp=1227"),
    ],
)
def test_a_failed_window_swallows_no_neighbour(text: str, shown: str) -> None:
    assert redact(text).text == shown


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112",
        "IMEI 490154203237518",
        "IMEI: 35-209900-176148-1 / IMEI2 352099001761481",
        "tracking 9400111899223197428490",
        "order number 6759649826438450",
        "EAN 4006381333931",
        "barcode 4006381333931",
        "ISBN 978-3-16-148410-0",
        "id 550e8400-e29b-41d4-a716-446655440000",
        "commit 4111111111111111abcdef0123456789abcdef01",
        "call +49 4151 2345 6785",
        "phones 600 123 456 / 600 123 457",
        "epoch 1767225600000",
        "lat 40.4111111111111111",
        "2024-01-15 12:30:45.123456",
        "IP 192.168.100.200 and 10.20.30.40",
        "1.234.567,89 EUR and 4.111.111,11",
        "ICCID 8934071100269610126",
        "pedido nº 676770000003, seguimiento 501800000009",
        "45012345\n45012346\n45012347\n45012348\n45012349\n45012350\n45012351\n45012352\n45012353\n45012354",
    ],
)
def test_what_only_looks_like_a_card_stays(text: str) -> None:
    assert redact(text).text == text


def test_an_imei_label_hides_no_card() -> None:
    assert redact("IMEI 4111111111111111").text == "IMEI [card ···· 1111]"


def test_unionpay_needs_no_luhn_beside_its_name() -> None:
    assert redact("UnionPay 6221558812340000").text == "UnionPay [card ···· 0000]"
    assert not fires("order 6221558812340000")


def test_uatp_is_only_asked_for_by_name() -> None:
    number = completed("1354", 15)
    assert fires(f"my UATP {number}")
    assert not fires(f"number {number}")


@pytest.mark.parametrize(
    "spelling",
    [
        "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
        "41 11 11 11 11 11 11 11",
        "41111 11111 11111 1",
        "4-1-1-1-1-1-1-1-1-1-1-1-1-1-1-1",
        "411 111 111 111 111 1",
        "41111111 11111111",
    ],
)
def test_even_groups_of_any_size_are_read(spelling: str) -> None:
    assert redact(spelling).text == "[card ···· 1111]"


def test_a_number_glued_to_others_is_found_beside_its_label() -> None:
    assert "4111111111111111" not in redact("my card 6635924111111111111111 thanks").text


def test_most_numbers_without_a_check_digit_stay() -> None:
    """Sixteen digits at random, in groups: one in sixty may look right, not more."""
    rng = random.Random(7)
    texts = [f"ref {grouped(''.join(rng.choices('0123456789', k=16)), ' ')}" for _ in range(3_000)]
    assert sum(bool(fires(text)) for text in texts) < 3_000 * 0.045


def test_the_table_knows_where_networks_begin_and_end() -> None:
    assert 16 in lengths("222100")
    assert 16 not in lengths("222099")
    assert 16 in lengths("272099")
    assert 16 not in lengths("272100")
    assert not lengths("000000")

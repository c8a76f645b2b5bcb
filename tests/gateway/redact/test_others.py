"""Accounts, identity numbers and security codes, and what stands beside them."""

from __future__ import annotations

import pytest

from gateway.redact import Kind, find, fires, redact
from gateway.redact.iban import REGISTRY, valid

IBANS = [
    "AD1200012030200359100100",
    "AE070331234567890123456",
    "AL47212110090000000235698741",
    "AT611904300234573201",
    "AZ21NABZ00000000137010001944",
    "BA391290079401028494",
    "BE68539007547034",
    "BG80BNBG96611020345678",
    "BH67BMAG00001299123456",
    "BR9700360305000010009795493P1",
    "CH9300762011623852957",
    "CR05015202001026284066",
    "CY17002001280000001200527600",
    "CZ6508000000192000145399",
    "DE89370400440532013000",
    "DK5000400440116243",
    "DO28BAGR00000001212453611324",
    "EE382200221020145685",
    "ES9121000418450200051332",
    "FI2112345600000785",
    "FO6264600001631634",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "GE29NB0000000101904917",
    "GI75NWBK000000007099453",
    "GL8964710001000206",
    "GR1601101250000000012300695",
    "GT82TRAJ01020000001210029690",
    "HR1210010051863000160",
    "HU42117730161111101800000000",
    "IE29AIBK93115212345678",
    "IL620108000000099999999",
    "IS140159260076545510730339",
    "IT60X0542811101000000123456",
    "JO94CBJO0010000000000131000302",
    "KW81CBKU0000000000001234560101",
    "KZ86125KZT5004100100",
    "LB62099900000001001901229114",
    "LI21088100002324013AA",
    "LT121000011101001000",
    "LU280019400644750000",
    "LV80BANK0000435195001",
    "MC5811222000010123456789030",
    "MD24AG000225100013104168",
    "ME25505000012345678951",
    "MK07250120000058984",
    "MR1300020001010000123456753",
    "MT84MALT011000012345MTLCAST001S",
    "MU17BOMM0101101030300200000MUR",
    "NL91ABNA0417164300",
    "NO9386011117947",
    "PK36SCBL0000001123456702",
    "PL61109010140000071219812874",
    "PS92PALS000000000400123456702",
    "PT50000201231234567890154",
    "QA58DOHB00001234567890ABCDEFG",
    "RO49AAAA1B31007593840000",
    "RS35260005601001611379",
    "SA0380000000608010167519",
    "SE4550000000058398257466",
    "SI56263300012039086",
    "SK3112000000198742637541",
    "SM86U0322509800000000270100",
    "TN5910006035183598478831",
    "TR330006100519786457841326",
    "UA213223130000026007233566001",
    "VA59001123000012345678",
    "VG96VPVG0000012345678901",
    "XK051212012345678906",
]


@pytest.mark.parametrize("iban", IBANS)
def test_every_registered_country_is_known(iban: str) -> None:
    assert valid(iban)
    spaced = " ".join(iban[at : at + 4] for at in range(0, len(iban), 4))
    for spelling in (iban, spaced, spaced.lower(), spaced.replace(" ", "-"), spaced.replace(" ", "\u00a0")):
        assert redact(f"IBAN: {spelling}, gracias").text == f"IBAN: [IBAN ···· {iban[-4:]}], gracias"


def test_an_iban_ends_where_its_country_says() -> None:
    assert redact("ES91 2100 0418 4502 0005 1332 4 recibos").text == "[IBAN ···· 1332] 4 recibos"
    assert redact("GB29 NWBK 6016 1331 9268 19 thanks").text == "[IBAN ···· 6819] thanks"


def test_an_iban_over_a_line_break_is_one() -> None:
    assert redact("> ES91 2100 0418\n> 4502 0005 1332").text == "> [IBAN ···· 1332]"


@pytest.mark.parametrize(
    "text", ["ES91 2100 0418 4502 0005 1333", "DE12 3456", "invoice GB29", "is 14 of us", "NL91ABNA0417164301"]
)
def test_what_fails_its_check_digits_is_no_iban(text: str) -> None:
    assert redact(text).text == text


def test_the_registry_knows_its_countries() -> None:
    assert len(REGISTRY) > 100
    assert {iban[:2] for iban in IBANS} <= set(REGISTRY)


@pytest.mark.parametrize(
    "text",
    [
        "12345678Z",
        "12345678-Z",
        "12.345.678-Z",
        "12 345 678 Z",
        "12345678z",
        "１２３４５６７８Ｚ",
        "X1234567L",
        "X-1234567-L",
        "x 1234567 l",
        "Y0000000Z",
        "X-1.234.567-L",
        "12345678\u2011Z",
    ],
)
def test_spanish_numbers_need_no_label(text: str) -> None:
    assert redact(f"soy {text}.").text == "soy [ID number]."


@pytest.mark.parametrize(
    "text", ["DNI 1 2 3 4 5 6 7 8 Z", "dni:12345678 z", "NIF ES12345678Z", "su dni12345678Z", "DNI: 1234567L"]
)
def test_odd_spanish_spellings_need_one(text: str) -> None:
    assert "[ID number]" in redact(text).text


@pytest.mark.parametrize(
    "text", ["12345678A", "ref AB12345678Z", "12345678 y 12345679", "2024-05-12 Z", "pedido 12345678", "X1234567A"]
)
def test_what_has_the_wrong_letter_is_no_spanish_number(text: str) -> None:
    assert redact(text).text == text


@pytest.mark.parametrize(
    "text", ["078-05-1120", "219 09 9999", "SSN 219099999", "social security number: 219-099999", "078–05–1120"]
)
def test_social_security_numbers(text: str) -> None:
    assert [span.kind for span in find(text)] == [Kind.US_SSN]


@pytest.mark.parametrize(
    "text",
    [
        "000-12-3456",
        "666-12-3456",
        "900-12-3456",
        "123-00-4567",
        "123-45-0000",
        "219099999",
        "tel 219 09 9999",
        "555-123-4567",
        "order 219 09 9999",
    ],
)
def test_what_was_never_issued_is_no_social_security_number(text: str) -> None:
    assert redact(text).text == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("CVV 123", "CVV [code hidden]"),
        ("CVV: 1234.", "CVV: [code hidden]."),
        ("the security code is 123", "the security code is [code hidden]"),
        ("código de seguridad: 737", "código de seguridad: [code hidden]"),
        ("CVC\n737", "CVC\n[code hidden]"),
        ("cvv2=999;", "cvv2=[code hidden];"),
        ("737 is my cvv", "[code hidden] is my cvv"),
        ("los tres números de atrás son 456", "los tres números de atrás son [code hidden]"),
        ("cvv 1 2 3", "cvv [code hidden]"),
        ("4111 1111 1111 1111 12/27 123", "[card ···· 1111] 12/27 [code hidden]"),
        ("4111111111111111, exp 09/28, 123", "[card ···· 1111], exp 09/28, [code hidden]"),
        ("4111 1111 1111 1111 123", "[card ···· 1111] [code hidden]"),
        ("3782 822463 10005 1234", "[card ···· 0005] [code hidden]"),
    ],
)
def test_security_codes_are_known_by_what_surrounds_them(text: str, shown: str) -> None:
    assert redact(text).text == shown


@pytest.mark.parametrize(
    "text",
    [
        "error 402",
        "room 312",
        "My CVV fails with error 500",
        "CVV doesn't work. We are 250 people",
        "paid 250 EUR",
        "the security code is in room 312",
        "4111, 12/27",
        "page 123",
        "código de seguridad: error 404",
        "CVV since 2024",
        "cvv costs 250.00",
        "cvv: 555-1234",
    ],
)
def test_other_short_numbers_stay(text: str) -> None:
    assert not fires(text)


def test_a_security_code_is_never_shown() -> None:
    for span in find("4111 1111 1111 1111 12/27 123, CVC 737, 378282246310005 1234"):
        assert span.kind is not Kind.SECURITY_CODE or span.last4 == ""

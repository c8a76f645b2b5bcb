"""Case numbers and reply addresses: quotable, checked, not to be guessed or forged."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.store.threads import ALPHABET, ReplyTokens, new_number, quoted_numbers, read_number
from keys.secret import Secret

TOKENS = ReplyTokens(Secret(b"t" * 32))
NUMBERS = st.builds(new_number)
PLACES = st.sampled_from([2, 3, 4, 5, 7, 8, 9, 10])


@given(NUMBERS)
def test_a_number_reads_back_from_every_spelling(number: str) -> None:
    assert len(number) == 11
    for spelling in (number, number.lower(), number.replace("-", ""), number.replace("-", " "), f" {number}\n"):
        assert read_number(spelling) == number
    assert read_number(number.replace("0", "O").replace("1", "l")) == number


@given(NUMBERS, PLACES, st.sampled_from(ALPHABET))
def test_one_wrong_character_is_found(number: str, place: int, wrong: str) -> None:
    changed = number[:place] + wrong + number[place + 1 :]
    assert read_number(changed) == (number if changed == number else None)


@given(NUMBERS, PLACES, PLACES)
def test_two_swapped_characters_are_found(number: str, a: int, b: int) -> None:
    letters = list(number)
    letters[a], letters[b] = letters[b], letters[a]
    changed = "".join(letters)
    assert read_number(changed) == (number if changed == number else None)


@given(st.text(max_size=200))
def test_any_text_gives_numbers_or_none(text: str) -> None:
    assert all(read_number(number) == number for number in quoted_numbers(text))
    read_number(text)


def test_numbers_are_found_where_people_write_them() -> None:
    a, b = new_number(), new_number()
    text = f"Re: [{a}] about {b.lower()}, not ID{a} nor {a}9; again ({a})."
    assert quoted_numbers(text) == (a, b)
    assert len(quoted_numbers(" ".join(new_number() for _ in range(30)))) == 10
    assert quoted_numbers("V-0000-0001 visa card 4111 1111 1111 1111") == ()


def test_numbers_are_not_in_sequence() -> None:
    many = [new_number() for _ in range(1000)]
    assert len(set(many)) == 1000
    assert sorted(many) != many
    assert len({number[2] for number in many}) > 20


@given(NUMBERS)
def test_a_signed_address_reads_back_and_fits(number: str) -> None:
    address = TOKENS.address("customer-support-europe@acme.example", number)
    local = address.partition("@")[0]
    assert len(local) <= 64
    tag = local.partition("+")[2]
    assert tag == TOKENS.tag(number)
    assert TOKENS.read(tag) == TOKENS.read(tag.upper()) == number


@given(NUMBERS, st.integers(0, 25), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_a_changed_tag_is_not_ours(number: str, place: int, wrong: str) -> None:
    tag = TOKENS.tag(number)
    changed = tag[:place] + wrong + tag[place + 1 :]
    assert TOKENS.read(changed) == (number if changed == tag else None)


def test_another_key_makes_other_tags() -> None:
    number = new_number()
    assert ReplyTokens(Secret(b"u" * 32)).read(TOKENS.tag(number)) is None
    assert TOKENS.read("") is None
    assert TOKENS.read("anything") is None

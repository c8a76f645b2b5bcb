"""The state machine over gpg's status lines: what is gpg's own counts, what looks like it doesn't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.errors import BadData
from keys.openpgp import SignatureStatus, Verification
from keys.status import FINGERPRINT, Report, parse

A, B = "A" * 40, "B" * 40
GOOD = [f"GOODSIG {A[-16:]} Alice <alice@example.org>", f"VALIDSIG {A} 2026-01-01 1767225600 0 4 0 22 10 00 {A}"]
NEW = "NEWSIG"
BEGIN = ["ENC_TO 1111111111111111 18 0", f"DECRYPTION_KEY {B} {B} -", "BEGIN_DECRYPTION", "DECRYPTION_INFO 2 9 0"]
PLAIN = ["PLAINTEXT 62 1 ", "PLAINTEXT_LENGTH 5"]
END = ["DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION"]


def report(*lines: str) -> Report:
    return parse("".join(f"[GNUPG:] {line}\n" for line in lines).encode())


def verdicts(*lines: str) -> list[Verification]:
    return list(report(*lines).verifications)


def test_a_whole_run_is_believed() -> None:
    whole = report(*BEGIN, *PLAIN, NEW, "SIG_ID x 2026-01-01 1", *GOOD, "TRUST_UNDEFINED 0 always", *END)
    assert whole.decrypted
    assert (whole.plaintexts, whole.plaintext_length) == (1, 5)
    assert whole.decryption_keys == [(B, B)]
    assert (whole.signatures_inside, whole.signatures_outside) == (1, 0)
    (one,) = whole.verifications
    assert (one.status, one.signing_key, one.primary_key) == (SignatureStatus.GOOD, A, A)


@pytest.mark.parametrize("without", ["DECRYPTION_OKAY", "GOODMDC", "DECRYPTION_INFO 2 9 0"])
def test_a_run_without_any_one_proof_is_not_decrypted(without: str) -> None:
    lines = [line for line in (*BEGIN, *PLAIN, *END) if line != without]
    try:
        assert not report(*lines).decrypted
    except BadData:
        pass


@pytest.mark.parametrize("lines", [
    [*BEGIN, *PLAIN, "DECRYPTION_FAILED", "END_DECRYPTION"],
    [*BEGIN, *PLAIN, "BADMDC", *END],
    [*BEGIN, *PLAIN, *END[:2], "DECRYPTION_FAILED", "END_DECRYPTION"],
    ["BEGIN_DECRYPTION", "DECRYPTION_INFO 0 9 0", *PLAIN, *END],
    [*END[:0], "BEGIN_DECRYPTION", "END_DECRYPTION"],
])  # fmt: skip
def test_a_failed_or_unprotected_run_is_not_decrypted(lines: list[str]) -> None:
    assert not report(*lines).decrypted


@pytest.mark.parametrize("lines", [
    ["DECRYPTION_OKAY"], ["GOODMDC"], ["END_DECRYPTION"], ["DECRYPTION_INFO 2 9 0"], [*BEGIN, *PLAIN],
    [*BEGIN, "GOODMDC", "DECRYPTION_OKAY", "END_DECRYPTION"], [*BEGIN, *PLAIN, *PLAIN, *END],
    [*BEGIN, *PLAIN, *END, *PLAIN], [*BEGIN, *END, *BEGIN, *END], [*BEGIN, "BEGIN_DECRYPTION"],
    [*BEGIN, "DECRYPTION_OKAY", *END], [*GOOD], ["VALIDSIG x"], ["PLAINTEXT_LENGTH -1"], ["DECRYPTION_KEY x y z"],
    [*BEGIN, *PLAIN, NEW, *END, GOOD[0]],
])  # fmt: skip
def test_a_sequence_that_gpg_never_writes_is_refused(lines: list[str]) -> None:
    with pytest.raises(BadData):
        report(*lines)


JUNK = [b"gpg: Good signature\n", b"[GNUPG:]GOODSIG\n", b"x[GNUPG:] NEWSIG\n", b"\xff\n", b"[GNUPG:] \n"]


@pytest.mark.parametrize("junk", JUNK)
def test_a_line_that_is_no_status_line_is_refused(junk: bytes) -> None:
    with pytest.raises(BadData):
        parse(junk)


@pytest.mark.parametrize("group", [
    [*GOOD, GOOD[1]], [*GOOD, *GOOD], [GOOD[0]], [GOOD[1]], [],
    [GOOD[0], GOOD[1].replace(A, B, 1)], [GOOD[0].replace(A[-16:], B[-16:]), GOOD[1]],
    [GOOD[0], GOOD[1].replace(" 10 00 ", " 10 18 ")], [GOOD[0], " ".join(GOOD[1].split()[:-1])],
    [f"BADSIG {A[-16:]} x", GOOD[1]], [f"BADSIG {A[-16:]} x", *GOOD],
    [f"ERRSIG {A[-16:]} 22 10 00 1 9 {A}", GOOD[1]], ["GOODSIG short x", GOOD[1]], ["ERRSIG x"],
    [GOOD[0], GOOD[1].replace(A, A.lower())], [GOOD[0], GOOD[1].replace(A, A[:39])],
])  # fmt: skip
def test_a_group_that_is_not_one_whole_verdict_is_an_error(group: list[str]) -> None:
    (one,) = verdicts(NEW, *group)
    assert (one.status, one.primary_key, one.signing_key) == (SignatureStatus.ERROR, None, None)


def test_a_smuggled_verdict_spoils_its_group_and_no_other() -> None:
    statuses = [one.status for one in verdicts(NEW, *GOOD, NEW, *GOOD, GOOD[1].replace(A, B), NEW, *GOOD)]
    assert statuses == [SignatureStatus.GOOD, SignatureStatus.ERROR, SignatureStatus.GOOD]


@pytest.mark.parametrize(("lines", "status"), [
    ([GOOD[0].replace("GOODSIG", "EXPSIG"), GOOD[1]], SignatureStatus.EXPIRED),
    ([GOOD[0].replace("GOODSIG", "EXPKEYSIG"), GOOD[1]], SignatureStatus.EXPIRED_KEY),
    ([GOOD[0].replace("GOODSIG", "REVKEYSIG"), GOOD[1]], SignatureStatus.REVOKED_KEY),
    ([GOOD[0], GOOD[1].replace(" 22 10 ", " 22 2 ")], SignatureStatus.WEAK),
    ([GOOD[0], GOOD[1].replace(" 22 10 ", " 22 1 ")], SignatureStatus.WEAK),
    ([GOOD[0].replace("GOODSIG", "REVKEYSIG"), GOOD[1].replace(" 22 10 ", " 22 2 ")], SignatureStatus.REVOKED_KEY),
    ([f"BADSIG {A[-16:]} x"], SignatureStatus.BAD),
    ([f"ERRSIG {A[-16:]} 22 10 00 1767225600 9 {A}"], SignatureStatus.UNKNOWN_KEY),
    ([f"ERRSIG {A[-16:]} 22 10 00 1767225600 9 -"], SignatureStatus.UNKNOWN_KEY),
    ([f"ERRSIG {A[-16:]} 1 1 00 1767225600 5 {A}"], SignatureStatus.WEAK),
    ([f"ERRSIG {A[-16:]} 99 10 00 1767225600 4 {A}"], SignatureStatus.ERROR),
])  # fmt: skip
def test_each_verdict_has_its_word(lines: list[str], status: SignatureStatus) -> None:
    (one,) = verdicts(NEW, *lines)
    assert one.status is status
    if status in (SignatureStatus.BAD, SignatureStatus.UNKNOWN_KEY, SignatureStatus.ERROR):
        assert one.primary_key is None
        assert one.signed_at is None


def test_version_6_fingerprints_count_from_the_front() -> None:
    name = "CD" * 8 + "0" * 48
    (one,) = verdicts(NEW, f"GOODSIG {'CD' * 8} x", GOOD[1].replace(A, name))
    assert one.status is SignatureStatus.GOOD


def test_an_agent_without_memory_is_transient() -> None:
    assert report("ERROR pkdecrypt_failed 16810070").transient
    assert report("ERROR pkdecrypt_failed 16777261").transient is False
    assert report("FAILURE sign 33554509").no_agent


OTHERS = ["BADSIG x y", "ERRSIG x", "NOTATION_DATA x", "ERROR a 1", "WHAT"]
LINES = st.sampled_from([*BEGIN, *PLAIN, *END, NEW, *GOOD, *OTHERS])


@given(st.lists(LINES, max_size=14))
def test_no_order_of_lines_makes_more_of_a_message_than_it_is(lines: list[str]) -> None:
    try:
        found = report(*lines)
    except BadData:
        return
    if found.decrypted:
        order = [lines.index(line) for line in ("BEGIN_DECRYPTION", "DECRYPTION_OKAY", "GOODMDC", "END_DECRYPTION")]
        assert order == sorted(order)
    good = [one for one in found.verifications if one.status is SignatureStatus.GOOD]
    assert len(good) <= lines.count(NEW)
    assert all(FINGERPRINT.fullmatch(one.primary_key or "") for one in good)

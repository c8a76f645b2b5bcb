"""Who may send in clear: one table, and no way around it."""

from __future__ import annotations

import itertools

import pytest
from messages import reply

from gateway.policy import permit, protection
from gateway.reply import _ISSUE, ClearPermit, Protect
from keys.openpgp import Fingerprint


@pytest.mark.parametrize(
    ("certificates", "encrypted", "clear"), list(itertools.product((0, 1, 2), (False, True), (False, True)))
)
def test_the_whole_table_of_protection(certificates: int, encrypted: bool, clear: bool) -> None:
    how, why = protection(certificates=certificates, correspondent_encrypted=encrypted, clear_reply=clear)
    if certificates:
        assert (how, why) == (Protect.SEALED, "certificate")
    elif encrypted:
        assert (how, why) == (Protect.BLOCKED, "came-encrypted-no-certificate")
    elif clear:
        assert (how, why) == (Protect.CLEAR, "mailbox-permits-clear")
    else:
        assert (how, why) == (Protect.BLOCKED, "mailbox-forbids-clear")


def test_a_permit_is_issued_for_what_may_leave_in_clear_and_nothing_else() -> None:
    leave = permit(reply())
    assert leave == ClearPermit("01JZREPLY", "mailbox-permits-clear", _ISSUE)
    assert permit(reply(certificates=(Fingerprint("A" * 40),))) is None
    assert permit(reply(correspondent_encrypted=True)) is None
    assert permit(reply(clear_reply=False)) is None
    assert permit(reply(promised_sealed=True)) is None

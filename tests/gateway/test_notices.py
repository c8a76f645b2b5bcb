"""Notices: who gets one, what it says, and in which languages."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from messages import ALICE

from channels.contract import Address, Demand, MailboxName, Result
from gateway import texts
from gateway.checks import OUTBOUND
from gateway.notices import Notice, Occasion, due, notice, words
from gateway.redact import fires

OCCASION = Occasion(
    notice=Notice.FIRST_CONTACT,
    wanted=True,
    to=ALICE,
    own_addresses=frozenset({"support@acme.example"}),
    envelope_sender=ALICE,
    automatic=False,
    authentication=Result.PASS,
    encrypted=False,
    certificates=0,
    clear_reply=True,
)


def made(kind: Notice, language: str = "en", **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "id": "01JZNOTE", "conversation": "", "number": "2026-000042", "to": ALICE, "mailbox": MailboxName("support"),
        "language": language, "message_id": "<01jznote@acme.example>", "in_reply_to": "", "certificates": (),
        "correspondent_encrypted": False, "clear_reply": True, "transport": Demand.REQUIRED, "company": "Acme",
        "privacy_url": "https://acme.example/privacy",
    }  # fmt: skip
    return notice(kind, **{**settings, **changes})


def test_a_new_customer_is_told() -> None:
    assert due(OCCASION).send


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"wanted": False}, "not-wanted"),
        ({"to": None}, "nobody"),
        ({"envelope_sender": None}, "null-sender"),
        ({"automatic": True}, "automatic"),
        ({"to": Address("MAILER-DAEMON@example.org")}, "robot"),
        ({"to": Address("no-reply@example.org")}, "robot"),
        ({"to": Address("devs-request@lists.example.org")}, "robot"),
        ({"to": Address("Support@acme.example")}, "own-address"),
        ({"authentication": Result.FAIL}, "sender-unproven"),
        ({"encrypted": True}, "came-encrypted-no-certificate"),
        ({"clear_reply": False}, "mailbox-forbids-clear"),
    ],
)
def test_a_notice_is_not_sent_where_it_could_harm(changes: dict[str, Any], why: str) -> None:
    found = due(replace(OCCASION, **changes))
    assert not found.send
    assert found.why == why


def test_what_came_encrypted_is_told_encrypted() -> None:
    found = due(replace(OCCASION, encrypted=True, certificates=1, clear_reply=False))
    assert found.send
    assert found.why == "certificate"


@pytest.mark.parametrize("language", texts.languages())
@pytest.mark.parametrize("kind", Notice)
def test_every_notice_stands_in_every_language_and_is_clean(kind: Notice, language: str) -> None:
    said = words(made(kind, language))
    subject, text = said.subject.reveal(), said.text.reveal()
    assert "Acme" in text
    assert "https://acme.example/privacy" in text
    assert "{" not in subject + text
    assert not fires(subject + "\n" + text)
    assert len(subject) < 70


def test_a_notice_gives_the_case_number_and_how_long_a_message_waits() -> None:
    said = words(made(Notice.FIRST_CONTACT))
    assert "2026-000042" in said.subject.reveal()
    assert "2026-000042" in said.text.reveal()
    assert "72 horas" in words(made(Notice.HELD, "es")).text.reveal()


async def test_a_notice_takes_the_same_way_out_as_a_reply() -> None:
    assert await OUTBOUND.require(made(Notice.HELD))
    decision = await OUTBOUND.judge(made(Notice.HELD, correspondent_encrypted=True))
    assert [str(finding.rule.code) for finding in decision.findings] == ["outbound.downgrade"]


def test_without_a_privacy_page_that_paragraph_is_left_out() -> None:
    assert "What we keep" not in words(made(Notice.HELD, privacy_url="")).text.reveal()


def test_a_language_that_is_not_here_is_answered_in_english() -> None:
    assert words(made(Notice.HELD, "tlh")) == words(made(Notice.HELD, "en"))
    assert words(made(Notice.HELD, "es-MX")) == words(made(Notice.HELD, "es"))


def test_a_missing_value_is_an_error_of_ours() -> None:
    with pytest.raises(KeyError):
        words(replace(made(Notice.HELD), values={}))
    with pytest.raises(KeyError):
        words(replace(made(Notice.HELD), template="no-such-notice"))


def keys(section: Any, path: str = "") -> dict[str, frozenset[str]]:
    """Every text of a language, with its blanks."""
    if isinstance(section, str):
        return {path: frozenset(re.findall(r"\{([a-z_]+)\}", section))}
    return {key: value for name, inner in section.items() for key, value in keys(inner, f"{path}.{name}").items()}


@pytest.mark.parametrize("language", texts.languages())
def test_no_language_lacks_a_text_or_a_blank(language: str) -> None:
    assert keys(texts.texts(language)) == keys(texts.texts("en"))


def test_there_is_english_and_spanish() -> None:
    assert {"en", "es"} <= set(texts.languages())

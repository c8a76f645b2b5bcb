"""The console's words: complete in each language, used, and filled in the same way."""

from __future__ import annotations

import re
import string
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import gateway.desk
from gateway.desk.rendering import SCRIPT_WORDS
from gateway.desk.texts import Texts, chosen, languages

FOLDER = Path(gateway.desk.__file__).parent
NOW = datetime(2026, 11, 25, 10, 0, tzinfo=UTC)


def names(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


def shared(texts: Texts) -> set[str]:
    return {key for key in texts.known() if not key.startswith("finding.")}


def test_every_language_has_every_text_and_no_other() -> None:
    english = languages()["en"]
    assert set(languages()) >= {"en", "es"}
    for texts in languages().values():
        assert shared(texts) == shared(english), texts.code
        for key in shared(english):
            assert names(texts._texts[key]) == names(english._texts[key]), (texts.code, key)
            assert texts._texts[key].strip(), (texts.code, key)
            assert "!" not in texts._texts[key], (texts.code, key)


def used() -> set[str]:
    found = set(SCRIPT_WORDS.values())
    for file in [*FOLDER.glob("*.py"), *FOLDER.glob("templates/*.html")]:
        text = file.read_text()
        found |= set(re.findall(r"""\bt\(\s*f?["']([a-z_]+(?:\.[a-z_-]+)+)["']""", text))
        found |= set(re.findall(r"""["']((?:error|sign_in)\.[a-z_]+)["']""", text))
    return found


def test_every_text_that_is_asked_for_is_there() -> None:
    keys = languages()["en"].known()
    whole = {key for key in used() if not key.endswith((".", "_", ".html"))}
    missing = {key for key in whole if key not in keys and f"{key}.one" not in keys}
    assert missing == set()


def test_texts_chosen_by_a_value_are_there_for_every_value() -> None:
    from gateway.desk.access import Role
    from gateway.desk.masks import KINDS
    from gateway.desk.pages import VIEWS
    from gateway.desk.pages_review import REASONS
    from gateway.desk.presenting import TONES
    from gateway.desk.rendering import SHORTCUTS
    from gateway.desk.trust import SIGNATURES

    keys = languages()["en"].known()
    wanted = {f"role.{role}" for role in Role} | {f"nav.{view}" for view in VIEWS}
    wanted |= {f"list.empty_{view}" for view in VIEWS} | {f"list.empty_{view}_how" for view in VIEWS}
    wanted |= {f"reply.status.{state}" for state in TONES} | {f"reply.why.{state}" for state in TONES}
    wanted |= {f"held.reasons.{reason}" for reason in REASONS} | {f"keys.{what}" for _, what in SHORTCUTS}
    wanted |= {f"trust.{part}.{name}" for name, _, _ in SIGNATURES.values() for part in ("label", "tip")}
    wanted |= {f"kind.{name}" for name, _ in KINDS.values()}
    wanted |= {f"reply.blocked_{kind}{end}" for kind in ("came_encrypted", "mailbox", "no_address", "unknown")
               for end in ("", "_help")}  # fmt: skip
    assert wanted - keys == set()


def rules() -> dict[str, str]:
    """Every rule that anybody can meet, of the layers and of the gateway itself: what it says of itself."""
    from gateway import checks, faults
    from gateway.layers import Layer
    from gateway.rules import Rule

    layers = [value for value in vars(checks).values() if isinstance(value, Layer)]
    assert len(layers) >= 4
    found = {rule.code: rule.plain for layer in layers for rule in layer.rules}
    return {**found, **{value.code: value.plain for value in vars(faults).values() if isinstance(value, Rule)}}


def explained(code: str) -> set[str]:
    return {key.removeprefix("finding.") for key in languages()[code].known() if key.startswith("finding.")}


def test_every_rule_is_explained_in_every_language() -> None:
    for code in set(languages()) - {"en"}:
        assert explained(code) == set(rules()), code


def test_english_repeats_the_words_of_those_rules_of_which_only_the_code_reaches_the_desk() -> None:
    wanted = {code: plain for code, plain in rules().items() if code.startswith(("outbound.", "gateway.", "check."))}
    assert {code: languages()["en"].finding(code, "") for code in explained("en")} == wanted


def test_every_kind_of_redaction_has_a_word() -> None:
    from gateway.redact.spans import Kind

    for texts in languages().values():
        for kind in Kind:
            assert f"kinds.{kind}.one" in texts.known(), (texts.code, kind)


@pytest.mark.parametrize(
    ("setting", "header", "wanted"),
    [
        ("", "", "en"),
        ("es", "en", "es"),
        ("", "es-ES,es;q=0.9,en;q=0.8", "es"),
        ("", "de, en;q=0.5, es;q=0.7", "es"),
        ("", "fr;q=0.1, *;q=x, ;;;", "en"),
        ("xx", "es", "es"),
    ],
)
def test_the_language_is_the_persons_then_the_browsers(setting: str, header: str, wanted: str) -> None:
    assert chosen(setting, header).code == wanted


def test_times_and_numbers_are_short_and_in_the_readers_way() -> None:
    english, spanish = languages()["en"], languages()["es"]
    assert english.ago(NOW - timedelta(seconds=20), NOW) == "now"
    assert english.ago(NOW - timedelta(minutes=5), NOW) == "5 min"
    assert spanish.ago(NOW - timedelta(hours=3), NOW) == "3 h"
    assert english.until(NOW + timedelta(days=3), NOW) == "in 3 d"
    assert (english.number(12345), spanish.number(12345)) == ("12,345", "12.345")
    assert english.counted({"card": 2, "es-dni": 1, "unheard-of": 1}) == "2 card numbers, 1 DNI, 1 other value"


def test_a_findings_sentence_falls_back_to_the_rules_own() -> None:
    assert languages()["es"].finding("no.such", "As the rule says it.") == "As the rule says it."

"""The console's words, by language: one TOML file each.

Rules: English is the measure; a language that lacks a text, has one too many or fills in other names fails a test.
Another language takes one file. What a rule says of itself (`TrustFinding.plain`) is taken from `[finding]` when the
language has it, else as the rule says it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib import resources
from typing import Any, Final

DEFAULT: Final = "en"


class Texts:
    """One language. `t` fills in; a plural is chosen by `n`."""

    def __init__(self, code: str, texts: Mapping[str, str]) -> None:
        self.code = code
        self._texts = texts

    def t(self, key: str, **values: str | int) -> str:
        """Raises KeyError for a text that doesn't exist: a test finds those before a person does."""
        text = self._texts.get(key)
        if text is None and "n" in values:
            text = self._texts[f"{key}.one" if values["n"] == 1 else f"{key}.other"]
        if text is None:
            raise KeyError(key)
        return text.format_map({name: self.number(v) if isinstance(v, int) else v for name, v in values.items()})

    def has(self, key: str) -> bool:
        return key in self._texts

    def known(self) -> frozenset[str]:
        return frozenset(self._texts)

    def finding(self, code: str, plain: str) -> str:
        """What a rule found, in a sentence."""
        return self._texts.get(f"finding.{code}") or plain

    def kind(self, kind: str) -> str:
        """A redacted value's kind, for its chip."""
        return self._texts.get(f"kind.{kind}") or self._texts["kind.other"]

    def counted(self, redactions: Mapping[str, int]) -> str:
        """ "2 card numbers, 1 DNI" """
        parts: list[str] = []
        others = 0
        for kind, n in sorted(redactions.items()):
            if f"kinds.{kind}.one" in self._texts:
                parts.append(self.t(f"kinds.{kind}", n=n))
            else:
                others += n
        if others:
            parts.append(self.t("kinds.other", n=others))
        return ", ".join(parts)

    def number(self, value: int) -> str:
        grouped = f"{value:,}"
        return grouped.replace(",", ".") if self.code == "es" else grouped

    def ago(self, then: datetime, now: datetime) -> str:
        """Short, for a list: "now", "5 min", "3 h", "2 d"."""
        minutes = int((now - then).total_seconds() // 60)
        if minutes < 1:
            return self.t("time.now")
        return self._span(minutes, "")

    def until(self, then: datetime, now: datetime) -> str:
        """ "in 5 min" """
        minutes = int((then - now).total_seconds() // 60)
        if minutes < 1:
            return self.t("time.over")
        return self._span(minutes + 720 if minutes >= 48 * 60 else minutes, "in_")

    def _span(self, minutes: int, before: str) -> str:
        if minutes < 60:
            return self.t(f"time.{before}minutes", n=minutes)
        if minutes < 48 * 60:
            return self.t(f"time.{before}hours", n=minutes // 60)
        return self.t(f"time.{before}days", n=minutes // (24 * 60))


@cache
def languages() -> Mapping[str, Texts]:
    """All there are, English first."""
    found: dict[str, Texts] = {}
    folder = resources.files("gateway.desk").joinpath("texts")
    for file in sorted(folder.iterdir(), key=lambda file: (file.name != f"{DEFAULT}.toml", file.name)):
        if file.name.endswith(".toml"):
            code = file.name.removesuffix(".toml")
            found[code] = Texts(code, _flat(tomllib.loads(file.read_text("utf-8"))))
    return found


def chosen(setting: str, accept_language: str) -> Texts:
    """The person's own setting, else the browser's first that we have (RFC 9110, section 12.5.4), else English."""
    known = languages()
    if setting in known:
        return known[setting]
    wishes: list[tuple[float, int, str]] = []
    for position, item in enumerate(accept_language[:200].split(",")):
        name, _, quality = item.strip().partition(";q=")
        try:
            weight = float(quality) if quality else 1.0
        except ValueError:
            continue
        wishes.append((-weight, position, name.split("-")[0].lower()))
    for _, _, name in sorted(wishes):
        if name in known:
            return known[name]
    return known[DEFAULT]


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat

"""Texts: every sentence that the gateway itself says to customers, one file per language.

Rules:
1. Another language takes one file, with exactly the keys and blanks of `en.toml` (a test compares).
2. A paragraph whose blank is empty is left out; nothing is ever put together from pieces of sentences.
3. A language that isn't here is answered in English.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

DEFAULT: Final = "en"
_BLANK: Final = re.compile(r"\{([a-z_]+)\}")


@cache
def _all() -> Mapping[str, Mapping[str, Any]]:
    """Read together: who is shut in later can't open another file."""
    files = [file for file in resources.files(__name__).iterdir() if file.name.endswith(".toml")]
    return {file.name[:-5]: tomllib.loads(file.read_text("utf-8")) for file in files}


def languages() -> tuple[str, ...]:
    """The languages there are."""
    return tuple(sorted(_all()))


def texts(language: str) -> Mapping[str, Any]:
    """All texts of one language, by section; English when it isn't here."""
    return _all().get(language.lower().partition("-")[0], _all()[DEFAULT])


def section(name: str, language: str) -> dict[str, str]:
    """The texts of one section; `name` may be dotted. Raises KeyError."""
    here: Any = texts(language)
    for part in name.split("."):
        here = here[part]
    return dict(here)


def filled(name: str, language: str, values: Mapping[str, str]) -> dict[str, str]:
    """A section with its blanks filled. Raises KeyError for a section or value that isn't there."""
    return {key: fill(text, values) for key, text in section(name, language).items()}


def fill(text: str, values: Mapping[str, str]) -> str:
    """
    >>> fill("Hello from {company}.\\n\\nSee {url}\\n\\nBye", {"company": "Acme", "url": ""})
    'Hello from Acme.\\n\\nBye'
    """
    kept = [
        _BLANK.sub(lambda blank: values[blank[1]], paragraph)
        for paragraph in text.split("\n\n")
        if all(values[blank] for blank in _BLANK.findall(paragraph))
    ]
    return "\n\n".join(kept).strip()

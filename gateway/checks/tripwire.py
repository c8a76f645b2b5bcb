"""Tripwires on what is about to reach an agent: the recognizers once more, and the contract of safe text.

They know nothing of what sanitizing did. Every text of the message is looked at, found by walking its fields, so that
a field added later can't be forgotten; and what an agent reads together is also looked at together.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from gateway.redact import fires
from gateway.rules import Action, Code, Finding, Rule
from gateway.sanitized import Sanitized

LEAK: Final = Rule(
    Code("release.leak"), Action.HOLD, "Message is being reviewed", "7.0",
    "A card number, bank account or identity number was still readable after redaction.",
)  # fmt: skip
UNSAFE: Final = Rule(
    Code("release.unsafe"), Action.HOLD, "Message is being reviewed", "7.0",
    "After sanitizing, the text still held markup or invisible control characters.",
)  # fmt: skip

_CONTROL: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]"
)
_BREAK: Final = re.compile("[\t\n\u2028\u2029]")
_TAG: Final = re.compile(r"<[A-Za-z/!?]")
_HEXADECIMAL: Final = re.compile(r"[0-9A-F]*")
_MANY_LINES: Final = frozenset({"text"})
"""Fields that may have line breaks and tabs."""
_NAMED_BY_US: Final = frozenset({"plain"})
"""Sentences of our own rules."""


class NothingReadable:
    """No recognizer fires on any text of the message, nor on what is read together."""

    rules = (LEAK,)

    async def __call__(self, message: Sanitized, /) -> Sequence[Finding]:
        found: Counter[str] = Counter()
        for name, text in texts(message):
            if name == "fingerprint":
                found.update({} if _HEXADECIMAL.fullmatch(text) else fires(text))
            elif name not in _NAMED_BY_US:
                found.update(fires(text))
        if not found:
            names = (attachment.name for attachment in message.attachments)
            found.update(fires("\n".join((message.author_name, message.subject, message.text, *names))))
        return (Finding(LEAK, {"spans": found.total(), "kinds": len(found)}),) if found else ()


class SafeForms:
    """No markup, no control characters but line breaks and tabs, no overrides of the reading direction."""

    rules = (UNSAFE,)

    async def __call__(self, message: Sanitized, /) -> Sequence[Finding]:
        controls = markup = 0
        for name, text in texts(message):
            controls += len(_CONTROL.findall(text)) + (0 if name in _MANY_LINES else len(_BREAK.findall(text)))
            markup += len(_TAG.findall(text)) if name not in ("message_id", "references") else 0
        return (Finding(UNSAFE, {"controls": controls, "markup": markup}),) if controls or markup else ()


def texts(value: object, name: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a message, with the name of the field it stands in."""
    if isinstance(value, str):
        yield name, value
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield from texts(getattr(value, field.name), field.name)
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from texts(key, name)
            yield from texts(inner, name)
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from texts(inner, name)

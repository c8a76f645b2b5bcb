"""The examples beside the code are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import gateway.redact

MODULES = ["gateway.redact", "gateway.sanitizing", "gateway.composing", "gateway.notices", "gateway.texts"] + [
    f"gateway.redact.{module.name}" for module in pkgutil.iter_modules(gateway.redact.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_hold(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", ["cards", "codes", "iban", "spanish", "us_ssn"])
def test_every_recognizer_has_examples_and_counter_examples(name: str) -> None:
    text = importlib.import_module(f"gateway.redact.{name}").find.__doc__ or ""
    assert text.count(">>>") >= 1
    assert "[]" in text or name == "codes"

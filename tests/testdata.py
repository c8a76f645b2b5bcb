"""Where third-party test data is: beside the repository, or where VESTIBULE_TESTDATA says. Never copied in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

_BESIDE = Path(__file__).resolve().parent.parent.parent / "shared" / "testdata"


def _folder(name: str) -> Path:
    return Path(os.environ.get("VESTIBULE_TESTDATA", str(_BESIDE))) / "email" / name


def _reason(name: str) -> str:
    return f"the test data {name} isn't here; set VESTIBULE_TESTDATA"


def email_suite(name: str) -> Path:
    """The folder of one suite of emails; the calling test is skipped where it is absent."""
    folder = _folder(name)
    if not folder.is_dir():
        pytest.skip(_reason(name))
    return folder


def email_cases(name: str, load: Callable[[Path], Iterable[tuple[str, Any]]]) -> list[Any]:
    """Parameters for one argument, `load` giving an id and a value for each case of a suite; one that is skipped where
    the suite is absent."""
    folder = _folder(name)
    if not folder.is_dir():
        return [pytest.param(None, id=name, marks=pytest.mark.skip(reason=_reason(name)))]
    return [pytest.param(value, id=id_) for id_, value in load(folder)]

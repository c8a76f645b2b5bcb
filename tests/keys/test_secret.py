"""A Secret leaves by no ordinary path."""

from __future__ import annotations

import copy
import dataclasses
import json
import logging
import pickle
from collections.abc import Callable

import pytest

from keys.secret import Secret

PAN = "4111 1111 1111 1111"


@dataclasses.dataclass(frozen=True)
class Holder:
    text: Secret[str]


@pytest.mark.parametrize(
    "way",
    [
        str, "{}".format, lambda s: f"{s}", lambda s: f"{s:>30}", lambda s: "%s" % s,  # noqa: UP031
        pickle.dumps, json.dumps,
        lambda s: "a" + s, lambda s: bytes(s), lambda s: "".join(s), lambda s: list(s),
    ],
)  # fmt: skip
def test_no_ordinary_path_gives_the_value(way: Callable[[Secret[str]], object]) -> None:
    with pytest.raises(TypeError) as refused:
        way(Secret(PAN))
    assert PAN not in str(refused.value)


def test_repr_shows_only_the_length_even_inside_others() -> None:
    assert repr(Secret(PAN)) == "Secret(<19>)"
    assert PAN not in repr(Holder(Secret(PAN)))
    assert PAN not in repr(dataclasses.asdict(Holder(Secret(PAN))))
    assert PAN not in repr(copy.deepcopy(Holder(Secret(PAN))))
    assert not hasattr(Secret(PAN), "__dict__")


def test_logging_prints_no_value(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("test.secret")
    logger.propagate = False
    handler = logging.StreamHandler()
    logger.addHandler(handler)
    logger.warning("body %s", Secret(PAN))
    logger.warning("body %r", Holder(Secret(PAN)))
    logger.removeHandler(handler)
    assert PAN not in capsys.readouterr().err


def test_secrets_compare_by_value_and_cannot_be_keys() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret(b"a") != b"a"
    with pytest.raises(TypeError):
        hash(Secret("a"))

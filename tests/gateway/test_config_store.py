"""The store's URL: where the file is, and whose password it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from gateway.config import build
from gateway.errors import ConfigError


def url(folder: Path, **store: str) -> str:
    listener = {"port": 0, "starttls": "none"}
    return build({"store": store, "edge": {"listeners": [listener]}}, base=folder).store_url


def test_a_relative_sqlite_file_stands_beside_the_configuration(tmp_path: Path) -> None:
    assert url(tmp_path, url="sqlite:///var/v.db") == f"sqlite:///{tmp_path}/var/v.db"


def test_the_password_comes_from_its_file_and_may_hold_any_character(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("p@ss/w:rd %41#?\n")
    made = make_url(url(tmp_path, url="postgresql://edge@database/vestibule", password_file="password"))
    assert made.drivername == "postgresql+psycopg"
    assert (made.username, made.password) == ("edge", "p@ss/w:rd %41#?")
    assert (made.host, made.database) == ("database", "vestibule")


def test_without_a_user_the_environment_of_the_role_names_it(tmp_path: Path) -> None:
    """libpq's PGUSER: so one file serves all roles."""
    (tmp_path / "password").write_text("secret")
    made = make_url(url(tmp_path, url="postgresql://database/vestibule", password_file="password"))
    assert made.get_dialect()().create_connect_args(made)[1] == {
        "host": "database", "dbname": "vestibule", "password": "secret",
    }  # fmt: skip


def test_a_password_file_that_is_away_is_named_and_nothing_of_it_is_shown(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"store\.password_file") as caught:
        url(tmp_path, url="postgresql://database/vestibule", password_file="gone")
    assert caught.value.__cause__ is None

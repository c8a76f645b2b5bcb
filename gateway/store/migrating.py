"""Bringing the tables up to date with Alembic, and then the grants."""

from __future__ import annotations


def upgrade(url: str) -> None:
    raise NotImplementedError


def current(url: str) -> str:
    raise NotImplementedError

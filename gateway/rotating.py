"""Rotating by hand what otherwise rotates by itself, and the root keys at rest, which nobody rotates but a person.

Rule: a new key is used from now on; the older ones open what they sealed until nothing bears their id any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from keys import keyring
from keys.box import Purpose

AT_REST: Final = "atrest"
PURPOSES: Final = (*(purpose.value for purpose in Purpose), AT_REST)
_ROOTS: Final = (("inspector", "atrest"), ("shared", "desk-atrest"))


def rotate_keys(folder: Path, purposes: Sequence[str]) -> list[tuple[str, str]]:
    """The purposes, each with the id of its new key. Raises KeysError."""
    made: list[tuple[str, str]] = []
    rotation = keyring.Rotation(folder)
    for purpose in purposes:
        if purpose == AT_REST:
            for role, prefix in _ROOTS:
                path = keyring.new_root(folder / role, prefix)
                made.append((prefix, path.stem.rpartition(".")[2]))
        else:
            made.append((purpose, rotation.rotate(Purpose(purpose))))
    return made

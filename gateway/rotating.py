"""Rotating by hand what otherwise rotates by itself, and the root keys at rest, which nobody rotates but a person.

Rules:
1. A new key is used from now on; the older ones open what they sealed. The inspector destroys old spool, reply and
   request keys when nothing bears their id any more; outbox keys and roots at rest are kept.
2. Roles read the roots at rest when they start: whoever rotates those restarts every role.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from keys import keyring
from keys.box import Purpose

AT_REST: Final = "atrest"
BOXES: Final = tuple(purpose.value for purpose in Purpose)
PURPOSES: Final = (*BOXES, AT_REST)
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

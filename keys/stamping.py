"""Making stamps: the key process holds the stamp's signing key; see `keys.stamp` for what a stamp covers."""

from __future__ import annotations

from keys.box import SigningKey, VerifyKey
from keys.stamp import StampedHead, StampedRow


class Stamper:
    def __init__(self, key: SigningKey) -> None:
        self._key = key

    @property
    def public(self) -> VerifyKey:
        return self._key.public

    def stamp(self, *stamped: StampedRow | StampedHead) -> tuple[bytes, ...]:
        """64 bytes for each."""
        return tuple(self._key.sign(one.encode()) for one in stamped)

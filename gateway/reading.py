"""What is counted and noted while one message is read, and the one way to say that it is too much."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway import limits
from gateway.errors import VestibuleError
from gateway.opened import Oddity


class TooMuch(VestibuleError):
    """A message passes a limit of reading. `reason` is a fixed token, such as "parts" or "header-block"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Reading:
    """What is counted and noted while one message is read, through all of its layers."""

    parts: int = 0
    unpacked: int = 0
    oddities: dict[Oddity, None] = field(default_factory=dict)

    def note(self, oddity: Oddity) -> None:
        self.oddities[oddity] = None

    def part(self) -> None:
        self.parts += 1
        if self.parts > limits.MIME_PARTS:
            raise TooMuch("parts")

    def unpack(self, octets: int) -> None:
        self.unpacked += octets
        if self.unpacked > limits.UNPACKED_BYTES:
            raise TooMuch("unpacked")

"""Limits of the key process and of OpenPGP, as one value that the gateway hands in (from its `gateway/limits.py`).
Sizes in bytes, times in seconds.

Rule: what passes a limit is an error with a name, never a truncation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CONTROL_BYTES: Final = 32_768  # one packet on the control socket; what is larger travels as a memory file
CONTROL_SECONDS: Final = 60.0  # a parent's call; gpg's own limit lies below
FEED_BATCH: Final = 200  # certificates of one gpg run: 7 ms each
NICENESS: Final = 10  # of what opens messages: who waits for a 250, or for a stamp, comes first
START_SECONDS: Final = 20.0  # Python, our imports, gpg-agent
ADDRESS_BYTES: Final = 320  # RFC 5321: 64 + "@" + 255
STATUS_LINES: Final = 2_000  # gpg writes some ten per signature and recipient
STATUS_BYTES: Final = 262_144
CERTIFICATES_PER_IMPORT: Final = 5  # one person's, not a key ring
MAILBOX_KEY_SECONDS: Final = 2 * 365 * 86_400  # then it is renewed; an expired one still reads
CUSTOMERS_MAX: Final = 100_000  # of the directory in memory


def feed_seconds(certificates: int) -> float:
    """For telling a new key process all certificates."""
    return CONTROL_SECONDS + certificates * 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    plaintext_bytes: int = 52_428_800  # per layer, after decompression
    ciphertext_bytes: int = 27_262_976  # 25 MiB and a little for frames
    certificate_bytes: int = 262_144  # certificate flooding
    signatures: int = 10
    recipients: int = 100  # session-key packets of one message; what a list of people needs
    hidden_recipients: int = 4  # each is tried with each of our keys
    gpg_seconds: float = 20.0
    gpg_at_once: int = 2  # gpg-agent gains nothing beyond two
    gpg_wait_seconds: float = 30.0  # for a free place
    openers: int = 32  # processes at once; beyond, the caller tries again
    opener_seconds: float = 40.0
    opener_requests: int = 64

    @property
    def frame_bytes(self) -> int:
        """One frame between opener and worker: a plaintext, or ciphertext, and its small change."""
        return max(self.plaintext_bytes, self.ciphertext_bytes) + 65_536

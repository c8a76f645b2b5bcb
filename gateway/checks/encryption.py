"""What became of encrypted content, and whether the mailbox's demand for encryption is met."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from channels.contract import Demand
from gateway.opened import Failure, Opened, Protection
from gateway.rules import Action, Code, Finding, Rule, Token

_SAYS: Final = "The encrypted content could not be opened"

ENCRYPTION_ABSENT: Final = Rule(
    Code("encryption.absent"), Action.HOLD, "This mailbox takes encrypted messages only", "7.5",
    "This mailbox demands encryption, and the message, or a part of it, was not encrypted.",
)  # fmt: skip
ENCRYPTION_CLEAR: Final = Rule(
    Code("encryption.clear"), Action.ACCEPT, "Accepted without encryption", "7.5",
    "The message was not end-to-end encrypted.",
)  # fmt: skip
ENCRYPTION_MIXED: Final = Rule(
    Code("encryption.mixed"), Action.HOLD, "Encrypted and clear text must not be mixed", "7.5",
    "Clear text stands around encrypted text. Attackers wrap caught encrypted text like this to have it opened.",
)  # fmt: skip
ENCRYPTION_PARTIAL: Final = Rule(
    Code("encryption.partial"), Action.ACCEPT, "Accepted; only a part was encrypted", "7.5",
    "Only some parts of the message were encrypted.",
)  # fmt: skip
NO_KEY: Final = Rule(
    Code("pgp.no-key"), Action.HOLD, _SAYS, "7.5",
    "The message is encrypted to a key that we don't have.",
)  # fmt: skip
TAMPERED: Final = Rule(
    Code("pgp.tampered"), Action.HOLD, _SAYS, "7.7",
    "The encrypted content was changed after it was encrypted, or its integrity isn't protected. None of it was used.",
)  # fmt: skip
FAILED: Final = Rule(
    Code("pgp.failed"), Action.HOLD, _SAYS, "6.0",
    "The encrypted content is damaged or took too long to open.",
)  # fmt: skip
TOO_LARGE: Final = Rule(
    Code("pgp.too-large"), Action.HOLD, _SAYS, "3.4",
    "The encrypted content unpacks to more than we take.",
)  # fmt: skip
TOO_DEEP: Final = Rule(
    Code("pgp.too-deep"), Action.HOLD, _SAYS, "6.0",
    "Encryption stands within encryption, more often than any honest program nests it.",
)  # fmt: skip
UNAVAILABLE: Final = Rule(
    Code("pgp.unavailable"), Action.DEFER, "Temporary failure, try again later", "3.0",
    "Our own decryption was not available. The message is tried again.",
)  # fmt: skip
UNSUPPORTED: Final = Rule(
    Code("crypto.unsupported"), Action.HOLD, "The encrypted content is in a format that is not supported", "7.6",
    "The message is encrypted or signed in a format that we can't open (such as S/MIME).",
)  # fmt: skip

_BY_FAILURE: Final = {
    Failure.NO_KEY: NO_KEY,
    Failure.TAMPERED: TAMPERED,
    Failure.BAD_DATA: FAILED,
    Failure.TOO_SLOW: FAILED,
    Failure.TOO_LARGE: TOO_LARGE,
    Failure.TOO_DEEP: TOO_DEEP,
    Failure.UNAVAILABLE: UNAVAILABLE,
    Failure.UNSUPPORTED: UNSUPPORTED,
}


class EncryptionDemanded:
    """REQUIRED: everything must have been encrypted. PREFERRED: a remark."""

    rules = (ENCRYPTION_ABSENT, ENCRYPTION_CLEAR, ENCRYPTION_PARTIAL, ENCRYPTION_MIXED)

    async def __call__(self, message: Opened, /) -> Sequence[Finding]:
        demand = message.inbound.terms.encryption
        found: list[Finding] = []
        if message.protection is not Protection.FULL and demand is Demand.REQUIRED:
            found.append(Finding(ENCRYPTION_ABSENT, {"protection": Token(message.protection)}))
        elif message.protection is Protection.NONE and demand is Demand.PREFERRED:
            found.append(Finding(ENCRYPTION_CLEAR))
        if message.protection is Protection.PARTIAL:
            shown = {part.encrypted for part in message.parts if part.shown}
            found.append(Finding(ENCRYPTION_MIXED if len(shown) == 2 else ENCRYPTION_PARTIAL))
        return found


class Decryption:
    """Everything that was encrypted could be opened, whole and unchanged."""

    rules = (NO_KEY, TAMPERED, FAILED, TOO_LARGE, TOO_DEEP, UNAVAILABLE, UNSUPPORTED)

    async def __call__(self, message: Opened, /) -> Sequence[Finding]:
        return [Finding(_BY_FAILURE[failure], {"failure": Token(failure)}) for failure in message.failures]

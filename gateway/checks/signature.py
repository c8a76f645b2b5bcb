"""What the signatures are worth. Only a verified one may be shown as such; every other says why it is not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.opened import Opened, SignerStatus
from gateway.rules import Action, Code, Finding, Rule, Token

_SAYS: Final = "The signature does not hold"

BAD: Final = Rule(
    Code("signature.bad"), Action.HOLD, _SAYS, "7.7",
    "The signature doesn't fit the text: it was changed after signing, or the signature is from elsewhere.",
)  # fmt: skip
MISMATCH: Final = Rule(
    Code("signature.mismatch"), Action.HOLD, _SAYS, "7.7",
    "The signature is by the certificate of somebody else than the sender.",
)  # fmt: skip
UNKNOWN: Final = Rule(
    Code("signature.unknown"), Action.ACCEPT, "Accepted; the signature could not be checked", "7.7",
    "The message is signed with a key that we don't know. Nothing is proven by it.",
)  # fmt: skip
PARTIAL: Final = Rule(
    Code("signature.partial"), Action.ACCEPT, "Accepted; the signature covers only a part", "7.7",
    "The sender's signature is good, but covers only a part of what is shown.",
)  # fmt: skip
EXPIRED: Final = Rule(
    Code("signature.expired"), Action.ACCEPT, "Accepted; the signature has expired", "7.7",
    "The signature, or the sender's key, has expired.",
)  # fmt: skip
REVOKED: Final = Rule(
    Code("signature.revoked"), Action.HOLD, _SAYS, "7.7",
    "The key that signed was withdrawn by its owner: somebody else may have it.",
)  # fmt: skip
WEAK: Final = Rule(
    Code("signature.weak"), Action.ACCEPT, "Accepted; the signature is too weak", "7.7",
    "The signature uses a method that can be forged today. Nothing is proven by it.",
)  # fmt: skip
ERROR: Final = Rule(
    Code("signature.error"), Action.ACCEPT, "Accepted; the signature could not be read", "7.7",
    "The signature is damaged, or in a format that we can't check. Nothing is proven by it.",
)  # fmt: skip

_BY_STATUS: Final = {
    SignerStatus.BAD: BAD,
    SignerStatus.MISMATCH: MISMATCH,
    SignerStatus.UNKNOWN_KEY: UNKNOWN,
    SignerStatus.PARTIAL: PARTIAL,
    SignerStatus.EXPIRED: EXPIRED,
    SignerStatus.EXPIRED_KEY: EXPIRED,
    SignerStatus.REVOKED_KEY: REVOKED,
    SignerStatus.WEAK: WEAK,
    SignerStatus.ERROR: ERROR,
}


class Signatures:
    rules = (BAD, MISMATCH, UNKNOWN, PARTIAL, EXPIRED, REVOKED, WEAK, ERROR)

    async def __call__(self, message: Opened, /) -> Sequence[Finding]:
        return [
            Finding(rule, {"status": Token(signature.status), "covers": Token(signature.covers)})
            for signature in message.signatures
            if (rule := _BY_STATUS.get(signature.status)) is not None
        ]

"""What a reply must be before it may leave: protected as its conversation demands, sound, and addressed to somebody."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from gateway import limits
from gateway.notices import words
from gateway.policy import way
from gateway.reply import Protect, Reply
from gateway.rules import Action, Code, Finding, Rule, Token

DOWNGRADE: Final = Rule(
    Code("outbound.downgrade"), Action.REJECT, "The reply can't be sent in clear", "7.5",
    "This reply may not leave unencrypted, and we have no certificate of the customer's to encrypt it to.",
)  # fmt: skip
MALFORMED: Final = Rule(
    Code("outbound.malformed"), Action.REJECT, "The reply has a control character where none may stand", "6.0",
    "A line break or control character stands in the subject, an address or an identifier. Nothing was sent.",
)  # fmt: skip
RECIPIENT: Final = Rule(
    Code("outbound.recipient"), Action.REJECT, "The reply has no usable recipient", "1.3",
    "The customer's address can't be written to as it stands.",
)  # fmt: skip
EMPTY: Final = Rule(
    Code("outbound.empty"), Action.REJECT, "The reply is empty", "6.0",
    "There is nothing in the reply but blanks.",
)  # fmt: skip
TOO_LONG: Final = Rule(
    Code("outbound.too-long"), Action.REJECT, "The reply is too long", "3.4",
    "The reply is longer than we send as one message; split it.",
)  # fmt: skip

_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_IN_TEXT: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_MESSAGE_ID: Final = re.compile(r"<[!-;=?-~]{1,900}@?[!-;=?-~]{0,900}>")
_ADDRESS: Final = re.compile(r"[^\s@<>(),;:\\\"\[\]\x00-\x1f\x7f]{1,64}@(?:[^\s@<>(),;:\\\"\[\]\x00-\x20\x7f]{1,255})")
_QUOTED: Final = re.compile(r"\"(?:[ !#-\[\]-~]|\\[ -~]){1,62}\"@[A-Za-z0-9.-]{1,255}")


class NoDowngrade:
    """What came encrypted is answered encrypted; clear takes the mailbox's consent, and that the agent wasn't
    promised otherwise (`gateway.policy`)."""

    rules = (DOWNGRADE,)

    async def __call__(self, message: Reply, /) -> Sequence[Finding]:
        how, why = way(message)
        return (Finding(DOWNGRADE, {"why": Token(why)}),) if how is Protect.BLOCKED else ()


class Sound:
    """Nothing that would end a header line or a text early; one recipient; something to say, and not too much."""

    rules = (MALFORMED, RECIPIENT, EMPTY, TOO_LONG)

    async def __call__(self, message: Reply, /) -> Sequence[Finding]:
        said = words(message)
        subject, text = said.subject.reveal(), said.text.reveal()
        found: list[Finding] = []
        places = {
            "subject": bool(_CONTROL.search(subject)),
            "recipient": bool(_CONTROL.search(message.to)),
            "text": bool(_IN_TEXT.search(text)),
            "number": bool(_CONTROL.search(message.number)),
            "message-id": not _MESSAGE_ID.fullmatch(message.message_id),
            "in-reply-to": bool(message.in_reply_to) and not _MESSAGE_ID.fullmatch(message.in_reply_to),
            "references": not all(_MESSAGE_ID.fullmatch(reference) for reference in message.references),
        }
        found.extend(Finding(MALFORMED, {"where": Token(place)}) for place, wrong in places.items() if wrong)
        if not (_ADDRESS.fullmatch(message.to) or _QUOTED.fullmatch(message.to)):
            found.append(Finding(RECIPIENT))
        if not text.strip():
            found.append(Finding(EMPTY))
        if len(text) > limits.REPLY_CHARACTERS or len(subject) > limits.SUBJECT_CHARACTERS:
            found.append(Finding(TOO_LONG))
        return found

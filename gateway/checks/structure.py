"""Structure that readers disagree on. What only attackers make is held; what broken programs make too is remarked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.opened import Oddity, Opened
from gateway.rules import Action, Code, Finding, Rule, Token

_HELD: Final = "The structure of the message is ambiguous"
_TAKEN: Final = "Accepted with a remark on its structure"


def _rule(oddity: Oddity, action: Action, plain: str) -> Rule:
    return Rule(Code(f"structure.{oddity}"), action, _TAKEN if action is Action.ACCEPT else _HELD, "6.0", plain)


BY_ODDITY: Final = {
    oddity: _rule(oddity, action, plain)
    for oddity, action, plain in (
        (Oddity.SEVERAL_FROM, Action.HOLD, "Several senders are named; programs disagree on which one to show."),
        (Oddity.NO_FROM, Action.HOLD, "No sender is named."),
        (Oddity.UNREADABLE_FROM, Action.HOLD, "Who sent it can't be read for certain; programs would guess."),
        (Oddity.DUPLICATE_HEADER, Action.HOLD, "A header line that may stand once stands several times."),
        (Oddity.DUPLICATE_CONTENT_HEADER, Action.HOLD, "A part says twice, differently, what it contains."),
        (Oddity.CONFLICTING_TRANSFER_ENCODING, Action.HOLD, "A part says twice, differently, how it is encoded."),
        (Oddity.UNKNOWN_TRANSFER_ENCODING, Action.ACCEPT, "A part is encoded in a way that nobody defines."),
        (Oddity.BAD_BASE64, Action.ACCEPT, "A part's encoding is damaged."),
        (Oddity.NO_BOUNDARY, Action.HOLD, "The message has parts but doesn't say where they begin."),
        (Oddity.BOUNDARY_UNUSED, Action.HOLD, "The message has parts, but none where it says."),
        (Oddity.BOUNDARY_UNCLOSED, Action.ACCEPT, "The message ends in the middle of a part."),
        (Oddity.BOUNDARY_CLASH, Action.HOLD, "Programs disagree on where the message's parts begin."),
        (Oddity.TEXT_AFTER_END, Action.ACCEPT, "Text stands after the end of the message, where no program shows it."),
        (Oddity.ENCODED_MULTIPART, Action.HOLD, "A part that holds others is itself encoded, which is forbidden."),
        (Oddity.UNKNOWN_CHARSET, Action.ACCEPT, "A part is written in an unknown character set; letters may be wrong."),
        (Oddity.UNDECODABLE_TEXT, Action.ACCEPT, "Some letters of the text could not be read."),
        (Oddity.CONTROL_CHARACTERS, Action.ACCEPT, "The text held invisible control characters; they were taken out."),
        (Oddity.LONG_HEADER, Action.ACCEPT, "A header line that we don't read is very long."),
        (Oddity.BARE_NEWLINE, Action.ACCEPT, "Line ends are of several kinds."),
        (Oddity.NUL, Action.HOLD, "The message holds zero bytes, at which some programs stop reading."),
        (Oddity.BAD_HEADER, Action.ACCEPT, "A header line is malformed."),
        (Oddity.HEADER_BODY_GAP, Action.HOLD, "Programs disagree on where the header ends and the text begins."),
        (Oddity.PHONY_PROTECTED_HEADER, Action.ACCEPT, "A part claims a protected header that nothing protects."),
        (Oddity.OUTER_INNER_FROM_DIFFER, Action.HOLD, "The sender inside the protected message is another one."),
        (Oddity.HIDDEN_TEXT, Action.ACCEPT, "The formatted version holds text that readers would not see."),
        (Oddity.ALTERNATIVES_DIFFER, Action.ACCEPT, "The plain and the formatted version say different things."),
        (Oddity.REPAIRED, Action.ACCEPT, "A mail server had damaged the encrypted message; we repaired it."),
    )
}  # fmt: skip
EXCESS: Final = Rule(
    Code("structure.excess"), Action.HOLD, "The message passes a limit of what is read", "3.4",
    "The message passes a limit of what we read (such as the number of its parts), so not all of it is shown.",
)  # fmt: skip


class Structure:
    rules = (*BY_ODDITY.values(), EXCESS)

    async def __call__(self, message: Opened, /) -> Sequence[Finding]:
        found = [Finding(BY_ODDITY[oddity]) for oddity in message.oddities]
        if message.excess:
            found.append(Finding(EXCESS, {"limit": Token(message.excess)}))
        return found

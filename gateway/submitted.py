"""Submitted files: a raw message as it would have come over the wire, for `vestibule explain`.

Rules:
1. A file whose lines all end in LF alone is a message as it lies on a disk; it is given CRLF, as any client would.
2. Where line ends are mixed, or a line or the whole passes a limit, the session would have refused it: that is a
   finding of the layer "session", and the message is examined all the same.
3. An mbox's "From " line in front is no part of the message (RFC 4155).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from channels.email.data_reader import DataReader, Endless, Fault
from channels.email.headers import beginning, to_crlf
from channels.email.session import FAULTS
from gateway import limits
from gateway.rules import Action, Code, Finding, Rule

LAYER: Final = "session"

_PLAIN: Final = {
    Fault.BARE_NEWLINE: "A line ends in a bare CR or LF: readers disagree on where such a message ends.",
    Fault.NUL: "There is a NUL byte in it, which no mail program sends.",
    Fault.LONG_LINE: "A line is longer than any mail program sends.",
    Fault.TOO_LARGE: "It is larger than a message may be.",
    Fault.NO_MEMORY: "There was no room for it.",
}


def _rule(fault: Fault) -> Rule:
    code, status, says = FAULTS[fault].split(" ", 2)
    action = Action.DEFER if code.startswith("4") else Action.REJECT
    return Rule(Code("session." + fault.name.lower().replace("_", "-")), action, says, status[2:], _PLAIN[fault])


RULES: Final = {fault: _rule(fault) for fault in Fault}
UNKNOWN_RECIPIENT: Final = Rule(
    Code("session.no-mailbox"), Action.REJECT, "No such mailbox", "1.1", "None of our mailboxes has this address."
)
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Submitted:
    """`raw` has CRLF line ends only, whatever the file had."""

    raw: bytes = field(repr=False)
    findings: tuple[Finding, ...]


def submitted(content: bytes) -> Submitted:
    """What the session would have made of a file's content."""
    content = to_crlf(content[beginning(content) :])
    fault = _fault(content)
    if fault is None:
        return Submitted(content, ())
    if fault is Fault.TOO_LARGE:
        content = content[: limits.MESSAGE_BYTES]
    return Submitted(_LINE_END.sub(b"\r\n", content), (Finding(RULES[fault]),))


def _fault(content: bytes) -> Fault | None:
    reader = DataReader(max_bytes=limits.MESSAGE_BYTES, line_bytes=limits.LINE_BYTES_HARD)
    stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
    end = b".\r\n" if stuffed.endswith(b"\r\n") or not stuffed else b"\r\n.\r\n"
    try:
        if reader.feed(stuffed + end) is None:
            return Fault.BARE_NEWLINE
    except Endless:
        return Fault.TOO_LARGE
    return reader.fault

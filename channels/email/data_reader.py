"""The content of DATA (RFC 5321, section 4.1.1.4), chunk by chunk, in linear time.

Rules:
1. Only CRLF.CRLF ends it. Content with a bare CR, a bare LF, a NUL or a line beyond the limit is refused as a whole:
   readers disagree on where such lines end, and that is how messages are smuggled (CVE-2023-51764 and its kin).
2. A fault is found in the chunk that has it, and from then on nothing is kept: an endless line costs no memory. The
   rest is passed over up to the real end, so that the peer is there to hear the answer; up to a bound.
3. Leading dots are unstuffed (section 4.5.2).
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final

END: Final = b"\r\n.\r\n"


class Fault(Enum):
    BARE_NEWLINE = auto()
    NUL = auto()
    LONG_LINE = auto()
    TOO_LARGE = auto()
    NO_MEMORY = auto()


class Endless(Exception):
    """Refused content that goes on beyond all bounds."""


class DataReader:
    """Feed it chunks until it gives back what came after the end."""

    __slots__ = ("_checked", "_content", "_end", "_line_bytes", "_max_bytes", "_passed_over", "fault", "received")

    def __init__(self, *, max_bytes: int, line_bytes: int) -> None:
        self._max_bytes, self._line_bytes = max_bytes, line_bytes + 2
        self._content = bytearray(b"\r\n")  # as if a line had ended: a dot at once is an end too
        self._checked = 2
        self._end = -1
        self._passed_over = 0
        self.fault: Fault | None = None
        self.received = 0

    @property
    def held(self) -> int:
        """Bytes kept in memory."""
        return len(self._content)

    def feed(self, chunk: bytes | bytearray) -> bytes | None:
        """None: go on. Bytes: the end was found, and these came after it. Raises Endless."""
        before = len(self._content)
        self._content += chunk
        self.received += len(chunk)
        end = self._content.find(END, max(before - len(END) + 1, 0))
        if self.fault is None:
            self._check(len(self._content) if end < 0 else end + 2)
        if end >= 0:
            rest = bytes(memoryview(self._content)[end + len(END) :])
            self._end = end + 2
            if self.fault is not None:
                self._content.clear()
            return rest
        if self.fault is not None:
            self._pass_over()
        return None

    def stop(self, fault: Fault) -> None:
        """Refuses from outside; what is kept is dropped."""
        if self.fault is None:
            self.fault = fault
            self._pass_over()

    def content(self) -> bytes:
        """The message, once the end was found and there is no fault."""
        if self._end < 0 or self.fault is not None:
            raise ValueError("there is none")
        if self._content.find(b"\r\n.", 0, self._end) < 0:
            return bytes(memoryview(self._content)[2 : self._end])
        return bytes(memoryview(self._content)[: self._end]).replace(b"\r\n.", b"\r\n")[2:]

    def _pass_over(self) -> None:
        self._passed_over += len(self._content)
        del self._content[: 1 - len(END)]
        if self._passed_over > 2 * self._max_bytes:
            raise Endless

    def _check(self, until: int) -> None:
        """Looks at whole lines that weren't looked at yet."""
        content, start = self._content, self._checked
        last = content.rfind(b"\r\n", start, until)
        if last >= start:
            stop = last + 2
            lines = content.count(b"\r\n", start, stop)
            if content.count(b"\n", start, stop) != lines or content.count(b"\r", start, stop) != lines:
                self.fault = Fault.BARE_NEWLINE
            elif content.count(0, start, stop):
                self.fault = Fault.NUL
            elif not self._short_lines(start, stop):
                self.fault = Fault.LONG_LINE
            self._checked = stop
        if self.fault is None:
            if until - self._checked > self._line_bytes:
                self.fault = Fault.LONG_LINE
            elif until - 2 > self._max_bytes:
                self.fault = Fault.TOO_LARGE

    def _short_lines(self, start: int, stop: int) -> bool:
        """Jumps from line end to line end, each time as far as the limit lets it."""
        while stop - start > self._line_bytes:
            end = self._content.rfind(b"\r\n", start, start + self._line_bytes)
            if end < 0:
                return False
            start = end + 2
        return True

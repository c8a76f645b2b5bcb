"""Openers that serve a few messages each, under fast recycling: a fork a message costs more than most messages do.

Rules:
1. One message at a time; a number of messages and a few seconds end an opener's life, so that what it has seen and what
   it knows of the directory are soon gone.
2. When certificates have changed, those that began before are let go (`clear`).
3. Only for what comes in. A reply's opener signs and seals; it serves that one reply alone, always.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from dataclasses import dataclass

from gateway import limits
from gateway.ids import Clock
from keys.agent_client import AgentClient, hand_over
from keys.box import Binding
from keys.errors import Unavailable


@dataclass(slots=True, eq=False)
class Line:
    """Our end of one opener's line. `left`: so many messages may still go over it; `until` by the monotonic clock."""

    socket: socket.socket
    left: int
    until: float


class Openers:
    def __init__(self, agent: AgentClient, clock: Clock, messages: int) -> None:
        self._agent, self._clock, self._messages = agent, clock, messages
        self._idle: list[Line] = []
        self._known: set[Line] = set()

    def begin(self, sock: socket.socket, box: bytes, binding: Binding) -> Line | None:
        """Hands the message to an opener; the line is to be given back. None while no key process is there."""
        while self._idle:
            line = self._idle.pop()
            if line.until > self._clock.monotonic():
                with suppress(Unavailable):
                    return self._hand_over(line, sock, box, binding)
            self.drop(line)
        fresh = self._new()
        return None if fresh is None else self._hand_over(fresh, sock, box, binding)

    def give_back(self, line: Line) -> None:
        """The message is done with."""
        if line.left > 0 and line in self._known:
            self._idle.append(line)
        else:
            self.drop(line)

    def clear(self) -> None:
        """None of those that there are gets another message."""
        self._known.clear()
        while self._idle:
            self.drop(self._idle.pop())

    def _new(self) -> Line | None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            if not self._agent.begin_several(theirs, self._messages, limits.FAST_OPENER_SECONDS):
                ours.close()
                return None
        # a little earlier than the opener itself, so that none is handed over to one that is leaving
        line = Line(ours, self._messages, self._clock.monotonic() + limits.FAST_OPENER_SECONDS - 2)
        self._known.add(line)
        return line

    def _hand_over(self, line: Line, sock: socket.socket, box: bytes, binding: Binding) -> Line:
        hand_over(line.socket, sock, box, binding)
        line.left -= 1
        return line

    def drop(self, line: Line) -> None:
        """It gets no other message: its time is over, or a message ended otherwise than well."""
        self._known.discard(line)
        line.socket.close()

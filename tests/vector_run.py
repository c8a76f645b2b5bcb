"""Running vectors: each through a real gateway, all of them in one; what came of each.

    run = Run(whole, vectors)
    run.all()
    run.came["structure/several-from"].decision

Rules:
1. Nothing is mocked: SMTP socket, ADMISSION, spool, worker with its sandbox and key process, queue, desk over HTTPS.
2. What a vector came to is read as people read it: an agent's and a supervisor's session at the desk.
3. Whatever the gateway accepted must be accounted for: no message that no vector sent, none missing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from clients import Client
from vector_format import Vector, crlf, unescaped
from vector_letters import raw
from whole import Whole

QUEUED = re.compile(r"Queued as ([0-9A-Z]{26})")


@dataclass(slots=True, kw_only=True)
class Came:
    """What came of one vector. `agent` is the message as the API gives it, None when no agent sees one; `reply` the
    reply's state and reason, `how` how it left."""

    answer: str
    decision: str = ""
    findings: frozenset[str] = frozenset()
    agent: dict[str, Any] | None = None
    reply: tuple[str, str] = ("", "")
    how: str = ""
    queued: int = 0
    row: str = ""
    conversation: str = ""


@dataclass
class Run:
    whole: Whole
    vectors: Sequence[Vector]
    seconds: float = 300.0
    came: dict[str, Came] = field(default_factory=dict)
    raws: dict[str, bytes] = field(default_factory=dict)
    accepted: set[str] = field(default_factory=set)

    def all(self) -> None:
        """Raises AssertionError when the gateway doesn't finish in time."""
        with ThreadPoolExecutor(4) as pool:
            self.raws = dict(zip([one.name for one in self.vectors], pool.map(_built, self.vectors), strict=True))
            list(pool.map(self._send, self.vectors))
        self._collect()
        self._reply()

    # --- in

    def _send(self, vector: Vector) -> None:
        if vector.channel == "wire":
            self.came[vector.name] = self._converse(vector)
            return
        message = self.raws[vector.name]
        if vector.before:
            self._accept(self._hand_in(vector, other_author(message, vector.before), vector.before))
        answer = self._hand_in(vector, message, vector.sender)
        came = self.came[vector.name] = Came(answer=answer)
        came.row = self._accept(answer)
        if not came.row:
            came.decision = "reject" if answer.startswith("5") else "defer"

    def _hand_in(self, vector: Vector, message: bytes, sender: str | None) -> str:
        answers: list[str] = []
        answer = self.whole.hand_in(
            message, sender=sender, to=vector.to, tls=vector.tls, peer=vector.peer, helo=vector.helo,
            repeat=vector.repeat, answers=answers,
        )  # fmt: skip
        for one in answers:
            self._accept(one)
        return answer

    def _accept(self, answer: str) -> str:
        found = QUEUED.search(answer)
        if found:
            self.accepted.add(found[1])
        return found[1] if found else ""

    def _converse(self, vector: Vector) -> Came:
        """A script: `S: prefix` waits for a reply that begins so, `C: bytes` sends, `TLS` shakes hands, `GONE` waits
        for the end of the connection."""
        heard: list[str] = []
        with Client(self.whole.smtp_port, seconds=20) as client:
            first = True
            for line in vector.message.decode().splitlines():
                verb, _, text = line.partition(" ")
                if verb == "C:":
                    client.send(unescaped(text.encode()))
                elif verb == "TLS":
                    client.wrap()
                elif verb in ("S:", "GONE"):
                    reply = client.greeting if first else client.hear()
                    heard.append(reply)
                    first = False
                    wanted = "" if verb == "GONE" else text
                    assert reply.startswith(wanted), (vector.name, line, heard)
                    assert verb != "GONE" or not reply, (vector.name, line, heard)
                elif line and not line.startswith("#"):
                    raise AssertionError(f"{vector.name}: what is {line!r}?")
        rows = [self._accept(reply) for reply in heard]
        return Came(answer=heard[-1], decision=vector.expect, queued=sum(bool(row) for row in rows))

    # --- out

    def _collect(self) -> None:
        """Waits until each message that was taken stands in the queue or among the held."""
        agent, supervisor = self.whole.agent, self.whole.supervisor
        until = time.monotonic() + self.seconds
        queued: dict[str, Any] = {}
        held: dict[str, Any] = {}
        while not self.accepted <= queued.keys() | held.keys():
            assert time.monotonic() < until, self._late(queued.keys() | held.keys())
            assert self.whole.process.poll() is None
            time.sleep(0.25)
            if self.whole.rows("SELECT count(*) FROM spool WHERE state <> 'held'") != [(0,)]:
                continue
            held = {one["id"]: one for one in supervisor.all("/api/held")}
            queued = {one["inbound"]["id"]: one for one in agent.all("/api/conversations?view=open") if one["inbound"]}
            if len(queued.keys() | held.keys()) >= len(self.accepted):
                for id in {one["conversation"]["id"] for one in queued.values()}:
                    opened = agent.get(f"/api/conversations/{id}")
                    assert opened["intact"], id
                    for message in opened["messages"]:
                        queued.setdefault(message["id"], {"inbound": message, "conversation": opened["conversation"]})
        strangers = {
            id for id in queued.keys() | held.keys() if id not in self.accepted
            and queued.get(id, {}).get("inbound", {}).get("direction") in (None, "in")
        }  # fmt: skip
        assert not strangers, [queued.get(id) or held[id] for id in strangers]
        for came in self.came.values():
            if came.row in queued:
                found = queued[came.row]
                came.decision, came.agent = "accept", found["inbound"]["content"]
                came.conversation = found["conversation"]["id"]
                came.findings = frozenset(one["code"] for one in came.agent["trust"]["findings"])
            elif came.row in held:
                found = held[came.row]
                came.decision = "reject" if found["refused"] else "hold"
                came.findings = frozenset(one["code"] for one in found["findings"])

    def _late(self, known: Any) -> str:
        late = [name for name, came in self.came.items() if came.row and came.row not in known]
        return f"not finished: {late[:10]} of {len(self.accepted - set(known))}; {self.whole.log[-5:]}"

    # --- replies

    def _reply(self) -> None:
        wanted = [vector for vector in self.vectors if vector.channel == "reply"]
        ids: dict[str, str] = {}
        for vector in wanted:
            came = self.came[vector.name]
            assert came.conversation, f"{vector.name}: what is to be answered wasn't taken: {came}"
            came.how = self._protection(came.conversation)
            ids[vector.name] = self._answer(vector, came)
        until = time.monotonic() + self.seconds
        while ids:
            assert time.monotonic() < until, f"replies without an end: {list(ids)}"
            for name in tuple(ids):
                state, reason = self._state(self.came[name].conversation, ids[name])
                if state not in ("pending", "sending", ""):
                    self.came[name].reply = (state, reason)
                    self.came[name].decision = "accept" if state == "sent" else "reject"
                    self.came[name].findings = frozenset({reason} if reason else set())
                    del ids[name]
            time.sleep(0.4)

    def _answer(self, vector: Vector, came: Came) -> str:
        """By the desk's API, or (`inject: desk`) as a desk would that checks nothing."""
        text = reply_text(vector)
        if vector.inject == "desk":
            return self.whole.reply(came.conversation, text)
        status, answer = self.whole.agent.post(
            f"/api/conversations/{came.conversation}/replies", {"text": text, "seen": 1}
        )
        assert status == 202, (vector.name, status, answer)
        return str(answer["id"])

    def _protection(self, conversation: str) -> str:
        """How a reply would leave, as the agent is told beforehand; the inspector writes it a moment later."""
        until = time.monotonic() + 20
        while True:
            found = self.whole.agent.get(f"/api/conversations/{conversation}")["protection"]
            if found["why"] != "unknown":
                return str(found["how"])
            assert time.monotonic() < until, found
            time.sleep(0.1)

    def _state(self, conversation: str, reply: str) -> tuple[str, str]:
        for one in self.whole.agent.get(f"/api/conversations/{conversation}/replies")["items"]:
            if one["id"] == reply:
                return one["state"], one["reason"]
        return "", ""


SEPARATOR = b"--- the agent answers\n"


def _built(vector: Vector) -> bytes:
    if vector.channel == "wire":
        return b""
    if vector.channel == "reply":
        from dataclasses import replace

        return raw(replace(vector, message=vector.message.partition(SEPARATOR)[0]))
    return raw(vector)


def reply_text(vector: Vector) -> str:
    text = vector.message.partition(SEPARATOR)[2]
    if text.startswith(b"generate "):
        return "word " * int(text.split()[1])
    return (unescaped(text) if vector.escapes else text).decode("utf-8").removesuffix("\n")


def other_author(message: bytes, address: str) -> bytes:
    """The same content under another's name."""
    head, gap, body = message.partition(b"\r\n\r\n")
    head = re.sub(rb"(?im)^from:[^\r]*", b"From: " + address.encode(), head)
    head = re.sub(rb"(?im)^message-id:[^\r]*", b"Message-ID: <before@vectors.example>", head)
    return head + gap + body


__all__ = ["Came", "Run", "crlf", "other_author", "reply_text"]

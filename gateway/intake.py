"""Intake: judged by ADMISSION, boxed, committed, and only then answered.

    Inbound ─► room? ─► ADMISSION ─► box ─► spool.put ─► Answer

Rules:
1. Nothing is acknowledged before it is durable. What can't be promised is answered "deferred", and nothing is kept; no
   refusal is ever caused by a fault of ours.
2. The commit runs in a task of its own: a sender who hangs up, or a shutdown, doesn't take it back. An answer that came
   too late is mended by the sender's retry, which finds the first message and gets its id.
3. HOLD at admission is acknowledged: the findings travel in the box, and the inspector holds the message.
4. Whatever wasn't accepted is noted with its rule (`turned_away`), which never delays the answer.
5. Under load we defer; no check is skipped. Senders whom we know (a login, DMARC's pass) wait last.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from channels.contract import Answer, Inbound, Result, Verdict
from gateway import limits
from gateway.crossing import pack_admitted
from gateway.errors import StoreDown, StoreError, StoreFull
from gateway.ids import Ids, micros
from gateway.killpoints import Point, reach
from gateway.layers import Layer, Passed, Stopped
from gateway.rules import Action, Code, Rule
from gateway.store.spool import NewSpoolRow, Put
from keys.box import Binding, PublicKeys, Purpose, SigningKey, seal

IN_THREAD_BYTES: Final = 262_144
"""Larger messages are sealed off the event loop: beyond this it takes longer than a thread's hand-over."""

TEMPORARY: Final = Answer(verdict=Verdict.DEFERRED, says="Temporary failure, try again later", status="3.0")
NO_SPACE: Final = Answer(verdict=Verdict.DEFERRED, says="No space just now, try again later", status="3.1")
BUSY: Final = Answer(verdict=Verdict.DEFERRED, says="Busy, try again later", status="3.2")

OURS: Final = {TEMPORARY: Code("intake.failed"), NO_SPACE: Code("intake.full"), BUSY: Code("intake.busy")}
"""What the audit calls answers that no rule has given."""


class Room:
    """Whether there is room for more, as last looked at, so that nothing is sealed in vain (`spool.put` asks again).
    `free`: bytes left on the store's disk, None where that isn't ours to know; `backlog`: rows in the spool."""

    def __init__(
        self,
        free: Callable[[], int | None],
        backlog: Callable[[], Awaitable[int]],
        *,
        reserve: int = max(limits.DISK_RESERVE_BYTES, 2 * limits.MESSAGE_BYTES),
        high: int = limits.BACKLOG_HIGH,
        low: int = limits.BACKLOG_LOW,
    ) -> None:
        self._free, self._backlog = free, backlog
        self._reserve, self._high, self._low = reserve, high, low
        self.full = False
        self.crowded = False

    async def look(self) -> None:
        """Between the two marks `crowded` stays as it was; while the store is away nothing changes."""
        try:
            free = self._free()
            self.full = free is not None and free < self._reserve
            rows = await self._backlog()
        except (OSError, StoreError):
            return
        if rows >= self._high:
            self.crowded = True
        elif rows <= self._low:
            self.crowded = False

    async def watch(self, seconds: float = limits.ROOM_SECONDS) -> None:
        """Looks again and again, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealing:
    """What the edge seals with."""

    public: PublicKeys
    signing: SigningKey

    def box(self, payload: Passed[Inbound], row: str) -> bytes:
        """Raises KeysError."""
        binding = Binding(purpose=Purpose.SPOOL, row=row, channel=payload.message.channel)
        return seal(pack_admitted(payload), to=self.public.current(Purpose.SPOOL), by=self.signing, binding=binding)


class Intake:
    """`channels.contract.Intake`. `put` is `spool.put` with its database; `sender_key` is `rates.Bodies.sender_key`;
    `on_fault` hears of our own errors."""

    def __init__(
        self,
        layer: Layer[Inbound],
        *,
        sealing: Sealing,
        put: Callable[[NewSpoolRow], Awaitable[Put]],
        sender_key: Callable[[str], bytes],
        room: Room,
        ids: Ids,
        on_fault: Callable[[BaseException], None],
        turned_away: Callable[[Verdict, Inbound, Code], None] = lambda verdict, message, code: None,
        commit_seconds: float = limits.COMMIT_SECONDS,
    ) -> None:
        self._turned_away = turned_away
        self._layer, self._sealing, self._put, self._sender_key = layer, sealing, put, sender_key
        self._room, self._ids, self._on_fault = room, ids, on_fault
        self._commit_seconds = commit_seconds
        self._commits: set[asyncio.Task[Answer]] = set()

    async def __call__(self, message: Inbound, /) -> Answer:
        """Raises nothing but CancelledError, and then the commit goes on."""
        answer, code = await self._answer(message)
        if answer.verdict is not Verdict.ACCEPTED:
            self._turned_away(answer.verdict, message, code or OURS[answer])
        return answer

    async def _answer(self, message: Inbound) -> tuple[Answer, Code | None]:
        """And the rule that stopped it; None when it was none, but the state that we are in."""
        if self._room.full:
            return NO_SPACE, None
        if self._room.crowded and not _known(message):
            return BUSY, None
        try:
            passed = await self._admit(message)
        except Stopped as stopped:
            return answer_to(stopped, self._layer), worst(stopped, self._layer).code
        except Exception as error:  # noqa: BLE001 - rule 1
            self._on_fault(error)
            return TEMPORARY, None
        commit = asyncio.ensure_future(self._commit(passed))
        self._commits.add(commit)
        commit.add_done_callback(self._commits.discard)
        done, _ = await asyncio.wait((commit,), timeout=self._commit_seconds)
        return (commit.result() if done else TEMPORARY), None

    async def settle(self) -> None:
        """Waits for commits whose senders have gone; at shutdown, before the database is closed."""
        if self._commits:
            await asyncio.wait(tuple(self._commits))

    async def _admit(self, message: Inbound) -> Passed[Inbound]:
        try:
            return await self._layer.require(message)
        except Stopped as stopped:
            if stopped.decision.action is not Action.HOLD:
                raise
            held = frozenset(
                finding.rule.code
                for finding in stopped.decision.findings
                if self._layer.action(finding.rule) is Action.HOLD
            )
            return await self._layer.waiving(held).require(message)

    async def _commit(self, passed: Passed[Inbound]) -> Answer:
        """Never raises."""
        try:
            message, row = passed.message, self._ids.new()
            if len(message.raw) > IN_THREAD_BYTES:
                box = await asyncio.to_thread(self._sealing.box, passed, row)
            else:
                box = self._sealing.box(passed, row)
            put = await self._put(
                NewSpoolRow(
                    id=row,
                    channel=message.channel,
                    lane=message.lane,
                    dedupe_key=message.dedupe_key,
                    box=box,
                    received_at=micros(message.received_at),
                    body_key=message.body_key,
                    sender_key=self._sender_key(message.sender or "") if message.body_key else b"",
                    findings=tuple(Code(finding.rule.code) for finding in passed.findings),
                )
            )
        except StoreFull:
            return NO_SPACE
        except StoreDown:
            return TEMPORARY
        except Exception as error:  # noqa: BLE001 - rule 1
            self._on_fault(error)
            return TEMPORARY
        reach(Point.INTAKE_ANSWERED)
        return Answer(verdict=Verdict.ACCEPTED, says="Queued", status="0.0", wire_id=put.id)


def answer_to(stopped: Stopped, layer: Layer[Inbound]) -> Answer:
    """What the outside hears of a message that ADMISSION stopped: the words of the worst finding's rule."""
    rule = worst(stopped, layer)
    verdict = Verdict.REFUSED if stopped.decision.action is Action.REJECT else Verdict.DEFERRED
    return Answer(verdict=verdict, says=rule.says, status=rule.status)


def worst(stopped: Stopped, layer: Layer[Inbound]) -> Rule:
    """The first rule that asked for what was decided."""
    decision = stopped.decision
    return next(finding.rule for finding in decision.findings if layer.action(finding.rule) is decision.action)


def _known(message: Inbound) -> bool:
    return message.transport.login is not None or message.authentication.dmarc is Result.PASS

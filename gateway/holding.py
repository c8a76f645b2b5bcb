"""Holding: a message is stopped for a reviewer, with all that they and its sender's notice will need.

Rules:
1. The original gets a key of its own (`AgentClient.hold`), so that it keeps no epoch's key alive: what is finished
   stays shredded although this one waits. When that can't be had it is held all the same, under the key it came with.
2. A notice goes only to one known author of a message that no program wrote, and only where the company wants it;
   what was refused after it was taken is told only where `refused_notices` says so.
"""

from __future__ import annotations

from collections.abc import Callable

from channels.contract import MailboxName
from gateway.crossing import Passage
from gateway.held import HeldContact, HeldSight, seal_contact, seal_sight
from gateway.ids import Clock, micros
from gateway.rules import Action, Decision
from gateway.store.spool import Claim, Spool
from gateway.workshop import Workshop
from keys.atrest import AtRest
from keys.box import Binding, Purpose
from keys.errors import KeysError


class Holding:
    """`language` gives a mailbox's own language, for customers whose language isn't known."""

    def __init__(
        self,
        *,
        spool: Spool,
        workshop: Workshop,
        atrest: AtRest,
        desk_atrest: AtRest,
        clock: Clock,
        held_seconds: float,
        notices: bool,
        refused_notices: bool = False,
        language: Callable[[MailboxName], str],
    ) -> None:
        self._spool, self._workshop, self._clock = spool, workshop, clock
        self._atrest, self._desk_atrest = atrest, desk_atrest
        self._held_seconds, self._language = held_seconds, language
        self._notices, self._refused_notices = notices, refused_notices

    async def hold(self, claim: Claim, decision: Decision, passage: Passage | None, sight: HeldSight | None) -> None:
        """Raises Fenced, StoreDown, StoreFull."""
        contact = self._contact(passage)
        box = await self._own_key(claim)
        await self._spool.hold(
            claim,
            decision,
            box,
            expires_at=micros(self._clock.now()) + int(self._held_seconds * 1_000_000),
            mailbox=passage.mailbox if passage else "",
            queue=passage.queue if passage else "",
            for_desk=seal_sight(self._desk_atrest, claim.id, sight) if sight else None,
            for_inspector=seal_contact(self._atrest, claim.id, contact) if contact else None,
            notice=contact is not None
            and (self._refused_notices if decision.action is Action.REJECT else self._notices),
        )

    async def _own_key(self, claim: Claim) -> bytes | None:
        binding = Binding(purpose=Purpose.SPOOL, row=claim.id, channel=claim.channel)
        try:
            return await self._workshop.with_keys(lambda: self._workshop.agent.hold(claim.box, binding))
        except KeysError:
            return None

    def _contact(self, passage: Passage | None) -> HeldContact | None:
        if passage is None or passage.author is None or passage.automatic:
            return None
        language = passage.language or self._language(MailboxName(passage.mailbox))
        return HeldContact(
            to=passage.author, mailbox=passage.mailbox, language=language, encrypted=passage.encrypted
        )

"""Protections: how a reply in a conversation would leave, written down beside it for the desk to show beforehand.

Rule: one question, one place: `gateway.policy.protection`, over the same facts by which a reply is dispatched. The note
is for people; what counts is asked again when a reply leaves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.certificates import Certificates
from gateway.crossing import Passage
from gateway.ids import Clock
from gateway.mailboxes import Mailboxes
from gateway.policy import protection
from gateway.store import protecting
from gateway.store.database import Database
from gateway.store.protecting import Facts, Noted
from gateway.store.queue import Filed

AT_ONCE: Final = 200
"""Conversations noted in one transaction: messages that wait for theirs shouldn't wait long."""


class Protections:
    def __init__(self, *, database: Database, certificates: Certificates, mailboxes: Mailboxes, clock: Clock) -> None:
        self._database, self._certificates, self._mailboxes = database, certificates, mailboxes
        self._clock = clock
        self._due: dict[str, None] = {}

    def filed(self, filed: Filed, passage: Passage) -> None:
        """A message came in: how its answer would leave may have changed."""
        if filed.sequence == 1 or passage.encrypted:
            self._due[filed.conversation] = None

    def all_due(self, conversations: Iterable[str]) -> None:
        self._due |= dict.fromkeys(conversations)

    async def work_off(self) -> None:
        """Notes what is due, some hundred at a time. Raises StoreError; what wasn't noted stays due."""
        while some := tuple(self._due)[:AT_ONCE]:
            for conversation in some:
                del self._due[conversation]  # before it is looked at: what comes in meanwhile makes it due again
            try:
                found = await protecting.facts(self._database, some)
                notes = [note for one in found if (note := self._note(one)) is not None]
                if notes:
                    await protecting.write_down(self._database, notes, self._clock)
            except BaseException:
                self.all_due(some)
                raise

    def _note(self, found: Facts) -> Noted | None:
        """None when it stands there already."""
        mailbox = self._mailboxes.named(found.mailbox)
        if mailbox is None or not found.answerable:
            how, why = "blocked", "nobody-to-answer"
        else:
            protect, why = protection(
                certificates=len(self._certificates.usable_named(found.trusted)),
                correspondent_encrypted=found.encrypted,
                clear_reply=mailbox.clear_reply,
            )
            how = protect.value
        return None if found.noted == (how, why) else Noted(conversation=found.conversation, protect=how, why=why)

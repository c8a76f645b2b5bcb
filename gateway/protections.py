"""Protections: how a reply in a conversation would leave, written down beside it for the desk to show beforehand.

Rule: one question, one place: `gateway.policy.protection`, over the same facts by which a reply is dispatched. The note
is for people; what counts is asked again when a reply leaves.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.certificates import Certificates
from gateway.crossing import Passage
from gateway.mailboxes import Mailboxes
from gateway.policy import protection
from gateway.store.queue import Filed, Queue


class Protections:
    def __init__(self, *, queue: Queue, certificates: Certificates, mailboxes: Mailboxes) -> None:
        self._queue, self._certificates, self._mailboxes = queue, certificates, mailboxes
        self._due: dict[str, None] = {}

    def filed(self, filed: Filed, passage: Passage) -> None:
        """A message came in: how its answer would leave may have changed."""
        self._due[filed.conversation] = None

    def all_due(self, conversations: Iterable[str]) -> None:
        self._due |= dict.fromkeys(conversations)

    async def work_off(self) -> None:
        """Notes what is due. Raises StoreError; what wasn't noted stays due."""
        for conversation in tuple(self._due):
            await self.note(conversation)
            self._due.pop(conversation, None)

    async def note(self, conversation: str) -> None:
        """Raises StoreError."""
        correspondence = await self._queue.correspondence(conversation)
        if correspondence is None:
            return
        mailbox = self._mailboxes.named(correspondence.mailbox)
        if mailbox is None or correspondence.to is None:
            await self._queue.set_protection(conversation, "blocked", "nobody-to-answer")
            return
        how, why = protection(
            certificates=len(self._certificates.usable(correspondence.bound)),
            correspondent_encrypted=correspondence.encrypted,
            clear_reply=mailbox.clear_reply,
        )
        await self._queue.set_protection(conversation, how.value, why)

"""The company's mailboxes: which one an address belongs to."""

from __future__ import annotations

from channels.contract import Address, MailboxName, Terms
from gateway.config import Mailbox


class Mailboxes:
    """Which mailbox an address belongs to: exact, alias, then plus-tag. The domain and, as every large provider does,
    the local part compare without regard to case."""

    def __init__(self, boxes: tuple[Mailbox, ...]) -> None:
        self._exact = {name.lower(): box for box in boxes for name in (box.address, *box.aliases)}
        self._by_name = {MailboxName(box.name): box for box in boxes}

    def find(self, recipient: str) -> Mailbox | None:
        wanted = recipient.lower()
        box = self._exact.get(wanted)
        if box is None and "+" in wanted:
            local, _, domain = wanted.rpartition("@")
            box = self._exact.get(f"{local.partition('+')[0]}@{domain}")
            if box is not None and not box.plus_tags:
                return None
        return box

    def terms(self, recipient: Address, /) -> Terms | None:
        box = self.find(recipient)
        return None if box is None else box.terms()

    def named(self, name: str) -> Mailbox | None:
        return self._by_name.get(MailboxName(name))

    def language(self, name: str) -> str:
        """The mailbox's own language; "" for none of ours."""
        box = self.named(name)
        return box.language if box else ""

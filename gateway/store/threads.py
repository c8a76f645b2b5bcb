"""Threads: what ties a message to a conversation – case numbers, signed reply addresses, Message-IDs.

A case number is `V-7K3M-92QX`: seven random characters of Crockford's base 32 and a check character, a sum over GF(32)
that finds any one wrong character and any two swapped ones. It says nothing and can't be guessed in sequence; and it
counts only for the contact whose it is (`gateway.store.queue`).

A reply address is `support+v7k3m92qx-TAG@acme.example`: the case number, and 16 characters of a keyed hash over it.
"""

from __future__ import annotations

from keys.secret import Secret


def new_number() -> str:
    """A fresh case number. Random; the store sees to it that it is unique."""
    raise NotImplementedError


def read_number(text: str) -> str | None:
    """The number in its proper spelling, from any spelling ("v7k3m92qx", O for 0, I for 1); None if it isn't one."""
    raise NotImplementedError


def quoted_numbers(text: str) -> tuple[str, ...]:
    """All case numbers in a text, in order, each once; at most ten."""
    raise NotImplementedError


class ReplyTokens:
    def __init__(self, key: Secret[bytes]) -> None:
        """`key`: 32 bytes (threads.key)."""
        raise NotImplementedError

    def tag(self, number: str) -> str:
        """The plus-tag for a case number: 25 characters, [a-z0-9-]."""
        raise NotImplementedError

    def address(self, mailbox: str, number: str) -> str:
        """The mailbox's address with the tag in it."""
        raise NotImplementedError

    def read(self, tag: str) -> str | None:
        """The case number of a tag of ours; None for anything else."""
        raise NotImplementedError

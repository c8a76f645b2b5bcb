"""Policy: what is done about findings, and how a reply may leave.

Rules:
1. A reply is sealed whenever the contact has a usable certificate.
2. What came in encrypted is never answered in clear.
3. Otherwise clear takes the mailbox's consent (`Terms.clear_reply`); without it the reply is blocked and says why.
4. A reply that its agent was promised to be sealed never leaves in clear, whatever became of the certificate meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.reply import _ISSUE, ClearPermit, Protect, Reply
from gateway.rules import Action, Code


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """`version` changes whenever `actions` do; it is stamped on every queued message."""

    version: int = 1
    actions: Mapping[Code, Action] = field(default_factory=dict)


def protection(*, certificates: int, correspondent_encrypted: bool, clear_reply: bool) -> tuple[Protect, str]:
    """How a reply would leave, and why, as a fixed token. The one place where this is decided."""
    if certificates:
        return Protect.SEALED, "certificate"
    if correspondent_encrypted:
        return Protect.BLOCKED, "came-encrypted-no-certificate"
    if not clear_reply:
        return Protect.BLOCKED, "mailbox-forbids-clear"
    return Protect.CLEAR, "mailbox-permits-clear"


def way(reply: Reply) -> tuple[Protect, str]:
    """`protection` of a reply as it stands, and never weaker than its agent was promised."""
    how, why = protection(
        certificates=len(reply.certificates),
        correspondent_encrypted=reply.correspondent_encrypted,
        clear_reply=reply.clear_reply,
    )
    if how is Protect.CLEAR and reply.promised_sealed:
        return Protect.BLOCKED, "promised-sealed"
    return how, why


def permit(reply: Reply) -> ClearPermit | None:
    """Leave to send this reply in clear, or None."""
    how, why = way(reply)
    return ClearPermit(reply.id, why, _ISSUE) if how is Protect.CLEAR else None

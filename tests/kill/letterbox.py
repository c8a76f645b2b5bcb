"""What happens to replies: the customer's server, written down, against what the outbox says.

    lost         the outbox says sent and nothing came; or a reply is nowhere, or ended without a word
    duplicated   it came more often than a person asked for
    unexpected   it came under another Message-ID, or the attempt wasn't on record
"""

from __future__ import annotations

import email
import email.policy
from collections import Counter

from house import House
from ledger import Tally, events
from sink import Mail


def message_id(reply: str) -> str:
    return f"<{reply.lower()}@acme.example>"


def arrived(mails: list[Mail]) -> Counter[str]:
    """How often each Message-ID came."""
    found = (email.message_from_bytes(mail.raw, policy=email.policy.default)["Message-ID"] for mail in list(mails))
    return Counter(str(one) for one in found)


def states(house: House) -> dict[str, tuple[str, str]]:
    """State and reason of each outbox row."""
    rows = house.rows("SELECT id, state, reason FROM outbox")
    return {str(id): (str(state), str(reason)) for id, state, reason in rows}


def judge_replies(house: House, replies: list[str], mails: list[Mail], resent: Counter[str] | None = None) -> Tally:
    """When all is quiet. `resent`: how often a person asked for it again."""
    tally, came, rows, again = Tally(), arrived(mails), states(house), resent or Counter()
    stopped = {str(row[0]) for row in house.rows("SELECT id FROM replies WHERE state = 'stopped'")}
    attempts = events(house, "send.attempted")
    for reply in replies:
        count = came[message_id(reply)]
        state, _ = rows.get(reply, ("nowhere", ""))
        tally.acknowledged += 1
        unsent = state == "sent" and not count
        if unsent or (state == "nowhere" and reply not in stopped) or state in ("ready", "sending"):
            tally.wrong("lost", f"{reply} is {state} and came {count} times")
        if count > 1 + again[reply]:
            tally.wrong("duplicated", f"{reply} came {count} times")
        if count > attempts[reply]:
            tally.wrong("unexpected", f"{reply} came {count} times after {attempts[reply]} attempts on record")
        tally.queued += state == "sent"
        tally.held += state == "doubt"
    ours = {message_id(reply) for reply in rows}
    for name in came.keys() - ours:
        tally.wrong("unexpected", f"{name} came and is no reply of ours")
    return tally

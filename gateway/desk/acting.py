"""What people do at the desk, once: pages and API both call these.

Rules:
1. Each asks `allowed` about the very thing, and answers 404 for what may not be seen.
2. A reply or a decision leaves the desk only as a signed box to the inspector; nobody here can open it again.
3. Claims are leases: replying takes or prolongs one, so that two people don't answer the same customer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from gateway import limits
from gateway.codec import pack
from gateway.desk.access import Do, Thing, allowed
from gateway.desk.context import Call
from gateway.desk.problems import Problem
from gateway.desk.queries import with_drafts
from gateway.errors import Fenced
from gateway.faults import NEVER_WAIVED
from gateway.ids import id_of
from gateway.requests import (
    HeldRequest,
    Promised,
    Reason,
    ReplyRequest,
    Verb,
    reply_binding,
    request_binding,
)  # fmt: skip
from gateway.rules import Code
from gateway.states import Talk
from gateway.store.conversations import Lease
from gateway.store.reading import Conversation, Opened, ReplyStatus
from gateway.store.spool import HeldRow
from keys.box import Binding, Purpose, seal
from keys.secret import Secret

PROTECTED: Final = frozenset({"sealed", "clear"})


def queues_of(call: Call) -> tuple[str, ...] | None:
    """Which queues the person may see; None for all."""
    return tuple(sorted(call.actor.queues)) or None


def thing(conversation: Conversation) -> Thing:
    owner = conversation.claimed_by if conversation.state is Talk.CLAIMED else None
    return Thing(owner=owner, queue=conversation.queue)


async def opened(call: Call, id: str) -> Opened:
    """The conversation, verified; broken stamps go into the audit. Raises Problem: not-found."""
    found = await call.desk.reading.conversation(id)
    if found is None or not allowed(call.actor, Do.READ, Thing(queue=found.conversation.queue)):
        raise Problem("not-found")
    await call.desk.recorder.broken(found.conversation.id, found.messages, intact=found.intact)
    return found


async def claim(call: Call, id: str) -> Lease:
    """Takes it, prolongs one's own claim, or (supervisors) takes it over.
    Raises Problem: not-found, claimed."""
    conversation = (await opened(call, id)).conversation
    return await _claim(call, conversation)


async def _claim(call: Call, conversation: Conversation) -> Lease:
    desk, me = call.desk, call.me
    if not allowed(call.actor, Do.CLAIM, thing(conversation)):
        raise await _claimed(call, conversation)
    if conversation.state is Talk.CLOSED:
        await desk.conversations.reopen(conversation.id, me.id)
    theirs = conversation.state is Talk.CLAIMED and conversation.claimed_by != me.id
    take = desk.conversations.take_over if theirs else desk.conversations.claim
    lease = await take(conversation.id, me.id, limits.CLAIM_SECONDS)
    if lease is None:
        now = await desk.reading.conversation(conversation.id)
        raise await _claimed(call, now.conversation) if now else Problem("not-found")
    return lease


async def release(call: Call, id: str) -> None:
    conversation = (await opened(call, id)).conversation
    if conversation.state is not Talk.CLAIMED or conversation.claimed_by is None:
        raise Problem("conflict", "Nobody has claimed it.")
    if not allowed(call.actor, Do.RELEASE, thing(conversation)):
        raise await _claimed(call, conversation)
    try:
        await call.desk.conversations.release(id, conversation.claimed_by, conversation.fence)
    except Fenced:
        raise Problem("conflict") from None


async def close(call: Call, id: str) -> None:
    """Claims it first where need be: whoever closes is responsible."""
    conversation = (await opened(call, id)).conversation
    if conversation.state is Talk.CLOSED:
        return
    if not allowed(call.actor, Do.CLOSE, thing(conversation)):
        raise await _claimed(call, conversation)
    lease = await _claim(call, conversation)
    try:
        await call.desk.conversations.close(id, call.me.id, lease.fence)
    except Fenced:
        raise Problem("conflict") from None


async def reply(call: Call, id: str, text: Secret[str], seen: int, promised: str, key: str) -> str:
    """Boxes a reply to the inspector. Returns its id. `key` is the request's Idempotency-Key: the id is made of it, so
    that a repeat is the same reply although we died before we could write down that there was one. `promised` is how
    the person was shown that it would leave, "sealed" or "clear"; else what is noted now holds. Raises Problem:
    invalid, blocked, claimed, not-found."""
    desk = call.desk
    if not text or not text.reveal().strip():
        raise Problem("invalid", call.texts.t("reply.empty"), field="text")
    if len(text) > limits.REPLY_CHARACTERS:
        raise Problem("invalid", call.texts.t("reply.too_long", max=limits.REPLY_CHARACTERS), field="text")
    conversation = (await opened(call, id)).conversation
    if conversation.protect not in PROTECTED:
        raise Problem("blocked", blocked_plain(call, conversation), why=conversation.protect_why)
    if not allowed(call.actor, Do.REPLY, thing(conversation)):
        raise await _claimed(call, conversation)
    await _claim(call, conversation)
    row = id_of(call.me.id, key, id, text.reveal())
    request = ReplyRequest(
        id=row, conversation=id, author=call.me.id, text=text, seen=seen,
        promised=Promised(promised if promised in PROTECTED else conversation.protect), written_at=desk.clock.now(),
    )  # fmt: skip
    await desk.replies.put(
        id=row, conversation=id, author=call.me.id, box=_boxed(call, pack(request), reply_binding(row))
    )  # fmt: skip
    await desk.people.save_draft(call.me.id, row, text)
    await desk.people.save_draft(call.me.id, id, Secret(""))
    return row


async def own_words(call: Call, found: Opened) -> dict[str, Secret[str]]:
    """What the person wrote in replies that aren't filed yet, or were stopped: kept as a draft under the reply's id,
    for the box can't be read here. Once the inspector has filed its copy, ours goes."""
    people, me = call.desk.people, call.me.id
    mine = [one.id for one in found.replies if one.author == me]
    filed = {one.id for one in found.messages}
    words: dict[str, Secret[str]] = {}
    for id in await with_drafts(call.desk.db, me, mine):
        if id in filed:
            await people.save_draft(me, id, Secret(""))
        elif (draft := await people.draft(me, id)) is not None:
            words[id] = draft.text
    return words


async def reuse(call: Call, id: str, reply_id: str) -> None:
    """The words of a reply that was stopped become the draft. Raises Problem: not-found, conflict."""
    found = await opened(call, id)
    words = (await own_words(call, found)).get(reply_id)
    status = next((one for one in found.replies if one.id == reply_id), None)
    if words is None or status is None:
        raise Problem("not-found")
    if reply_state(status)[0] != "stopped":
        raise Problem("conflict", "It wasn't stopped.")
    await call.desk.people.save_draft(call.me.id, id, words)
    await call.desk.people.save_draft(call.me.id, reply_id, Secret(""))


def blocked_plain(call: Call, conversation: Conversation) -> str:
    return call.texts.t(f"reply.blocked_{blocked_kind(conversation.protect_why)}")


def blocked_kind(why: str) -> str:
    """`gateway.policy.protection`'s token → the text about it."""
    return {
        "came-encrypted-no-certificate": "came_encrypted",
        "mailbox-forbids-clear": "mailbox",
        "nobody-to-answer": "no_address",
    }.get(why, "unknown")


async def resend(call: Call, id: str, reply_id: str) -> str:
    """Asks the inspector to send a reply again that is in doubt, refused or expired. Returns the request's id."""
    found = await opened(call, id)
    status = next((reply for reply in found.replies if reply.id == reply_id), None)
    if status is None or status.delivery is None:
        raise Problem("not-found")
    if status.delivery.state not in ("doubt", "refused", "expired"):
        raise Problem("conflict", "It is neither in doubt, refused nor expired.")
    if not allowed(call.actor, Do.RESEND, thing(found.conversation)):
        raise await _claimed(call, found.conversation)
    return await _request(call, Verb.RESEND, status.delivery.id, Reason.IN_DOUBT, ())


async def held(call: Call, id: str) -> HeldRow:
    row = await call.desk.reading.held_row(id)
    if row is None or not allowed(call.actor, Do.SEE_HELD, Thing(queue=row.queue)):
        raise Problem("not-found")
    return row


def waivable(row: HeldRow) -> frozenset[Code]:
    """What a reviewer may let pass: findings about the message, not failures of ours."""
    return frozenset(finding.rule.code for finding in row.decision.findings) - NEVER_WAIVED


@dataclass(frozen=True, slots=True)
class Decided:
    request: str
    verb: Verb


async def decide(call: Call, id: str, verb: Verb, reason: Reason, waived: tuple[Code, ...]) -> Decided:
    """Raises Problem: not-found, invalid (a waiver of what wasn't found), conflict (asked for already)."""
    row = await held(call, id)
    if not allowed(call.actor, Do.DECIDE_HELD, Thing(queue=row.queue)):
        raise Problem("forbidden", action=Do.DECIDE_HELD.value)
    if not set(waived) <= waivable(row):
        raise Problem("invalid", "Only what was found can be waived, and no fault of our own.", field="waived")
    if waived and verb is not Verb.RELEASE:
        raise Problem("invalid", "Only a release waives something.", field="waived")
    if await call.desk.requests.pending(id):
        raise Problem("conflict", call.texts.t("held.pending"))
    return Decided(await _request(call, verb, id, reason, waived), verb)


async def _request(call: Call, verb: Verb, about: str, reason: Reason, waived: tuple[Code, ...]) -> str:
    desk = call.desk
    row = desk.ids.new()
    request = HeldRequest(
        id=row, held=about, verb=verb, reason=reason, waived=waived, reviewer=call.me.id, written_at=desk.clock.now()
    )  # fmt: skip
    box = _boxed(call, pack(request), request_binding(row))
    await desk.requests.put(id=row, kind=verb.value, object_id=about, author=call.me.id, box=box)
    return row


def _boxed(call: Call, payload: Secret[bytes], binding: Binding) -> bytes:
    key = call.desk.public_keys.current(Purpose(binding.purpose))
    return seal(payload, to=key, by=call.desk.signing_key, binding=binding)


async def _claimed(call: Call, conversation: Conversation) -> Problem:
    name = await name_of(call, conversation.claimed_by)
    return Problem("claimed", call.texts.t("reply.claimed", name=name))


async def name_of(call: Call, person: str | None) -> str:
    if person is None:
        return ""
    user = await call.desk.people.user(person)
    return user.name if user else ""


def reply_state(status: ReplyStatus) -> tuple[str, str]:
    """A reply as people understand it (a key of `reply.status`), and the fixed token of its reason."""
    if status.delivery is not None:
        state = {"ready": "sending"}.get(status.delivery.state, status.delivery.state)
        return state, status.delivery.reason
    if status.state == "stopped":
        return "stopped", status.codes[0] if status.codes else status.reason
    return ("sending" if status.state == "outbox" else "pending"), ""

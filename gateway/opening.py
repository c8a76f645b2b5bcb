"""Opening: a message as it was admitted becomes an `Opened`: decrypted, verified, parsed, within limits.

Rules:
1. Whatever a message contains, it becomes an `Opened`: what can't be opened is a `Failure`, what can't be read in full
   is `excess`, what readers disagree on is an `Oddity`. The INSPECTION layer judges them; here nothing is judged.
2. Nothing is taken from the message that transport facts already say, and the author is the one whom authentication
   spoke of: it is the answer of one function (`channels.email.author`).
3. All work happens in a parser worker that holds no keys; only the opener is asked, over its pipe.
"""

from __future__ import annotations

from channels.contract import Inbound
from gateway import facts, protected
from gateway.envelope import Crypto, Opener
from gateway.fields import Fields
from gateway.layers import Passed
from gateway.mime import Entity, parse
from gateway.opened import Opened
from gateway.pieces import EXCEEDED, MARK, Scope, compose, cut, protection
from gateway.protected import Subject
from gateway.reading import Reading, TooMuch
from gateway.walking import Walker
from keys.secret import Secret

__all__ = ["Opener", "open_message"]


async def open_message(admitted: Passed[Inbound], opener: Opener) -> Opened:
    """Never raises for what a message contains. Each limit is one of `gateway.limits`."""
    return await open_inbound(admitted.message, opener)


async def open_inbound(inbound: Inbound, opener: Opener) -> Opened:
    """As `open_message`, for tests that have no layer at hand."""
    reading = Reading()
    walker = Walker(Crypto(opener, reading), reading)
    root: Entity | None = None
    excess = text = ""
    try:
        root = parse(inbound.raw.reveal(), reading, wire=True)
        await walker.visit(root, Scope())
        text = compose(walker.pieces)
    except TooMuch as error:
        excess = error.reason
        text = cut(walker.pieces) if excess == "text" else "\n\n".join((MARK + EXCEEDED, cut(walker.pieces))).strip()
    return await _opened(inbound, walker, root, text, excess)


async def _opened(inbound: Inbound, walker: Walker, root: Entity | None, text: str, excess: str) -> Opened:
    reading = walker.reading
    fields = root.fields if root else Fields()
    author = facts.author(inbound.raw.reveal(), reading)
    report = root is not None and root.media_type == "multipart/report"
    scopes = walker.scopes
    payload = walker.payload if walker.payload_scope.layers else None
    signatures = await walker.crypto.signatures(author.address, scopes)
    subject = _subject(fields, payload, walker)
    protected.compare_author(author.address, payload, reading)
    return Opened(
        inbound=inbound,
        author=author.address,
        author_name=Secret(author.name),
        author_count=author.count,
        subject=Secret(subject.text),
        reply_to=facts.reply_to(fields),
        message_id=facts.message_id(fields),
        references=facts.references(fields),
        date=facts.date(fields),
        automatic=facts.automatic(
            fields,
            null_sender=inbound.envelope.mail_from is None,
            report=report,
        ),
        text=Secret(text),
        html=any(piece.html for piece in walker.pieces),
        language=facts.language(text, inbound.terms.language),
        protection=protection(scopes),
        subject_encrypted=subject.hidden,
        signatures=signatures,
        failures=tuple(walker.crypto.failures),
        oddities=tuple(reading.oddities),
        active=tuple(walker.active),
        parts=walker.parts(),
        attachments=tuple(walker.attached.files),
        offered=walker.attached.offers(fields, author, report=report),
        excess=excess,
    )


def _subject(fields: Fields, payload: Entity | None, walker: Walker) -> Subject:
    scope = walker.payload_scope
    good = any(walker.crypto.is_good(number) for number in scope.signatures)
    return protected.subject(fields, payload, walker.reading, encrypted=scope.full, trusted=scope.full or good)

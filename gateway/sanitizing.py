"""Sanitizing: what was opened becomes what an agent may read.

    clean    no control characters, no overrides of direction, no markup a browser would act on
    redact   every recognizer over every text, and over what is read together: a card begun in the subject and ended in
             the text is one card
    withhold what can't be shown as text, with a fixed token that says why

Rules:
1. This file and `gateway.crossing` alone make `SafeText` and `Sanitized`.
2. A step: it decides nothing. What can't be made clean is withheld; RELEASE judges the result anew.
3. Text is otherwise left as it was written: nothing folded, normalised or shortened.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from channels.contract import Address, DkimResult, Result
from gateway import decoding, limits
from gateway.held import HeldSight
from gateway.layers import Passed
from gateway.notices import words
from gateway.opened import Attachment, Opened, Signature
from gateway.redact import WITHHELD, mask, redact
from gateway.reply import Reply
from gateway.rules import Finding
from gateway.sanitized import SafeAttachment, SafeText, Sanitized, Trust, TrustFinding, TrustSignature

TEXT_TYPES: Final = frozenset({
    "text/plain", "text/csv", "text/tab-separated-values", "text/markdown", "text/x-markdown", "text/x-log",
    "text/yaml", "text/json", "text/xml", "application/json", "application/x-ndjson", "application/ld+json",
    "application/xml", "application/yaml", "application/csv",
})  # fmt: skip
"""What is shown as text. HTML, RTF, calendars and cards are not: a value can be hidden between their tags and folds."""

_ROUNDS: Final = 4
_NEWLINES: Final = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_CONTROL: Final = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb\ufffe\uffff\U000e0000-\U000e007f]"
)
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_BLANKS: Final = re.compile(r"[ \t\n]+")
_BRACKETED: Final = re.compile(r"<([A-Za-z/!?][^<>\n]{0,998})>")
_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
_MARK: Final = "[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_PILED_MARKS: Final = re.compile(f"({_MARK}{{8}}){_MARK}+")
_MEDIA_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,80}/[a-z0-9!#$&^_.+-]{1,80}")
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(?:-[a-z0-9]{2,8})?", re.IGNORECASE)
_NOT_TEXT: Final = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]")
_ANY_TAG: Final = re.compile(r"<[^<>]*>")
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})|&#(?:x([0-9a-fA-F]{1,6})|([0-9]{1,7}));")


def sanitize(inspected: Passed[Opened], admission: Sequence[Finding] = ()) -> Sanitized:
    """`admission`: what the edge found and let pass; it stands in the trust strip beside INSPECTION's findings.
    Raises ValueError when the text is over the limit that opening keeps."""
    opened = inspected.message
    counts: Counter[str] = Counter()
    name, subject, text, *names = _together(
        (
            one_line(opened.author_name.reveal()),
            one_line(opened.subject.reveal()),
            _within(clean(opened.text.reveal())),
            *(one_line(attachment.name.reveal()) for attachment in opened.attachments),
        ),
        counts,
    )
    attachments = _attachments(opened, names, counts)
    return Sanitized(
        author=_single(opened.author or "", counts),
        author_name=name,
        subject=subject,
        text=text,
        attachments=attachments,
        redactions=dict(counts),
        trust=_trust(opened, (("admission", admission), ("inspection", inspected.findings)), counts),
        message_id=_identifier(opened.message_id or ""),
        references=tuple(filter(None, (_identifier(reference) for reference in opened.references))),
        language=opened.language if _LANGUAGE.fullmatch(opened.language) else "",
        automatic=opened.automatic,
        sent_at=opened.date,
    )


def sanitize_reply(passed: Passed[Reply], author: Address) -> Sanitized:
    """The copy of a reply or notice that the conversation keeps. `author` is the mailbox's address."""
    reply = passed.message
    said = words(reply)
    counts: Counter[str] = Counter()
    subject, text = _together((one_line(said.subject.reveal()), _within(clean(said.text.reveal()))), counts)
    return Sanitized(
        author=_single(author, counts),
        author_name=SafeText(""),
        subject=subject,
        text=text,
        attachments=(),
        redactions=dict(counts),
        trust=_ours(reply),
        message_id=_identifier(reply.message_id),
        references=tuple(filter(None, (_identifier(reference) for reference in reply.references))),
        language=reply.language if _LANGUAGE.fullmatch(reply.language) else "",
        automatic=bool(reply.template),
        sent_at=None,
    )


def glimpse(opened: Opened, layer: str, findings: Sequence[Finding]) -> HeldSight:
    """What a reviewer sees of a message that a layer stopped: sanitized, and facts."""
    counts: Counter[str] = Counter()
    (subject,) = _together((one_line(opened.subject.reveal()),), counts)
    return HeldSight(
        author=_single(opened.author or "", counts),
        subject=subject,
        trust=_trust(opened, ((layer, findings),), counts),
        octets=len(opened.inbound.raw),
        attachments=len(opened.attachments),
    )


def clean(text: str) -> str:
    """Safe to show, with its line breaks and tabs.

    >>> clean("Hi\\r\\n<b onclick=x>you</b>\\x00 <alice@example.org> 1 < 2\\u202e")
    'Hi\\n‹b onclick=x›you‹/b› ‹alice@example.org› 1 < 2'
    """
    text = _CONTROL.sub("", _NEWLINES.sub("\n", text))
    text = _SURROGATE.sub("\ufffd", _PILED_MARKS.sub(r"\1", text))
    return _TAG.sub("‹", _BRACKETED.sub(r"‹\1›", text))


def one_line(text: str) -> str:
    """
    >>> one_line(" Re: a\\r\\n\\tb ")
    'Re: a b'
    """
    return _BLANKS.sub(" ", clean(text)).strip()


def _within(text: str) -> str:
    if len(text) > limits.TEXT_CHARACTERS:
        raise ValueError("text over the limit")
    return text


# --- redacting


def _together(fields: Sequence[str], counts: Counter[str]) -> list[SafeText]:
    """All fields masked, each by itself and in what they make together."""
    texts = list(fields)
    for _ in range(_ROUNDS):
        texts, found = _joint(texts)
        for index, text in enumerate(texts):
            alone = redact(text)
            texts[index] = alone.text
            found.update(alone.counts)
        if not found:
            return [SafeText(text) for text in texts]
        counts.update(found)
    return [SafeText(WITHHELD if text else "") for text in texts]


def _joint(fields: Sequence[str]) -> tuple[list[str], Counter[str]]:
    """A span that reaches over a border is masked on both sides of it."""
    done = redact("\n".join(fields))
    if not done.spans:
        return list(fields), Counter()
    if done.withheld:
        return [WITHHELD if field else "" for field in fields], Counter(done.counts)
    masked: list[str] = []
    at = 0
    for field in fields:
        end = at + len(field)
        pieces, last = [], at
        for span in done.spans:
            if span.start < end and at < span.end:
                pieces += [field[last - at : max(span.start, at) - at], mask(span)]
                last = min(span.end, end)
        masked.append("".join((*pieces, field[last - at :])))
        at = end + 1
    return masked, Counter(done.counts)


def _single(text: str, counts: Counter[str]) -> SafeText:
    done = redact(one_line(text))
    counts.update(done.counts)
    return SafeText(done.text)


def _identifier(text: str) -> SafeText:
    """A Message-ID, or "" when something in it would have to be masked or cleaned: then it can't be used anyway."""
    unchanged = text == _CONTROL.sub("", text) and not _BLANKS.search(text) and not _SURROGATE.search(text)
    return SafeText(text if unchanged and not redact(text).spans else "")


# --- attachments


@dataclass(slots=True)
class _Room:
    left: int = limits.ATTACHMENTS_TEXT_BYTES


def _attachments(opened: Opened, names: Sequence[SafeText], counts: Counter[str]) -> tuple[SafeAttachment, ...]:
    charsets = {part.path: part.charset for part in opened.parts}
    room = _Room()
    found = []
    for attachment, name in zip(opened.attachments, names, strict=True):
        media_type = attachment.media_type.lower()
        if not _MEDIA_TYPE.fullmatch(media_type) or redact(media_type).spans:
            media_type = "application/octet-stream"
        text, reason = _shown(attachment, media_type, charsets.get(attachment.path, ""), room, counts)
        found.append(
            SafeAttachment(
                name=name, media_type=media_type, octets=len(attachment.content), text=text, reason=reason
            )
        )  # fmt: skip
    return tuple(found)


def _shown(
    attachment: Attachment, media_type: str, charset: str, room: _Room, counts: Counter[str]
) -> tuple[SafeText | None, str]:
    """The attachment's text, or None and why: unsupported-type, too-large, not-text, unsure."""
    size = len(attachment.content)
    if media_type not in TEXT_TYPES:
        return None, "unsupported-type"
    if size > limits.ATTACHMENT_TEXT_BYTES or size > room.left:
        return None, "too-large"
    room.left -= size
    text, oddity = decoding.text_of(attachment.content.reveal(), charset)
    if oddity is not None or _NOT_TEXT.search(text):
        return None, "not-text"
    done = redact(clean(text))
    if _more_hidden(text, len(done.spans)):
        return None, "unsure"
    counts.update(done.counts)
    return SafeText(done.text), "" if not done.withheld else "unsure"


def _more_hidden(text: str, found: int) -> bool:
    """Whether there would be more to mask without the tags, or with the escapes read: then it isn't shown."""
    bare = _ESCAPE.sub(_unescaped, _ANY_TAG.sub("", text)) if _ANY_TAG.search(text) or _ESCAPE.search(text) else ""
    return bool(bare) and len(redact(bare).spans) > found


def _unescaped(match: re.Match[str]) -> str:
    code = int(match[1] or match[2] or "0", 16) or int(match[3] or "0")
    return chr(code) if 0 < code <= 0x10FFFF else ""


# --- trust


def _trust(opened: Opened, layers: Sequence[tuple[str, Sequence[Finding]]], counts: Counter[str]) -> Trust:
    facts = opened.inbound.authentication
    return Trust(
        tls=opened.inbound.transport.tls or "",
        encrypted=opened.protection.value,
        subject_encrypted=opened.subject_encrypted,
        signatures=tuple(_signature(signature, counts) for signature in opened.signatures),
        spf=facts.spf.value,
        dkim=_dkim(facts.dkim).value,
        dmarc=facts.dmarc.value,
        authenticated_domain=_single(facts.author_domain if facts.dmarc is Result.PASS else "", counts),
        findings=tuple(
            TrustFinding(
                code=finding.rule.code, action=finding.rule.action.name.lower(), layer=layer, plain=finding.rule.plain
            )
            for layer, findings in layers
            for finding in findings
        ),
    )


def _signature(signature: Signature, counts: Counter[str]) -> TrustSignature:
    return TrustSignature(
        status=signature.status.value,
        fingerprint=signature.fingerprint or "",
        signer=_single(signature.signer or "", counts),
        covers=signature.covers.value,
    )


def _dkim(results: Sequence[DkimResult]) -> Result:
    """One good signature is enough; else the first result."""
    every = [signature.result for signature in results]
    return Result.PASS if Result.PASS in every else next(iter(every), Result.NONE)


def _ours(reply: Reply) -> Trust:
    return Trust(
        tls="",
        encrypted="full" if reply.certificates else "none",
        subject_encrypted=bool(reply.certificates),
        signatures=(),
        spf=Result.NONE.value,
        dkim=Result.NONE.value,
        dmarc=Result.NONE.value,
        authenticated_domain=SafeText(""),
    )

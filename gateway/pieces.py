"""Pieces: what is shown of a message, each with the protection it came under, and how they become one text.

Rules:
1. Pieces of different protection are never merged (EFAIL): a line of our own stands before each, and a customer can't
   write such a line, because its mark is taken out of what customers write.
2. What could not be opened is said in such a line; a message is never silently empty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from gateway import limits
from gateway.mime import Entity
from gateway.opened import Covers, Failure, Part, Protection
from gateway.reading import TooMuch
from keys.secret import Secret

MARK: Final = "▌ "
_FORGED: Final = "▌"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """Under what an entity stands. `root`: only layers of encryption and signature lie around it, and they hold all of
    the message (the cryptographic envelope, RFC 9787). `full`: one of those decrypted it. `signatures` are numbers of
    those that cover it; `layers` counts what was opened so far."""

    root: bool = True
    encrypted: bool = False
    full: bool = False
    signatures: frozenset[int] = frozenset()
    layers: int = 0

    def inside(self) -> Scope:
        """Of a part of a multipart, or of a message in a message."""
        return replace(self, root=False)

    def decrypted(self) -> Scope:
        return replace(self, encrypted=True, full=self.full or self.root, layers=self.layers + 1)

    def signed(self, numbers: frozenset[int]) -> Scope:
        return replace(self, signatures=self.signatures | numbers, layers=self.layers + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """`label` is a sentence of ours that stands before it."""

    text: str
    scope: Scope
    html: bool = False
    label: str = ""


@dataclass(slots=True)
class Node:
    """One node of the tree as it was met; `shown`: its own bytes are (part of) what is shown."""

    entity: Entity
    scope: Scope
    shown: bool = False

    def part(self) -> Part:
        entity = self.entity
        return Part(
            path=entity.path, media_type=entity.media_type, charset=entity.charset, encoding=entity.encoding[:40],
            disposition=entity.disposition.value[:40],
            file_name=Secret(name) if (name := entity.file_name) else None,
            octets=len(entity.data), encrypted=self.scope.encrypted, signed=bool(self.scope.signatures),
            shown=self.shown, sha256=entity.sha256(),
        )  # fmt: skip


FAILED: Final = {
    Failure.NO_KEY: "Encrypted to a key that we don't have: this content could not be opened.",
    Failure.TAMPERED: "Encrypted content that was changed on the way: it was not opened.",
    Failure.BAD_DATA: "Damaged encrypted content: it could not be opened.",
    Failure.TOO_LARGE: "Encrypted content that unpacks beyond our limit: it was not opened.",
    Failure.TOO_SLOW: "Encrypted content that took too long: it was not opened.",
    Failure.TOO_DEEP: "Encryption within encryption beyond our limit: the innermost content was not opened.",
    Failure.UNSUPPORTED: "Encrypted or signed in a format that we can't open yet: the content is not shown.",
    Failure.UNAVAILABLE: "Encrypted content; our own decryption was not available.",
}
CUT: Final = "The message goes on beyond our limit; the rest is not shown."
EXCEEDED: Final = "This message passes a limit of what we read; it is not shown, or not all of it."
FORMATTED: Final = "The formatted version of this message says something else:"
ATTACHED_MESSAGE: Final = "An attached message:"


def protection(scopes: list[Scope]) -> Protection:
    """FULL only if everything lay in the envelope's encryption."""
    if scopes and all(scope.full for scope in scopes):
        return Protection.FULL
    return Protection.PARTIAL if any(scope.encrypted for scope in scopes) else Protection.NONE


def covers(number: int, scopes: list[Scope], *, root: bool) -> Covers:
    """What signature `number` covers of what is shown. `root`: it belongs to the envelope."""
    covered = [number in scope.signatures for scope in scopes]
    if all(covered):
        return Covers.ALL if root else Covers.PART
    return Covers.PART if any(covered) else Covers.NOTHING


def compose(pieces: list[Piece]) -> str:
    """One text. Raises TooMuch("text") with nothing lost: `cut` gives what may be shown."""
    text = _joined(pieces)
    if len(text) > limits.TEXT_CHARACTERS:
        raise TooMuch("text")
    return text


def cut(pieces: list[Piece]) -> str:
    """The beginning of a text that is too long, for a reviewer who releases it all the same."""
    return f"{_joined(pieces)[: limits.TEXT_CHARACTERS - 1_000]}\n\n{MARK}{CUT}"


def _joined(pieces: list[Piece]) -> str:
    several = len({_kind(piece.scope) for piece in pieces}) > 1
    out: list[str] = []
    before: object = None
    for piece in pieces:
        lines = [MARK + piece.label] if piece.label else []
        if several and _kind(piece.scope) != before:
            lines.insert(0, MARK + _status(piece.scope))
        before = _kind(piece.scope)
        body = piece.text.replace(_FORGED, "|").strip("\n")
        out.append("\n".join((*lines, body)) if body.strip() else "\n".join(lines))
    return "\n\n".join(text for text in out if text.strip())


def _kind(scope: Scope) -> tuple[bool, bool, frozenset[int]]:
    return scope.encrypted, scope.full, scope.signatures


def _status(scope: Scope) -> str:
    encrypted = "encrypted" if scope.encrypted else "not encrypted"
    signed = "under a signature (see the signatures)" if scope.signatures else "not signed"
    return f"The following was {encrypted}, {signed}."

"""Walking the tree of a message: what is shown, what is attached, and what must be opened on the way.

Rules:
1. Plain text is preferred to HTML; where the two differ strongly, both are shown, each named for what it is.
2. Every node is recorded, shown or not; every leaf that is no text of the message is an attachment.
3. An opened layer is walked with a scope of its own (`pieces.Scope`); its text never joins what surrounds it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from gateway import limits, protected
from gateway.alternatives import differ, face, face_leaf, formatted_leaves
from gateway.attached import Attached
from gateway.decoding import text_of, tidy
from gateway.envelope import Crypto, canonical
from gateway.fields import one_line
from gateway.html import Rendered, to_text
from gateway.mime import NESTED, Entity, looks_like_headers, parse, text_entity
from gateway.opened import Active, Failure, Oddity, Part
from gateway.pieces import ATTACHED_MESSAGE, FAILED, FORMATTED, Node, Piece, Scope
from gateway.reading import Reading, TooMuch
from gateway.structures import Run, Structure, ciphertext, inline, structure
from keys.openpgp import Unsealed

_SILENT: Final = frozenset({
    "application/pgp-signature", "application/pgp-encrypted", "application/pkcs7-signature",
    "application/x-pkcs7-signature",
})  # fmt: skip
_REPORTS: Final = frozenset({"message/delivery-status", "message/disposition-notification", "message/feedback-report"})
_ARMORED: Final = re.compile(
    r"-----BEGIN PGP (?:SIGNED )?MESSAGE-----\n.*-----END PGP (?:SIGNATURE|MESSAGE)-----", re.DOTALL
)


@dataclass(slots=True)
class Walker:
    crypto: Crypto
    reading: Reading
    pieces: list[Piece] = field(default_factory=list)
    attached: Attached = field(init=False)
    nodes: list[Node] = field(default_factory=list)
    active: dict[Active, None] = field(default_factory=dict)
    payload: Entity | None = None
    payload_scope: Scope = field(default_factory=Scope)

    def __post_init__(self) -> None:
        self.attached = Attached(self.crypto)

    async def visit(self, entity: Entity, scope: Scope, *, show: bool = True) -> None:
        self.nodes.append(node := Node(entity, scope))
        what = structure(entity)
        if what is Structure.PLAIN:
            self._claims(entity, scope)
            if entity.is_multipart:
                await self._multipart(entity, scope, show=show)
            elif entity.media_type in NESTED and entity.children:
                await self._message(entity, scope, show=show)
            else:
                node.shown = await self._leaf(entity, scope, show=show)
        elif not show:
            self._record(entity, scope)
        elif what in (Structure.PGP_ENCRYPTED, Structure.PGP_MANGLED):
            await self._encrypted(entity, scope, mangled=what is Structure.PGP_MANGLED)
        elif what is Structure.WRAPPED:
            self.reading.note(Oddity.REPAIRED)
            self._record(entity, scope)
            inner = entity.children[-1]
            await self.visit(parse(inner.data, self.reading, path=f"{inner.path}.1"), scope)
        elif what is Structure.PGP_SIGNED:
            await self._signed(entity, scope)
        elif what in (Structure.SMIME_SIGNED, Structure.UNKNOWN_SIGNED):
            numbers = self.crypto.add_error(scope)
            await self._visit_signed(entity, scope, numbers)
        else:
            self._record(entity, scope)
            if what is Structure.SMIME_OPAQUE:
                scope = scope.signed(self.crypto.add_error(scope))
            self._failed(Failure.UNSUPPORTED, scope, encrypted=what is not Structure.SMIME_OPAQUE)

    def _claims(self, entity: Entity, scope: Scope) -> None:
        """Finds the root of the payload; protected header fields anywhere else are phony."""
        first = self.payload is None and scope.root
        if first:
            self.payload, self.payload_scope = entity, scope
        if protected.claims(entity) and not (first and scope.layers) and entity is not self._legacy():
            self.reading.note(Oddity.PHONY_PROTECTED_HEADER)

    def _legacy(self) -> Entity | None:
        return protected.legacy_part(self.payload) if self.payload and self.payload_scope.layers else None

    def _record(self, entity: Entity, scope: Scope) -> None:
        for child in entity.children:
            self.nodes.append(Node(child, scope.inside()))
            self._record(child, scope)

    # --- cryptographic layers

    async def _encrypted(self, entity: Entity, scope: Scope, *, mangled: bool) -> None:
        if mangled:
            self.reading.note(Oddity.REPAIRED)
        self._record(entity, scope)
        holder = ciphertext(entity)
        if holder is None:
            self._failed(Failure.BAD_DATA, scope, encrypted=False)
            return
        extra = [] if mangled or len(entity.children) == 2 else [c for c in entity.children if c is not holder]
        if any(child.data.strip() and child.media_type not in _SILENT for child in extra):
            scope = scope.inside()
        await self._open(holder.data, entity.path, scope, holder)
        for child in extra:
            if child.media_type not in _SILENT:
                await self.visit(child, scope)

    async def _open(self, data: bytes, path: str, scope: Scope, holder: Entity, *, as_text: bool = False) -> None:
        if scope.layers >= limits.CRYPTO_LAYERS:
            self._failed(Failure.TOO_DEEP, scope, encrypted=True)
            return
        opened = await self.crypto.decrypt(data)
        if isinstance(opened, Failure):
            self._failed(opened, scope, encrypted=opened is not Failure.BAD_DATA)
            return
        inner = scope
        if opened.opened_by is not None:
            self.crypto.sealed_inside(scope)
            inner = scope.decrypted()
        if opened.verifications:
            inner = inner.signed(self.crypto.add(opened.verifications, scope))
        plaintext = opened.plaintext.reveal()
        path = f"{path}.p1"
        if not as_text and looks_like_headers(plaintext):
            await self.visit(parse(plaintext, self.reading, path=path), inner)
        else:
            await self.visit(text_entity(plaintext, path, holder.charset if as_text else ""), inner)

    async def _signed(self, entity: Entity, scope: Scope) -> None:
        if scope.layers >= limits.CRYPTO_LAYERS:
            self._record(entity, scope)
            self._failed(Failure.TOO_DEEP, scope, encrypted=False)
            return
        result: Unsealed | None = None
        if len(entity.children) >= 2:
            signature = entity.children[1]
            result = await self.crypto.verify(canonical(entity.children[0].raw), signature.data)
        found = result.verifications if result else ()
        numbers = self.crypto.add(found, scope) if found else self.crypto.add_error(scope)
        await self._visit_signed(entity, scope, numbers)

    async def _visit_signed(self, entity: Entity, scope: Scope, numbers: frozenset[int]) -> None:
        """The first part is covered; the second is the signature; others stand beside it, uncovered."""
        await self.visit(entity.children[0], scope.signed(numbers))
        for child in entity.children[1:2]:
            self.nodes.append(Node(child, scope.inside()))
        for child in entity.children[2:]:
            await self.visit(child, scope.inside())

    def _failed(self, what: Failure, scope: Scope, *, encrypted: bool) -> None:
        self.crypto.fail(what)
        if encrypted:
            self.crypto.sealed_inside(scope)
            scope = scope.decrypted()
        self.pieces.append(Piece(text="", scope=scope, label=FAILED[what]))

    # --- structure

    async def _multipart(self, entity: Entity, scope: Scope, *, show: bool) -> None:
        kind = entity.media_type.removeprefix("multipart/")
        children = entity.children
        inside = scope.inside()
        if kind == "alternative" and all(structure(child) is Structure.PLAIN for child in children):
            await self._alternative(entity, scope, show=show)
            return
        start = 0
        if kind == "related":
            wanted = entity.content.params.get("start", "")
            start = next((i for i, c in enumerate(children) if wanted and c.fields.text("content-id") == wanted), 0)
        legacy = self._legacy() if entity is self.payload else None
        for index, child in enumerate(children):
            if kind == "report" and index >= 2:
                self.nodes.append(Node(child, inside))
                self._record(child, inside)
                continue
            hidden = child is legacy or (kind == "related" and index != start)
            await self.visit(child, inside, show=show and not hidden)

    async def _alternative(self, entity: Entity, scope: Scope, *, show: bool) -> None:
        children = entity.children
        plain = next((c for c in children if face(c) == "text/plain"), None)
        html = next((c for c in children if face(c) == "text/html"), None)
        said = face_leaf(plain).text(self.reading) if plain else ""
        chosen = plain if said.strip() else html or plain or children[-1]
        twins = scope if all(not c.children and c.media_type.startswith("text/") for c in children) else scope.inside()
        for child in children:
            await self.visit(child, twins if child is chosen else scope.inside(), show=show and child is chosen)
        if not show or html is None or chosen is not plain or "-----BEGIN PGP " in said:
            return
        try:
            formatted = "\n\n".join(self._render(leaf, scope).text for leaf in formatted_leaves(html))
        except TooMuch:
            return  # it isn't shown
        if differ(said, formatted):
            self.reading.note(Oddity.ALTERNATIVES_DIFFER)
            self.pieces.append(Piece(text=formatted, scope=scope.inside(), html=True, label=FORMATTED))
            for node in self.nodes:
                node.shown = node.shown or any(node.entity is leaf for leaf in formatted_leaves(html))

    async def _message(self, entity: Entity, scope: Scope, *, show: bool) -> None:
        """A message in a message. Its own header is just text to us."""
        child = entity.children[0]
        inside = scope.inside()
        if show and not (scope.layers and entity is self.payload and protected.wraps(entity)):
            lines = [
                f"{name}: {one_line(child.fields.text(name.lower()))[: limits.SUBJECT_CHARACTERS]}"
                for name in ("From", "To", "Date", "Subject")
                if name.lower() in child.fields
            ]
            self.pieces.append(Piece(text="\n".join(lines), scope=inside, label=ATTACHED_MESSAGE))
        await self.visit(child, inside, show=show)

    # --- leaves

    async def _leaf(self, entity: Entity, scope: Scope, *, show: bool) -> bool:
        kind = entity.media_type
        readable = kind in ("text/plain", "text/html") or kind in _REPORTS or kind.startswith("multipart/")
        if kind in _SILENT:
            return False
        if not readable or entity.is_attached or (entity.file_name and (self.pieces or not show)):
            if (found := await self.attached.take(self.nodes[-1])) is not None:
                self.nodes.append(found)
            return False
        if not show:
            return False
        if kind == "text/html":
            rendered = self._render(entity, scope)
            if _ARMORED.fullmatch(rendered.text.strip()):
                await self._stretches(rendered.text.encode(), entity, scope, html=True)
            else:
                self.pieces.append(Piece(text=rendered.text, scope=scope, html=True))
            return bool(rendered.text.strip())
        if b"-----BEGIN PGP " in entity.data:
            return await self._stretches(entity.data, entity, scope, html=False)
        text = entity.text(self.reading)
        if scope.full and entity.content.params.get("hp-legacy-display") == "1":
            text = protected.without_legacy_lines(text)
        self.pieces.append(Piece(text=text, scope=scope))
        return bool(text.strip())

    def _render(self, entity: Entity, scope: Scope) -> Rendered:
        if len(entity.data) > limits.HTML_BYTES * 4:
            raise TooMuch("html-size")
        legacy = scope.full and entity.content.params.get("hp-legacy-display") == "1"
        rendered = to_text(entity.text(self.reading), legacy_display=legacy)
        self.active.update(dict.fromkeys(rendered.active))
        if rendered.hidden:
            self.reading.note(Oddity.HIDDEN_TEXT)
        return rendered

    async def _stretches(self, data: bytes, entity: Entity, scope: Scope, *, html: bool) -> bool:
        """Inline PGP: an armored block that is the whole text keeps its place in the envelope, others stand beside
        what surrounds them. Whether the text itself is shown as it stood."""
        stretches = inline(data)
        if any(len(stretch.data) > limits.TEXT_BYTES for stretch in stretches if stretch.run is not Run.MESSAGE):
            raise TooMuch("text")
        within = scope if len(stretches) == 1 else scope.inside()
        clear = False
        for number, stretch in enumerate(stretches, 1):
            path = entity.path if number == 1 else f"{entity.path}.{number}"
            if stretch.run is Run.MESSAGE:
                await self._open(stretch.data, path, within, entity, as_text=True)
            elif stretch.run is Run.BROKEN and stretch.data.startswith(b"-----BEGIN PGP MESSAGE"):
                self._failed(Failure.BAD_DATA, within, encrypted=False)
            elif stretch.run is Run.SIGNED:
                await self._clear_signed(stretch.data, path, within, entity)
            else:
                clear = True
                text = tidy(text_of(stretch.data, "utf-8" if html else entity.charset)[0])[0]
                self.pieces.append(Piece(text=text, scope=within))
        return clear

    async def _clear_signed(self, data: bytes, path: str, scope: Scope, holder: Entity) -> None:
        result = await self.crypto.verify(data, None)
        if result is None or not result.verifications:
            scope = scope.signed(self.crypto.add_error(scope))
            text = tidy(text_of(data, holder.charset)[0])[0]
            self.pieces.append(Piece(text=text, scope=scope))
            return
        inner = scope.signed(self.crypto.add(result.verifications, scope))
        await self.visit(text_entity(result.plaintext.reveal(), f"{path}.p1", holder.charset), inner)

    # --- what came of it

    @property
    def scopes(self) -> list[Scope]:
        """Of everything that is shown or attached."""
        return [piece.scope for piece in self.pieces if piece.text.strip() or piece.label] + self.attached.scopes

    def parts(self) -> tuple[Part, ...]:
        return tuple(node.part() for node in self.nodes)

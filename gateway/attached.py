"""What is attached to a message: files, and the certificates that came along.

Rules:
1. An encrypted file (.pgp, .gpg, .asc) is opened by itself and stays a file: its content is never part of the text.
2. A file that is sealed to others is kept as it is; that is no failure of the message.
3. Certificates are only offered, within limits; whether to take them is the directory's to decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from gateway import facts, limits
from gateway.envelope import Crypto
from gateway.fields import Fields
from gateway.mime import Entity, text_entity
from gateway.opened import Attachment, Failure
from gateway.pieces import Node, Scope
from gateway.reading import TooMuch
from gateway.structures import armored_key, is_message
from keys.openpgp import Unsealed
from keys.secret import Secret

_ENCRYPTED: Final = (".pgp", ".gpg", ".asc")


@dataclass(slots=True)
class Attached:
    crypto: Crypto
    files: list[Attachment] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    certificates: list[bytes] = field(default_factory=list)

    async def take(self, node: Node) -> Node | None:
        """Keeps a leaf as a file. What was found in an encrypted one comes back as a node of its own.
        Raises TooMuch."""
        entity = node.entity
        name = entity.file_name or f"part {entity.path}"
        if entity.media_type == "application/pgp-keys" or armored_key(entity.data):
            self._offer(entity.data)
        elif name.lower().endswith(_ENCRYPTED) and is_message(entity.data):
            opened = await self.crypto.decrypt(entity.data)
            if isinstance(opened, Unsealed) and opened.opened_by is not None:
                inner = text_entity(opened.plaintext.reveal(), f"{entity.path}.p1")
                found = Node(inner, node.scope.inside().decrypted())
                self._keep(name[:-4], "application/octet-stream", inner, found.scope)
                return found
            if opened in (Failure.TOO_LARGE, Failure.TAMPERED, Failure.UNAVAILABLE):
                self.crypto.fail(opened)
            if opened is Failure.NO_KEY:
                node.scope = node.scope.inside().decrypted()
        self._keep(name, entity.media_type, entity, node.scope)
        return None

    def offers(self, fields: Fields, author: facts.Author, *, report: bool) -> tuple[bytes, ...]:
        """Certificates that came along; reports speak for somebody else (Autocrypt 1.1, section 2.3)."""
        for certificate in () if report else facts.autocrypt(fields, author.address):
            self._offer(certificate)
        return tuple(self.certificates)

    def _keep(self, name: str, kind: str, entity: Entity, scope: Scope) -> None:
        if len(self.files) >= limits.ATTACHMENTS:
            raise TooMuch("attachments")
        self.scopes.append(scope)
        self.files.append(Attachment(path=entity.path, name=Secret(name), media_type=kind, content=Secret(entity.data)))

    def _offer(self, certificate: bytes) -> None:
        if len(self.certificates) < limits.CERTIFICATES_OFFERED and len(certificate) <= limits.CERTIFICATE_BYTES:
            self.certificates.append(certificate)

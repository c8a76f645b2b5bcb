"""From a vector to the bytes on the wire: hostile bytes, OpenPGP by real gpg and the test people, DKIM by dkimpy.

Rule: what is made here is made by other programs than those under test, wherever one exists.
"""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dkim
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from vector_format import FormatError, Record, Vector, crlf, unescaped
from vector_hostile import GENERATED

from keys.openpgp import Fingerprint
from keys.testing import Identity, clear_signed, encrypted, gpg, identities, new_home, new_identity, signed

ONLY_SIGNS: Final = "Key-Type: eddsa\nKey-Curve: ed25519\nKey-Usage: sign cert\n"


def raw(vector: Vector) -> bytes:
    """The complete message, CRLF at line ends unless the vector wants others. Raises FormatError."""
    if vector.generate:
        word, *rest = vector.generate.split()
        if word not in GENERATED:
            raise FormatError(f"nothing generates {word!r}")
        return GENERATED[word](vector, *rest)
    message = crlf(vector.message)
    message = unescaped(message) if vector.escapes else message
    if vector.protect:
        message = protected(message, vector.protect, vector.damage)
    if b"\nmessage-id:" not in b"\n" + message.partition(b"\r\n\r\n")[0].lower() and b":" in message[:80]:
        message = b"Message-ID: <%s@vectors.example>\r\n" % vector.name.replace("/", ".").encode() + message
    return dkim_signed(message, vector.dkim) if vector.dkim else message


# --- people


@functools.cache
def person(name: str) -> Identity:
    """alice, bob (whom the gateway trusts), mallory (whom nobody knows), the mailboxes; and, trusted too: erin, whose
    key is past its time, and rex, whose key is withdrawn. oscar's key can't encrypt."""
    if name == "erin":
        return of_the_past("Erin", "erin@example.org")
    if name == "rex":
        return withdrawn(new_identity("Rex", "rex@example.org"))
    if name == "oscar":
        return new_identity("Oscar", "oscar@example.org", parameters=f"{ONLY_SIGNS}Expire-Date: 0\n")
    try:
        return identities()[name]
    except KeyError:
        raise FormatError(f"nobody is called {name}") from None


TRUSTED: Final = ("alice", "bob", "erin", "rex", "oscar")


def withdrawn(who: Identity) -> Identity:
    """With their certificate as it is after they revoked their key; the home keeps signing, as a thief's would."""
    text = (who.home / "openpgp-revocs.d" / f"{who.fingerprint}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    thief = new_home_of(who)
    who.gpg("--import", stdin=text.encode())
    certificate = who.gpg("--export", who.fingerprint)
    return Identity(who.name, who.address, who.fingerprint, thief, certificate, who.secret)


def new_home_of(who: Identity) -> Path:
    home = new_home()
    gpg(home, "--import", stdin=who.secret)
    return home


def of_the_past(name: str, address: str) -> Identity:
    """Their key was good from January to June 2024."""
    home = new_home()
    told = (
        f"{ONLY_SIGNS}Expire-Date: 20240601T000000\nName-Real: {name}\nName-Email: {address}\n%no-protection\n%commit\n"
    )
    gpg(home, "--faked-system-time", "20240101T000000", "--gen-key", stdin=told.encode())
    listing = gpg(home, "--with-colons", "--list-secret-keys").decode()
    fingerprint = Fingerprint(next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")))
    return Identity(
        name, address, fingerprint, home, gpg(home, "--export", fingerprint),
        gpg(home, "--export-secret-keys", fingerprint),
    )  # fmt: skip


def signing_options(name: str) -> tuple[str, ...]:
    """Erin signed while her key was good; today it isn't."""
    return ("--faked-system-time", "20240201T000000") if name == "erin" else ()


# --- OpenPGP


@dataclass(frozen=True, slots=True)
class Way:
    """`protect: WAY [by NAME] [to NAME]… [OPTION]…`; options: sha1, brief (a signature that ends at once), subject
    (the subject travels inside, RFC 9788), from-NAME (another From inside), no-mdc, newlines (a bare CR inside)."""

    kind: str
    by: str
    to: tuple[str, ...]
    options: frozenset[str]

    @classmethod
    def read(cls, text: str) -> Way:
        words = text.split()
        kind, by, to, options = words[0], "alice", [], set()
        rest = iter(words[1:])
        for word in rest:
            if word == "by":
                by = next(rest)
            elif word == "to":
                to.append(next(rest))
            elif word in ("sha1", "brief", "subject", "no-mdc", "newlines") or word.startswith("from-"):
                options.add(word)
            else:
                raise FormatError(f"protect doesn't know {word!r}")
        return cls(kind, by, tuple(to or ["support"]), frozenset(options))

    def sign_options(self) -> tuple[str, ...]:
        found = [*signing_options(self.by)]
        if "sha1" in self.options:
            found += ["--digest-algo", "SHA1", "--allow-weak-digest-algos"]
        if "brief" in self.options:
            found += ["--default-sig-expire", "seconds=1"]
        return tuple(found)

    def seal(self, data: bytes, *, sign: bool = False, armor: bool = True, compress: bool = True) -> bytes:
        options = (*self.sign_options(),) if sign else ()
        if not compress:
            options = (*options, "--compress-algo", "none")
        if "no-mdc" in self.options:
            options = (*options, "--rfc2440", "--disable-mdc")
        to = [person(name).certificate for name in self.to]
        return encrypted(data, to=to, by=person(self.by) if sign else None, options=options, armor=armor)

    def sign(self, data: bytes) -> bytes:
        return signed(data, person(self.by), options=self.sign_options())


def protected(message: bytes, protect: str, damage: str) -> bytes:
    """The message's content under OpenPGP; its other header fields stay outside."""
    way = Way.read(protect)
    outer, content, body = split(message)
    harm = Damage.read(damage)
    if way.kind == "file":
        return outer + beside_a_file(way, body)
    if way.kind.startswith("inline") or way.kind == "clear-signed":
        return outer + content + b"\r\n" + inline(way, harm, body)
    fields = inner_fields(way, outer)
    if fields:
        content = content.replace(b"\r\n", b'; hp="cipher"\r\n', 1)
    inner = fields + content + b"\r\n" + body
    if "newlines" in way.options:
        inner = inner.replace(b": ", b":\r ", 1)
    if "subject" in way.options:
        outer = re.sub(rb"(?im)^subject:[^\r]*", b"Subject: ...", outer)
    match way.kind:
        case "sealed":
            return outer + harm.around(enveloped(harm.ciphertext(way, inner)))
        case "sealed+signed":
            return outer + harm.around(enveloped(harm.ciphertext(way, inner, sign=True)))
        case "signed":
            return outer + harm.around(detached(harm, inner, way.sign(harm.before(inner))))
        case "signed-then-sealed":
            return outer + harm.around(enveloped(way.seal(detached(harm, inner, way.sign(inner)))))
        case "sealed-then-signed":
            middle = enveloped(way.seal(inner))
            return outer + detached(harm, middle, way.sign(middle))
        case _:
            raise FormatError(f"protect has no way {way.kind!r}")


def split(message: bytes) -> tuple[bytes, bytes, bytes]:
    """Fields for the outside (MIME-Version added), Content-* fields, body."""
    head, _, body = message.partition(b"\r\n\r\n")
    fields = re.split(rb"\r\n(?![ \t])", head)
    content = [field for field in fields if field.lower().startswith(b"content-")]
    outer = [field for field in fields if field not in content and not field.lower().startswith(b"mime-version")]
    return (
        b"".join(field + b"\r\n" for field in (*outer, b"MIME-Version: 1.0")),
        b"".join(field + b"\r\n" for field in content or [b"Content-Type: text/plain; charset=utf-8"]),
        body,
    )


def inner_fields(way: Way, outer: bytes) -> bytes:
    fields = b""
    if "subject" in way.options:
        found = re.search(rb"(?im)^subject:[^\r]*\r\n", outer)
        fields += found[0] if found else b""
    other = next((word.removeprefix("from-") for word in way.options if word.startswith("from-")), "")
    if other:
        fields += f"From: {person(other).address}\r\n".encode()
    return fields


def enveloped(ciphertext: bytes) -> bytes:
    """RFC 3156, section 4: the content fields and the body."""
    return crlf(
        b'Content-Type: multipart/encrypted; protocol="application/pgp-encrypted"; boundary=e\n\n'
        b"--e\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n"
        b"--e\nContent-Type: application/octet-stream; name=encrypted.asc\n\n" + ciphertext + b"\n--e--\n"
    )


def detached(harm: Damage, entity: bytes, signature: bytes) -> bytes:
    """RFC 3156, section 5."""
    kind = b'multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha512; boundary=s'
    body = crlf(harm.signature(signature))
    parts = b"--s\r\n%s\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\n%s\r\n--s--\r\n" % (entity, body)
    return b"Content-Type: %s\r\n\r\n%s" % (kind, parts)


def beside_a_file(way: Way, body: bytes) -> bytes:
    """A clear text, and a file that was encrypted by hand."""
    kind = b"Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n"
    file = b"Content-Type: application/octet-stream; name=plan.txt.asc\r\n"
    disposition = b"Content-Disposition: attachment; filename=plan.txt.asc\r\n\r\n"
    return kind + body + b"--m\r\n" + file + disposition + crlf(way.seal(b"the plan itself\n")) + b"--m--\r\n"


def inline(way: Way, harm: Damage, body: bytes) -> bytes:
    if way.kind == "clear-signed":
        block = clear_signed(body.replace(b"\r\n", b"\n"), person(way.by), options=way.sign_options())
    else:
        block = harm.ciphertext(way, body, sign=way.kind.endswith("signed"))
    return harm.beside(crlf(block))


@dataclass(frozen=True, slots=True)
class Damage:
    """What happens on the way, in one word and its argument."""

    kind: str
    words: str = ""

    KINDS = (
        "",
        "flip",
        "truncate",
        "garbage",
        "bomb",
        "deep",
        "text",
        "no-signature",
        "footer",
        "around",
        "exchange",
        "no-end",
    )

    @classmethod
    def read(cls, text: str) -> Damage:
        kind, _, words = text.partition(" ")
        if kind not in cls.KINDS:
            raise FormatError(f"no damage is called {kind!r}")
        return cls(kind, words)

    def before(self, entity: bytes) -> bytes:
        """What was signed, where the text was changed afterwards."""
        return entity.replace(self.words.encode(), b"something else") if self.kind == "text" else entity

    def signature(self, signature: bytes) -> bytes:
        return b"no signature" if self.kind == "no-signature" else signature

    def ciphertext(self, way: Way, plain: bytes, *, sign: bool = False) -> bytes:
        if self.kind == "bomb":
            huge = b"Content-Type: text/plain\r\n\r\n" + b"0" * 100_000_000
            to = [person(name).certificate for name in way.to]
            bomb = encrypted(
                huge, to=to, options=("--compress-algo", "bzip2", "--bzip2-compress-level", "9"), armor=False
            )
            assert len(bomb) < 2_000
            return armored(bomb)
        if self.kind == "deep":
            for _ in range(6):
                plain = enveloped(way.seal(plain))
            return way.seal(plain, sign=sign)
        if self.kind == "garbage":
            return b"-----BEGIN PGP MESSAGE-----\n\nbm90IHJlYWxseQ==\n-----END PGP MESSAGE-----\n"
        if self.kind in ("flip", "truncate"):
            binary = way.seal(plain, sign=sign, armor=False, compress=False)
            if self.kind == "truncate":
                return armored(binary[:-40])
            at = len(binary) - 60
            return armored(binary[:at] + bytes([binary[at] ^ 1]) + binary[at + 1 :])
        if self.kind == "no-end":
            return way.seal(plain, sign=sign).replace(b"-----END PGP MESSAGE-----", b"")
        return way.seal(plain, sign=sign)

    def around(self, content: bytes) -> bytes:
        """Content fields and body, as others on the way left them."""
        if self.kind == "footer":
            return (
                b"Content-Type: multipart/mixed; boundary=list\r\n\r\n--list\r\n" + content
                + b"\r\n--list\r\nContent-Type: text/plain\r\n\r\n" + self.words.encode() + b"\r\n--list--\r\n"
            )  # fmt: skip
        if self.kind == "exchange":
            kind = b'multipart/encrypted; protocol="application/pgp-encrypted"'
            return content.replace(kind, b"multipart/mixed").replace(
                b"--e\r\n", b"--e\r\nContent-Type: text/plain\r\n\r\n\r\n--e\r\n", 1
            )
        if self.kind == "around":
            return (
                b"Content-Type: multipart/mixed; boundary=list\r\n\r\n--list\r\nContent-Type: text/html\r\n\r\n"
                + self.words.encode() + b"\r\n--list\r\n" + content
                + b"\r\n--list\r\nContent-Type: text/html\r\n\r\n\">\r\n--list--\r\n"
            )  # fmt: skip
        return content

    def beside(self, block: bytes) -> bytes:
        """Inline PGP, and what stands around it."""
        if self.kind == "around":
            return self.words.encode() + b"\r\n\r\n" + block + b"\r\nThank you!\r\n"
        if self.kind == "footer":
            return block + b"\r\n" + self.words.encode() + b"\r\n"
        return block


def armored(binary: bytes) -> bytes:
    return b"-----BEGIN PGP MESSAGE-----\n\n" + base64.encodebytes(binary) + b"-----END PGP MESSAGE-----\n"


# --- DKIM


@functools.cache
def dkim_key() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


def dkim_record(vector: Vector) -> tuple[Record, ...]:
    """The key's record, for a vector that is signed."""
    if not vector.dkim:
        return ()
    domain, selector, *_ = vector.dkim.split()
    der = dkim_key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    value = f"v=DKIM1; k=rsa; p={base64.b64encode(der).decode()}"
    return (Record(f"{selector}._domainkey.{domain}", "TXT", value),)


def dkim_signed(message: bytes, told: str) -> bytes:
    """`dkim: DOMAIN SELECTOR [changed | partly]`: changed after signing; or signed in part (l=) and added to."""
    domain, selector, *how = told.split()
    pem = dkim_key().private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    field = dkim.sign(
        message, selector.encode(), domain.encode(), pem, length="partly" in how,
        include_headers=[b"from", b"to", b"subject", b"date"],
    )  # fmt: skip
    if "changed" in how:
        message += b"and one line more\r\n"
    if "partly" in how:
        message += b"Added by somebody on the way.\r\n"
    return bytes(field) + message


def zone(vectors: Sequence[Vector]) -> dict[str, list[Record]]:
    """All vectors' names. Two may state the same; different things of one name and type are joined in order."""
    found: dict[str, list[Record]] = {}
    for vector in vectors:
        for record in (*vector.dns, *dkim_record(vector)):
            known = found.setdefault(record.name.lower(), [])
            if record not in known:
                known.append(record)
    return found

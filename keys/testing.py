"""Throwaway keys and messages for tests: alice and bob (customers), mallory (attacker), the company's mailboxes.

Made once per test process with real gpg, in memory folders that go when the process ends. Nothing here is imported by
the program.

    people = identities()                       # cached
    people["alice"].fingerprint, .certificate   # bytes, binary
    company = Company(tmp_path)                 # a keys folder with mailbox keys, as `vestibule init` makes it
    message = encrypted(b"hello", to=[company.certificate], by=people["alice"])
    FakeOpenPGP()                               # the contract without gpg
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from keys import home
from keys.errors import BadData, CannotDecrypt, CertCannotEncrypt, KeyCannotSign, MissingKey, TooLarge
from keys.gnupg import Gpg
from keys.gnupg_program import environment
from keys.openpgp import Fingerprint, Sealed, SignatureStatus, Unsealed, Verification
from keys.secret import Secret

ADDRESSES: Final = {
    "alice": ("Alice", "alice@example.org"),
    "bob": ("Bob", "bob@example.net"),
    "mallory": ("Mallory", "mallory@example.com"),
    "support": ("Support", "support@acme.example"),
    "billing": ("Billing", "billing@acme.example"),
}


@dataclass(frozen=True, slots=True)
class Identity:
    """`home` is a GNUPGHOME with the secret key in it: a foreign one, as a customer's. `secret` is the exported key."""

    name: str
    address: str
    fingerprint: Fingerprint
    home: Path
    certificate: bytes
    secret: bytes = field(repr=False)

    def gpg(self, *words: str, stdin: bytes = b"", check: bool = True) -> bytes:
        """Real gpg, by hand: a foreign program."""
        return gpg(self.home, *words, stdin=stdin, check=check)


def gpg(folder: Path, *words: str, stdin: bytes = b"", check: bool = True) -> bytes:
    done = subprocess.run(
        ["gpg", "--homedir", str(folder), "--batch", "--no-tty", "--trust-model", "always", "--quiet", *words],
        input=stdin, capture_output=True, env=environment(), timeout=60, check=False,
    )  # fmt: skip
    if check and done.returncode:
        raise AssertionError(f"gpg {words[-1:]}: {done.stderr.decode(errors='replace')}")
    return done.stdout


@functools.cache
def identities() -> dict[str, Identity]:
    return {key: _identity(name, address) for key, (name, address) in ADDRESSES.items()}


def new_home() -> Path:
    """An empty GNUPGHOME that goes, with its agent, when the process ends."""
    base = Path("/dev/shm")  # noqa: S108 - mkdtemp makes the name and the mode
    folder = Path(tempfile.mkdtemp(prefix="vt-", dir=base if base.is_dir() else None))
    home.prepare(folder)
    atexit.register(_remove, folder)
    return folder


def new_identity(name: str, address: str, *, parameters: str = "") -> Identity:
    """A key of its own; `parameters` are lines of gpg's unattended key generation instead of the usual ones."""
    return _identity(name, address, parameters)


def meet(who: Identity, *certificates: bytes) -> None:
    """They take certificates into their key ring."""
    for certificate in certificates:
        who.gpg("--import", stdin=certificate)


def encrypted(
    plaintext: bytes,
    *,
    to: Sequence[bytes],
    by: Identity | None = None,
    options: Sequence[str] = (),
    armor: bool = True,
) -> bytes:
    """As a customer's own gpg makes it. `to` are certificates; with `by`, it is signed by them."""
    sender = by or identities()["alice"]
    meet(sender, *to)
    recipients = [word for one in to for word in ("-r", fingerprint_of(one))]
    words = ["--armor"] if armor else []
    if by is not None:
        words += ["--sign", "--local-user", by.fingerprint]
    return sender.gpg(*words, *recipients, *options, "--encrypt", stdin=plaintext)


def signed(data: bytes, by: Identity, *, options: Sequence[str] = ()) -> bytes:
    """A detached signature."""
    return by.gpg("--armor", "--local-user", by.fingerprint, *options, "--detach-sign", stdin=data)


def clear_signed(text: bytes, by: Identity, *, options: Sequence[str] = ()) -> bytes:
    return by.gpg("--local-user", by.fingerprint, *options, "--clear-sign", stdin=text)


def fingerprint_of(certificate: bytes) -> Fingerprint:
    with tempfile.TemporaryDirectory(prefix="vt-") as folder:
        listing = gpg(Path(folder), "--with-colons", "--show-keys", stdin=certificate).decode()
    return Fingerprint(next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr")))


def tampered(binary: bytes, offset: int) -> bytes:
    """One bit changed."""
    changed = bytearray(binary)
    changed[offset] ^= 1
    return bytes(changed)


def give_mailboxes(folder: Path, *names: str) -> dict[str, Fingerprint]:
    """Puts the throwaway keys of mailboxes (support, billing) into a GNUPGHOME."""
    engine = Gpg(folder)
    return {name: engine.import_own(identities()[name].secret)[0] for name in names or ("support", "billing")}


@dataclass(frozen=True, slots=True)
class House:
    """The company's engine with its mailboxes' keys; alice and bob are known to it, mallory is not."""

    gpg: Gpg
    support: Fingerprint
    billing: Fingerprint
    support_certificate: bytes
    people: dict[str, Identity]

    @classmethod
    def build(cls) -> House:
        engine = Gpg(new_home(), customers=new_home() / "customers.kbx")
        mailboxes = give_mailboxes(engine.home)
        people = identities()
        for name in ("alice", "bob"):
            engine.import_certificates(people[name].certificate)
        return cls(engine, mailboxes["support"], mailboxes["billing"], people["support"].certificate, people)


def _identity(name: str, address: str, parameters: str = "") -> Identity:
    folder = new_home()
    parameters = parameters or (
        "Key-Type: eddsa\nKey-Curve: ed25519\nKey-Usage: sign cert\n"
        "Subkey-Type: ecdh\nSubkey-Curve: cv25519\nSubkey-Usage: encrypt\nExpire-Date: 0\n"
    )
    told = f"{parameters}Name-Real: {name}\nName-Email: {address}\n%no-protection\n%commit\n"
    gpg(folder, "--gen-key", stdin=told.encode())
    listing = gpg(folder, "--with-colons", "--list-secret-keys").decode()
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr"))
    return Identity(
        name=name,
        address=address,
        fingerprint=Fingerprint(fingerprint),
        home=folder,
        certificate=gpg(folder, "--export", fingerprint),
        secret=gpg(folder, "--export-secret-keys", fingerprint),
    )


def _remove(folder: Path) -> None:
    subprocess.run(
        ["gpgconf", "--homedir", str(folder), "--kill", "all"], check=False, env=environment(), timeout=10,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)


# --- without gpg


class _Letter(msgspec.Struct):
    plaintext: bytes
    to: tuple[str, ...]
    signed_by: str
    intact: bool = True


@dataclass
class FakeOpenPGP:
    """The contract of `keys.openpgp.OpenPGP`, without cryptography: a message says in clear what it would be.

    `own` are fingerprints that open and sign; `known` are certificates that signatures can be checked with and that
    can be sealed to; `expired` of either are so."""

    own: frozenset[Fingerprint] = frozenset()
    known: frozenset[Fingerprint] = frozenset()
    expired: frozenset[Fingerprint] = frozenset()

    MAGIC = b"\xc1FAKE"

    async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed:
        letter = self._read(sealed.data, max_bytes)
        ours = [Fingerprint(name) for name in letter.to if name in self.own]
        if letter.to and not ours:
            raise MissingKey
        if not letter.intact:
            raise CannotDecrypt
        return Unsealed(
            plaintext=Secret(letter.plaintext),
            verifications=(self._verification(letter.signed_by),) if letter.signed_by else (),
            opened_by=ours[0] if ours else None,
            expired_key=bool(ours) and ours[0] in self.expired,
        )

    async def verify(
        self, signed: Secret[bytes], signature: bytes | None, /, *, max_bytes: int, seconds: float
    ) -> Unsealed:
        if signature is None:
            return await self.open(Sealed(signed.reveal()), max_bytes=max_bytes, seconds=seconds)
        letter = self._read(signature, max_bytes)
        verification = self._verification(letter.signed_by)
        if letter.plaintext != signed.reveal():
            verification = replace(verification, status=SignatureStatus.BAD, signing_key=None, primary_key=None)
        return Unsealed(plaintext=signed, verifications=(verification,))

    async def seal(
        self, plaintext: Secret[bytes], /, *, to: Sequence[Fingerprint], sign_as: Fingerprint, seconds: float
    ) -> Sealed:
        if sign_as not in self.own:
            raise KeyCannotSign
        if not to or not self.known.issuperset(to):
            raise MissingKey
        if self.expired.intersection(to):
            raise CertCannotEncrypt
        return Sealed(self.letter(plaintext.reveal(), to=to, signed_by=sign_as))

    async def sign(self, signed: Secret[bytes], /, *, sign_as: Fingerprint, seconds: float) -> bytes:
        if sign_as not in self.own:
            raise KeyCannotSign
        return self.letter(signed.reveal(), signed_by=sign_as)

    @classmethod
    def letter(cls, plaintext: bytes, *, to: Sequence[str] = (), signed_by: str = "", intact: bool = True) -> bytes:
        return cls.MAGIC + msgspec.msgpack.encode(_Letter(plaintext, tuple(to), signed_by, intact))

    def _read(self, data: bytes, max_bytes: int) -> _Letter:
        try:
            letter = msgspec.msgpack.decode(data.removeprefix(self.MAGIC), type=_Letter)
        except msgspec.MsgspecError:
            raise BadData from None
        if len(letter.plaintext) > max_bytes:
            raise TooLarge
        return letter

    def _verification(self, signer: str) -> Verification:
        name = Fingerprint(signer)
        if name not in self.known and name not in self.own:
            return Verification(status=SignatureStatus.UNKNOWN_KEY, signing_key=name, primary_key=None, signed_at=None)
        status = SignatureStatus.EXPIRED_KEY if name in self.expired else SignatureStatus.GOOD
        return Verification(
            status=status, signing_key=name, primary_key=name, signed_at=datetime(2026, 1, 1, tzinfo=UTC)
        )

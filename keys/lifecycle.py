"""What is due with our keys, and the backup of keys and database as one sealed file.

    backup file = magic | Argon2id costs | salt | check | chunks
    chunk       = AES-256-GCM over 64 KiB; nonce = number | last?; the whole head is bound to each

Rules:
1. Chunks are numbered and the last one is marked: cut, swapped or joined files don't open (STREAM, Hoang et al. 2015).
2. A wrong passphrase is CannotDecrypt, told by a check of 16 bytes that comes out of the same Argon2id run and helps
   nobody guess faster than the first chunk would; what was changed or cut is BadData. More is not said.
3. Costs in a file are bounded before they are paid: a forged head buys no memory.
4. Restoring overwrites nothing and shows nothing before the last chunk has opened.
5. Key files are read before and after the database is copied: rotation in between loses no key that a row needs.
"""

from __future__ import annotations

import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from keys import keyfiles, keyring
from keys.box import Purpose
from keys.errors import BadData, CannotDecrypt, MissingKey
from keys.openpgp import Certificate, Fingerprint, OwnKey
from keys.secret import Secret

MAGIC: Final = b"VSBK1\n"
CHUNK_BYTES: Final = 65_536
TAG_BYTES: Final = 16
SALT_BYTES: Final = 16
COSTS: Final = (3, 4, 65_536)  # iterations, lanes, KiB: RFC 9106, section 4, second choice
COSTS_MOST: Final = (16, 16, 1_048_576)
NAME_BYTES: Final = 4_096
EXPIRY_WARNING: Final = timedelta(days=30)
_COSTS: Final = struct.Struct(">III")
_LENGTH: Final = struct.Struct(">I")
_NOT_KEPT: Final = ("S.", ".#", "random_seed", ".")
"""gpg's sockets, locks and seed; our own half-made or half-destroyed files."""


# --- what is due


class What(StrEnum):
    BOX_KEY = "box-key"
    MAILBOX_KEY_EXPIRES = "mailbox-key-expires"
    MAILBOX_KEY_EXPIRED = "mailbox-key-expired"
    CERTIFICATE_EXPIRES = "certificate-expires"
    CERTIFICATE_EXPIRED = "certificate-expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """`name` is a purpose or a fingerprint; `at` is when it is or was due."""

    what: What
    name: str
    at: datetime


def box_keys_due(folder: Path, periods: Mapping[Purpose, float], now: datetime) -> tuple[Due, ...]:
    """Purposes whose current key is older than its period in seconds, or that have none."""
    due = []
    for purpose, seconds in periods.items():
        try:
            at = keyring.current(folder, purpose)[1] + timedelta(seconds=seconds)
        except MissingKey:
            at = now
        if at <= now:
            due.append(Due(what=What.BOX_KEY, name=purpose, at=at))
    return tuple(due)


def mailbox_keys_due(keys: Iterable[OwnKey], now: datetime) -> tuple[Due, ...]:
    """Our own OpenPGP keys that end within thirty days, or have ended. A revoked one is nobody's business any more."""
    ends = ((key.fingerprint, key.expires_at) for key in keys if not key.revoked)
    return tuple(_ending(ends, now, What.MAILBOX_KEY_EXPIRES, What.MAILBOX_KEY_EXPIRED))


def certificates_due(certificates: Iterable[Certificate], now: datetime) -> tuple[Due, ...]:
    """The same of customers' certificates: whoever answers them should know before they can't."""
    ends = ((one.fingerprint, one.expires_at) for one in certificates if not one.revoked)
    return tuple(_ending(ends, now, What.CERTIFICATE_EXPIRES, What.CERTIFICATE_EXPIRED))


def _ending(
    ends: Iterable[tuple[Fingerprint, datetime | None]], now: datetime, soon: What, past: What
) -> Iterator[Due]:
    for name, at in ends:
        if at is not None and at - EXPIRY_WARNING <= now:
            yield Due(what=past if at <= now else soon, name=name, at=at)


# --- backup and restore


class _Record(msgspec.Struct, array_like=True):
    """Of one file: its path within the backup. An empty path ends the list."""

    path: str
    mode: int
    size: int


def backup(target: Path, passphrase: Secret[str], *, keys: Path, snapshot: Callable[[], Mapping[str, Path]]) -> int:
    """Writes `keys` (as keys/…) and the files that `snapshot` makes (by their names) into `target`, which must not
    exist; its size in bytes. Raises FileExistsError, OSError."""
    before = dict(_key_files(keys))
    others = snapshot()
    files = before | dict(_key_files(keys))
    hidden = target.with_name(f".{target.name}{keyfiles.NEW}")
    file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(file, "wb") as out:
            sealer = _Sealer(out, passphrase)
            for name, (mode, content) in sorted(files.items()):
                sealer.record(_Record(f"keys/{name}", mode, len(content)))
                sealer.write(content)
            for name, path in others.items():
                _seal_file(sealer, name, path)
            sealer.record(_Record("", 0, 0))
            sealer.end()
            out.flush()
            os.fsync(out.fileno())
        os.link(hidden, target)
    finally:
        hidden.unlink(missing_ok=True)
    keyfiles.sync_folder(target.parent)
    return target.stat().st_size


def restore(source: Path, folder: Path, passphrase: Secret[str]) -> tuple[Path, ...]:
    """Unpacks into `folder`, which must be empty or not there; what was made. Raises FileExistsError, CannotDecrypt
    (wrong passphrase), BadData (changed, cut, or no backup), OSError."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError
    draft = folder.with_name(f".{folder.name}.restoring")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        with source.open("rb") as file:
            made = _unpack(_Opener(file, passphrase), keyfiles.folder(draft))
        if folder.exists():
            folder.rmdir()
        draft.rename(folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    keyfiles.sync_folder(folder.parent)
    return tuple(folder / name for name in made)


def _key_files(folder: Path) -> Iterator[tuple[str, tuple[int, bytes]]]:
    for path in folder.rglob("*"):
        try:
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode) and not path.name.startswith(_NOT_KEPT):
                yield path.relative_to(folder).as_posix(), (stat.S_IMODE(facts.st_mode) & 0o700, path.read_bytes())
        except FileNotFoundError:  # destroyed meanwhile
            continue


def _seal_file(sealer: _Sealer, name: str, path: Path) -> None:
    with path.open("rb") as file:
        left = os.fstat(file.fileno()).st_size
        sealer.record(_Record(name, 0o600, left))
        while left:
            piece = file.read(min(left, CHUNK_BYTES))
            if not piece:
                raise OSError("the snapshot shrank")
            sealer.write(piece)
            left -= len(piece)


def _unpack(opener: _Opener, folder: Path) -> list[str]:
    made: list[str] = []
    while (record := opener.record()).path:
        path = folder / _inside(record.path)
        for parent in reversed(path.relative_to(folder).parents[:-1]):
            keyfiles.folder(folder / parent)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, record.mode & 0o700 | 0o600)
        with os.fdopen(file, "wb") as out:
            for piece in opener.pieces(record.size):
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
        made.append(record.path)
    opener.expect_end()
    return made


def _inside(name: str) -> Path:
    """Raises BadData for a path that could leave the folder."""
    path = PurePosixPath(name)
    if path.is_absolute() or not path.parts or ".." in path.parts or "\x00" in name or len(name) > NAME_BYTES:
        raise BadData
    return Path(path)


class _Cipher:
    """The head of a file and what follows from it and the passphrase."""

    def __init__(self, passphrase: Secret[str], costs: tuple[int, int, int], salt: bytes) -> None:
        iterations, lanes, memory = costs
        kdf = Argon2id(salt=salt, length=48, iterations=iterations, lanes=lanes, memory_cost=memory)
        derived = kdf.derive(passphrase.reveal().encode("utf-8", "surrogatepass"))
        self.check = derived[32:]
        self.head = MAGIC + _COSTS.pack(*costs) + salt + self.check
        self._aead = AESGCM(derived[:32])

    def seal(self, number: int, chunk: bytes, *, last: bool) -> bytes:
        return self._aead.encrypt(_nonce(number, last), chunk, self.head)

    def open(self, number: int, chunk: bytes, *, last: bool) -> bytes:
        try:
            return self._aead.decrypt(_nonce(number, last), chunk, self.head)
        except InvalidTag:
            raise BadData from None


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class _Sealer:
    def __init__(self, out: BinaryIO, passphrase: Secret[str]) -> None:
        self._cipher = _Cipher(passphrase, COSTS, os.urandom(SALT_BYTES))
        self._out = out
        self._number = 0
        self._waiting = bytearray()
        out.write(self._cipher.head)

    def record(self, record: _Record) -> None:
        head = msgspec.msgpack.encode(record)
        self.write(_LENGTH.pack(len(head)) + head)

    def write(self, data: bytes) -> None:
        self._waiting += data
        while len(self._waiting) > CHUNK_BYTES:
            self._chunk(bytes(self._waiting[:CHUNK_BYTES]), last=False)
            del self._waiting[:CHUNK_BYTES]

    def end(self) -> None:
        self._chunk(bytes(self._waiting), last=True)

    def _chunk(self, data: bytes, *, last: bool) -> None:
        self._out.write(self._cipher.seal(self._number, data, last=last))
        self._number += 1


class _Opener:
    def __init__(self, file: BinaryIO, passphrase: Secret[str]) -> None:
        head = file.read(len(MAGIC) + _COSTS.size + SALT_BYTES + 16)
        if not head.startswith(MAGIC) or len(head) != len(MAGIC) + _COSTS.size + SALT_BYTES + 16:
            raise BadData
        costs = _COSTS.unpack_from(head, len(MAGIC))
        iterations, lanes, memory = costs
        if any(not 1 <= cost <= most for cost, most in zip(costs, COSTS_MOST, strict=True)) or memory < 8 * lanes:
            raise BadData
        salt = head[len(MAGIC) + _COSTS.size :][:SALT_BYTES]
        self._cipher = _Cipher(passphrase, (iterations, lanes, memory), salt)
        if self._cipher.head != head:
            raise CannotDecrypt
        self._file = file
        self._number = 0
        self._ahead = file.read(CHUNK_BYTES + TAG_BYTES)
        self._plain = bytearray()
        self._ended = False

    def record(self) -> _Record:
        (length,) = _LENGTH.unpack(self._take(_LENGTH.size))
        if length > NAME_BYTES + 64:
            raise BadData
        try:
            return msgspec.msgpack.decode(self._take(length), type=_Record)
        except msgspec.MsgspecError:
            raise BadData from None

    def pieces(self, size: int) -> Iterator[bytes]:
        while size:
            piece = self._take(min(size, CHUNK_BYTES))
            size -= len(piece)
            yield piece

    def expect_end(self) -> None:
        while not self._ended:
            self._more()
        if self._plain:
            raise BadData

    def _take(self, size: int) -> bytes:
        while len(self._plain) < size:
            self._more()
        taken = bytes(self._plain[:size])
        del self._plain[:size]
        return taken

    def _more(self) -> None:
        if self._ended:
            raise BadData
        chunk, self._ahead = self._ahead, self._file.read(CHUNK_BYTES + TAG_BYTES)
        self._ended = not self._ahead
        self._plain += self._cipher.open(self._number, chunk, last=self._ended)
        self._number += 1

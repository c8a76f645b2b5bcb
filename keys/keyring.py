"""Our own keys: which files there are, which role loads which, which box keys open and which one is sealed to.

    KEYS/public     what every role may read          KEYS/edge        the edge's
    KEYS/inspector  the inspector's, gnupg, held      KEYS/desk        the desk's
    KEYS/shared     the inspector's and the desk's    (names and kinds: keys/README.md)

A box key is *current* (the newest published: everybody seals to it), *overlapping* (superseded, but a sealer may not
have noticed, or rows bear it) or *retired*: destroyed, and what was sealed to it is noise.

Rules:
1. A private key is on disk, synced, before its public key has a name; a public key loses its name before the private
   one is destroyed. So whatever process dies when, nothing is ever sealed to a key that can't be opened.
2. Retiring takes three proofs: superseded for the overlap by the wall clock, the same by this process's own clock (the
   wall clock may step), and no row that bears its id.
3. `generate` makes what is missing and touches nothing that is there.
"""

from __future__ import annotations

import os
import time
from collections import ChainMap
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from keys import home, keyfiles
from keys.atrest import AtRest, derive, load_roots, load_secret
from keys.box import (
    BoxPublicKey,
    KeyId,
    PublicKeys,
    Purpose,
    SigningKey,
    VerifyKey,
    dump,
    key_id,
    load_signing_key,
    read_key_file,
)  # fmt: skip
from keys.errors import BadData, MissingKey
from keys.keyfiles import Now, Reach, nowhere, utc_now
from keys.secret import Secret
from keys.unbox import SEED_BYTES, BoxPrivateKey

HOLDER: Final = {
    Purpose.SPOOL: "inspector",
    Purpose.REPLY: "inspector",
    Purpose.REQUEST: "inspector",
    Purpose.OUTBOX: "edge",
}
"""Which role opens the boxes of a purpose."""

SENDERS: Final = {
    Purpose.SPOOL: ("edge", "inspector"),  # the inspector: a held message, boxed again
    Purpose.REPLY: ("desk", "inspector"),  # the inspector: a notice
    Purpose.REQUEST: ("desk",),
    Purpose.OUTBOX: ("inspector",),
}
"""Whose signature counts on a box of a purpose."""

_SIGNERS: Final = (("edge", "sign.key", "edge"), ("inspector", "sign.key", "inspector"),
                   ("inspector", "stamp.key", "stamp"), ("desk", "sign.key", "desk"))  # fmt: skip
_SECRETS: Final = (("edge", "lane.key"), ("inspector", "threads.key"), ("desk", "session.key"))
_ROOTS: Final = (("inspector", "atrest"), ("shared", "desk-atrest"))


def generate(folder: Path, *, now: Now = utc_now, reach: Reach = nowhere) -> tuple[Path, ...]:
    """All files of all roles; those made now. A public file without its private one is another host's and is left."""
    made: list[Path] = []
    for name in ("public", "edge", "inspector", "shared", "desk", "inspector/held"):
        keyfiles.folder(folder / name)
        keyfiles.sweep(folder / name)
    home.prepare(folder / "inspector" / "gnupg")
    for role, file, public in _SIGNERS:
        made += _signer(folder / role / file, folder / "public" / f"{public}.sign.pub", reach)
    for role, file in _SECRETS:
        made += _secret(folder / role / file, reach)
    for role, prefix in _ROOTS:
        if not list((folder / role).glob(f"{prefix}.*.key")):
            made.append(new_root(folder / role, prefix, now=now, reach=reach))
    for purpose in Purpose:
        if not _published(folder, purpose):
            rotation = Rotation(folder, now=now, reach=reach)
            rotation.rotate(purpose)
            made += [*_privates(folder, purpose), *_published(folder, purpose)]
    return tuple(made)


def new_root(folder: Path, prefix: str, *, now: Now = utc_now, reach: Reach = nowhere) -> Path:
    """A new root key at rest: it wraps from the next loading on, the older ones still unwrap."""
    secret = os.urandom(32)
    at = keyfiles.later(now(), list(folder.glob(f"{prefix}.*.key")))
    path = folder / keyfiles.stamped(prefix, key_id(secret), ".key", at)
    keyfiles.write_new(path, dump("secret", secret), "private", reach)
    return path


class BoxKeys(Mapping[KeyId, BoxPrivateKey]):
    """The private box keys of one purpose, by id; a key that another process made is found when it is first asked
    for."""

    def __init__(self, folder: Path, purpose: Purpose) -> None:
        self._folder = folder / HOLDER[purpose]
        self._purpose = purpose
        self._kept: dict[KeyId, tuple[Path, BoxPrivateKey]] = {}

    def __getitem__(self, name: KeyId) -> BoxPrivateKey:
        kept = self._kept.get(name)
        if kept is None:
            path = next(self._folder.glob(f"{self._purpose}.*.{_plain(name)}.key"), None)
            if path is None:
                raise KeyError(name)
            kept = self._kept[name] = (path, _box_key(path))
        return kept[1]

    def __iter__(self) -> Iterator[KeyId]:
        return (KeyId(keyfiles.name_of(path)) for path in sorted(self._folder.glob(f"{self._purpose}.*.key")))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def load(self) -> None:
        """All that are there; those that were destroyed are forgotten."""
        here = set(self)
        self._kept = {name: kept for name, kept in self._kept.items() if name in here}
        for name in here:
            self.get(name)


@dataclass(frozen=True, slots=True)
class Edge:
    """What the edge holds. The three HMAC keys are derived from `lane.key`."""

    public: PublicKeys
    sign: SigningKey
    outbox: BoxKeys
    dedupe: Secret[bytes]
    lane: Secret[bytes]
    body: Secret[bytes]

    @classmethod
    def load(cls, folder: Path) -> Edge:
        """Raises MissingKey, ExposedKey, BadData."""
        root = load_secret(folder / "edge" / "lane.key")
        outbox = BoxKeys(folder, Purpose.OUTBOX)
        outbox.load()
        return cls(
            public=PublicKeys(folder / "public"),
            sign=load_signing_key(folder / "edge" / "sign.key"),
            outbox=outbox,
            dedupe=derive(root, "dedupe"),
            lane=derive(root, "lane"),
            body=derive(root, "body"),
        )

    def senders(self) -> dict[KeyId, VerifyKey]:
        """Whose outbox boxes the edge opens."""
        return senders(self.public, Purpose.OUTBOX)


@dataclass(frozen=True, slots=True)
class Inspector:
    """What the inspector's parent holds: keys at rest, and the secret behind reply addresses and blind indexes.
    Nothing here opens a box or a message."""

    public: PublicKeys
    atrest: AtRest
    desk_atrest: AtRest
    threads: Secret[bytes]

    @classmethod
    def load(cls, folder: Path) -> Inspector:
        """Raises MissingKey, ExposedKey, BadData."""
        root = load_secret(folder / "inspector" / "threads.key")
        return cls(
            public=PublicKeys(folder / "public"),
            atrest=load_roots(folder / "inspector", "atrest", derive(root, "index")),
            desk_atrest=load_roots(folder / "shared", "desk-atrest"),
            threads=derive(root, "threads"),
        )


@dataclass(frozen=True, slots=True)
class Holder:
    """What the key process holds."""

    folder: Path
    public: PublicKeys
    sign: SigningKey
    stamp: SigningKey
    boxes: Mapping[Purpose, BoxKeys]

    @classmethod
    def load(cls, folder: Path) -> Holder:
        """Raises MissingKey, ExposedKey, BadData."""
        for name in ("inspector", "inspector/held", "public"):
            keyfiles.sweep(folder / name)
        boxes = {purpose: BoxKeys(folder, purpose) for purpose in Purpose if HOLDER[purpose] == "inspector"}
        for keys in boxes.values():
            keys.load()
        return cls(
            folder=folder,
            public=PublicKeys(folder / "public"),
            sign=load_signing_key(folder / "inspector" / "sign.key"),
            stamp=load_signing_key(folder / "inspector" / "stamp.key"),
            boxes=boxes,
        )

    def opening(self, purpose: Purpose, row: str) -> Mapping[KeyId, BoxPrivateKey]:
        """The keys that may open a row's box: those of the purpose, and, when it is held, its own (the crash that
        kept the held box from being stored left the earlier one). Raises MissingKey."""
        if purpose not in self.boxes:
            raise MissingKey
        own = self.held(row) if purpose is Purpose.SPOOL else None
        return self.boxes[purpose] if own is None else ChainMap({own.public().id: own}, dict(self.boxes[purpose]))

    def held(self, row: str) -> BoxPrivateKey | None:
        path = self.held_path(row)
        return _box_key(path) if path.exists() else None

    def hold(self, row: str) -> BoxPrivateKey:
        """The row's own key, made if need be, on disk when this returns."""
        fresh = BoxPrivateKey.generate()
        keyfiles.write_new(self.held_path(row), dump("box-secret", fresh.seed.reveal()), "private")
        return _box_key(self.held_path(row))

    def held_path(self, row: str) -> Path:
        """Raises BadData: the row's id becomes a file's name."""
        return self.folder / "inspector" / "held" / f"{_plain(row)}.key"


def senders(public: PublicKeys, purpose: Purpose) -> dict[KeyId, VerifyKey]:
    """Whose signature counts. A role whose public file isn't here isn't trusted."""
    found: dict[KeyId, VerifyKey] = {}
    for role in SENDERS[purpose]:
        try:
            key = public.verify_key(role)
        except MissingKey:
            continue
        found[key.id] = key
    return found


class Rotation:
    """Replaces and retires box keys, in the process of the role that holds them. `clock` never steps back."""

    def __init__(
        self, folder: Path, *, now: Now = utc_now, clock: Callable[[], float] = time.monotonic, reach: Reach = nowhere
    ) -> None:
        self._folder = folder
        self._now = now
        self._clock = clock
        self._reach = reach
        self._superseded: dict[str, float] = {}

    def rotate(self, purpose: Purpose) -> KeyId:
        """A new key, current when this returns."""
        private = BoxPrivateKey.generate()
        public = private.public()
        others = [*_privates(self._folder, purpose), *_published(self._folder, purpose)]
        at = keyfiles.later(self._now(), others)
        name = keyfiles.stamped(purpose, public.id, "", at)
        seed = dump("box-secret", private.seed.reveal())
        keyfiles.write_new(self._folder / HOLDER[purpose] / f"{name}.key", seed, "private", self._reach)
        keyfiles.write_new(
            self._folder / "public" / f"{name}.pub", dump("box-public", public.raw), "public", self._reach
        )
        self._note(purpose)
        return public.id

    def retire(self, purpose: Purpose, in_use: Collection[KeyId], overlap_seconds: float) -> tuple[KeyId, ...]:
        """Destroys what may be destroyed; the ids."""
        self._note(purpose)
        published = _published(self._folder, purpose)
        gone: list[KeyId] = []
        for path in _privates(self._folder, purpose):
            name = KeyId(keyfiles.name_of(path))
            since = self._superseded.get(name)
            successor = next((one for one in published if one.stem > path.stem), None)
            if since is None or successor is None or name in in_use:
                continue
            by_wall = (self._now() - keyfiles.made_at(successor)).total_seconds()
            if min(by_wall, self._clock() - since) >= overlap_seconds:
                self._destroy(path)
                gone.append(name)
        return tuple(gone)

    def _destroy(self, path: Path) -> None:
        public = self._folder / "public" / f"{path.stem}.pub"
        public.unlink(missing_ok=True)
        keyfiles.sync_folder(public.parent)
        self._reach("keys.unpublished")
        keyfiles.destroy(path, self._reach)
        self._superseded.pop(keyfiles.name_of(path), None)

    def _note(self, purpose: Purpose) -> None:
        """From when on, by our own clock, each key is known to be superseded."""
        published = _published(self._folder, purpose)
        if published:
            for path in _privates(self._folder, purpose):
                if path.stem < published[-1].stem:
                    self._superseded.setdefault(keyfiles.name_of(path), self._clock())


def current(folder: Path, purpose: Purpose) -> tuple[KeyId, datetime]:
    """The key that is sealed to, and when it was made. Raises MissingKey."""
    published = _published(folder, purpose)
    if not published:
        raise MissingKey
    return KeyId(keyfiles.name_of(published[-1])), keyfiles.made_at(published[-1])


def _published(folder: Path, purpose: Purpose) -> list[Path]:
    return sorted((folder / "public").glob(f"{purpose}.*.pub"))


def _privates(folder: Path, purpose: Purpose) -> list[Path]:
    return sorted((folder / HOLDER[purpose]).glob(f"{purpose}.*.key"))


def _signer(private: Path, public: Path, reach: Reach) -> list[Path]:
    if public.exists() and not private.exists():
        return []
    made = []
    if keyfiles.write_new(private, dump("sign", os.urandom(32)), "private", reach):
        made.append(private)
    if keyfiles.write_new(public, dump("verify", load_signing_key(private).public.raw), "public", reach):
        made.append(public)
    return made


def _secret(path: Path, reach: Reach) -> list[Path]:
    return [path] if keyfiles.write_new(path, dump("secret", os.urandom(32)), "private", reach) else []


def _box_key(path: Path) -> BoxPrivateKey:
    seed = read_key_file(path, "box-secret")
    if len(seed) != SEED_BYTES:
        raise BadData
    return BoxPrivateKey(seed)


def _plain(name: str) -> str:
    """A name that can be a file's, and no pattern. Raises BadData."""
    if not 1 <= len(name) <= 64 or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise BadData
    return name


def box_public(folder: Path, purpose: Purpose) -> BoxPublicKey:
    """To seal to. Raises MissingKey, BadData."""
    return PublicKeys(folder / "public").current(purpose)

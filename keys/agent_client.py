"""The inspector's parent's side of the control socket: starts the key process, asks of it, starts it again if it dies.

    with AgentClient(config.keys_folder()) as agent:
        ours, theirs = socket.socketpair()
        agent.attend(ours, box, binding, Kind.INBOUND)     # an opener now serves the other end; ours may be closed
        signature = agent.stamp(StampedRow(...))

Rules:
1. Every method may be called from any thread; each waits for its own answer only.
2. A key process that is gone is `Unavailable` for the calls that waited on it; the next call starts a new one, which
   is told all certificates again before it is asked anything else.
3. The parent never holds a private key nor a plaintext: boxes and certificates go in, boxes and facts come out.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from types import TracebackType
from typing import Self

from keys.box import Binding, KeyId, Purpose
from keys.directory import Entry, Imported, Provenance, Trust
from keys.errors import Unavailable
from keys.limits import Limits
from keys.openpgp import Certificate, Fingerprint, OwnKey
from keys.protocol import Kind
from keys.secret import Secret
from keys.stamp import StampedHead, StampedRow


class AgentClient:
    """`folder` is the keys folder (that with `public` and `inspector` in it)."""

    def __init__(self, folder: Path, limits: Limits | None = None, *, python: str = sys.executable) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._python = python

    def start(self) -> None:
        """Starts the key process and waits until it is ready. Raises Unavailable. Calls do it by themselves, too."""
        raise Unavailable

    def close(self) -> None:
        """Ends the key process and its openers."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Of the key process, for metrics and tests."""
        return None

    def ping(self) -> None:
        raise Unavailable

    # --- messages

    def attend(self, sock: socket.socket, box: bytes, binding: Binding, kind: Kind = Kind.INBOUND) -> None:
        """Forks an opener that serves `sock` (the opener's end of a socket pair) for the message in the box. Returns
        when the opener runs; whether the box is good is said by `OpenerClient.unseal`. The caller closes its `sock`.
        Raises Unavailable (also when too many are at work), BadData."""
        raise Unavailable

    def stamp(self, stamped: StampedRow | StampedHead) -> bytes:
        """64 bytes; the shape of `keys.stamping.Stamper.stamp`."""
        raise Unavailable

    def box(self, payload: Secret[bytes], binding: Binding) -> bytes:
        """A box from the inspector to itself or to the edge: a notice (REPLY), an answer (OUTBOX)."""
        raise Unavailable

    def hold(self, box: bytes, binding: Binding) -> bytes:
        """The box again, under a key that is this row's alone and dies with `forget_held`, so that a held message keeps
        no epoch's key alive. Raises BadSignature, MissingKey, CannotDecrypt, BadData, Unavailable."""
        raise Unavailable

    def forget_held(self, row: str) -> None:
        """Destroys the row's own key (after the commit that ends the row). Nothing happens if there is none."""
        raise Unavailable

    def keep_held(self, rows: AbstractSet[str]) -> int:
        """Destroys one-row keys of all other rows, unless younger than an hour; how many. After a crash."""
        raise Unavailable

    # --- customers' certificates

    def import_certificate(
        self, data: bytes, addresses: Sequence[str], trust: Trust, *,
        provenance: Provenance = Provenance.ADMIN, decided: bool = False,
    ) -> tuple[Imported, ...]:  # fmt: skip
        """Armored or binary; what isn't needed is dropped. Each of `addresses` is proposed for each certificate; with
        none, those of its user ids. `decided`: from the store, where somebody has decided before.
        Raises BadData, TooLarge, TooSlow, Unavailable."""
        raise Unavailable

    def drop_certificate(self, fingerprint: Fingerprint) -> None:
        raise Unavailable

    def decide(self, address: str, fingerprint: Fingerprint, *, take: bool) -> None:
        """A person's word on a pending change. Raises MissingKey."""
        raise Unavailable

    def certificates(self) -> tuple[Certificate, ...]:
        raise Unavailable

    def entries(self) -> tuple[Entry, ...]:
        """The directory: how each certificate stands with each address, pending changes among them."""
        raise Unavailable

    # --- our own keys

    def mailbox_keys(self) -> tuple[OwnKey, ...]:
        raise Unavailable

    def new_mailbox_key(self, name: str, address: str) -> Fingerprint:
        raise Unavailable

    def export_mailbox(self, fingerprint: Fingerprint) -> bytes:
        """The public part, binary. Raises MissingKey."""
        raise Unavailable

    def rotate(self, purpose: Purpose) -> KeyId:
        """A new box key for SPOOL, REPLY or REQUEST, published; the older ones still open."""
        raise Unavailable

    def retire(self, in_use: Mapping[Purpose, AbstractSet[KeyId]], overlap_seconds: float) -> tuple[KeyId, ...]:
        """Destroys box keys that are superseded for longer than the overlap and not in `in_use`; says which. A purpose
        that isn't named keeps all of its keys."""
        raise Unavailable

"""The opener: a process for one message. It is forked from the key process with its keys, answers one parser worker on
one pipe, and exits; whatever plaintext it saw goes with it.

Rules:
1. It parses no MIME and looks at no plaintext: it verifies, opens, hands on.
2. Its kind bounds what it answers; requests and time are counted.
3. An unexpected exception is answered as Unavailable, without a word of what it was.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from typing import Any, Final

from keys import protocol
from keys.box import Binding, Purpose, SigningKey
from keys.box import seal as seal_box
from keys.codec import pack, unpack
from keys.directory import Directory
from keys.errors import BadData, KeysError, MissingKey, TooLarge, Unavailable
from keys.gnupg import Gpg
from keys.keyring import Holder, senders
from keys.limits import Limits
from keys.openpgp import Fingerprint, Sealed
from keys.pipe import Pipe
from keys.protocol import OPENER_MAY, Kind, OpenerRequest, Request
from keys.secret import Secret
from keys.unbox import BoxPrivateKey, Unboxed, open_box

SEND_SECONDS: Final = 10.0
WARM_ROUNDS: Final = 10


class Opener:
    """For one message. Made in the key process, used in its child."""

    def __init__(
        self, *, box: bytes, binding: Binding, kind: Kind, keys: Holder, gpg: Gpg, directory: Directory, limits: Limits
    ) -> None:
        self._box = box
        self._binding = binding
        self._kind = kind
        self._keys = keys
        self._gpg = gpg
        self._directory = directory
        self._limits = limits

    def serve(self, sock: socket.socket) -> None:
        """Until the worker hangs up, or a limit is reached."""
        pipe = Pipe(sock, max_bytes=self._limits.frame_bytes)
        until = time.monotonic() + self._limits.opener_seconds
        try:
            for _ in range(self._limits.opener_requests):
                frame = pipe.receive(seconds=max(until - time.monotonic(), 0.001))
                if frame is None:
                    return
                answer = self._answer(frame)
                if len(answer) > self._limits.frame_bytes:
                    answer = protocol.failed(TooLarge())
                pipe.send(answer, seconds=SEND_SECONDS)
        except KeysError:
            return
        finally:
            pipe.close()

    def _answer(self, frame: bytearray) -> bytes:
        try:
            request: Request = unpack(OpenerRequest, frame)  # type: ignore[arg-type]
            if type(request) not in OPENER_MAY[self._kind]:
                raise BadData
            return protocol.done(_ANSWERS[type(request)](self, request))
        except KeysError as error:
            return protocol.failed(error)
        except Exception:  # noqa: BLE001 - its text could hold what must not leave
            return protocol.failed(Unavailable())

    def _unseal(self, _: protocol.Unseal) -> Unboxed:
        return unseal(self._box, self._binding, self._keys)

    def _open(self, request: protocol.Open) -> object:
        return self._gpg.open(Sealed(request.ciphertext), **self._within(request.max_bytes, request.seconds))

    def _verify(self, request: protocol.Verify) -> object:
        return self._gpg.verify(request.signed, request.signature, **self._within(request.max_bytes, request.seconds))

    def _seal(self, request: protocol.Seal) -> object:
        to = [Fingerprint(name) for name in request.to]
        seconds = min(request.seconds, self._limits.gpg_seconds)
        return self._gpg.seal(request.plaintext, to=to, sign_as=Fingerprint(request.sign_as), seconds=seconds)

    def _sign(self, request: protocol.Sign) -> object:
        seconds = min(request.seconds, self._limits.gpg_seconds)
        return self._gpg.sign(request.signed, sign_as=Fingerprint(request.sign_as), seconds=seconds)

    def _bound(self, request: protocol.Bound) -> object:
        return self._directory.bound(request.address)

    def _signers(self, request: protocol.Signers) -> object:
        return self._directory.signers(Fingerprint(request.fingerprint))

    def _mailbox_key(self, request: protocol.MailboxKey) -> object:
        return self._gpg.mailbox_key(request.address)

    def _export(self, request: protocol.Export) -> object:
        if Fingerprint(request.fingerprint) not in {key.fingerprint for key in self._gpg.own_keys()}:
            raise MissingKey
        return self._gpg.export(Fingerprint(request.fingerprint))

    def _seal_box(self, request: protocol.Box) -> object:
        if request.binding.purpose is not Purpose.OUTBOX:
            raise BadData
        key = self._keys.public.current(request.binding.purpose)
        return seal_box(request.payload, to=key, by=self._keys.sign, binding=request.binding)

    def _within(self, max_bytes: int, seconds: float) -> dict[str, Any]:
        """Not more than our own limits, whatever was asked for."""
        if max_bytes < 0 or seconds <= 0:
            raise BadData
        return {
            "max_bytes": min(max_bytes, self._limits.plaintext_bytes),
            "seconds": min(seconds, self._limits.gpg_seconds),
        }


_ANSWERS: Final[dict[type[Request], Callable[[Opener, Any], object]]] = {
    protocol.Unseal: Opener._unseal,
    protocol.Open: Opener._open,
    protocol.Verify: Opener._verify,
    protocol.Seal: Opener._seal,
    protocol.Sign: Opener._sign,
    protocol.Bound: Opener._bound,
    protocol.Signers: Opener._signers,
    protocol.MailboxKey: Opener._mailbox_key,
    protocol.Export: Opener._export,
    protocol.Box: Opener._seal_box,
}


def warm() -> None:
    """Does, in the key process and on boxes of its own, what each opener will do: what libraries look up on first use,
    and what CPython makes of code that runs often (PEP 659), is then inherited by the fork (measured: 12 ms of 18 per
    message)."""
    for _ in range(WARM_ROUNDS):
        _warm()


def _warm() -> None:
    binding = Binding(purpose=Purpose.SPOOL, row="warm", channel="warm")
    private, sender = BoxPrivateKey.generate(), SigningKey(Secret(os.urandom(32)))
    box = seal_box(Secret(b"warm"), to=private.public(), by=sender, binding=binding)
    keys, known = {private.public().id: private}, {sender.public.id: sender.public}
    answer = protocol.done(open_box(box, binding=binding, keys=keys, senders=known))
    protocol.result(Unboxed, answer)
    for request in (protocol.Unseal(), protocol.Bound("")):
        unpack(OpenerRequest, pack(request))  # type: ignore[arg-type]
    ours, theirs = socket.socketpair()
    Pipe(ours, max_bytes=1).send(b"x", seconds=1.0)
    Pipe(theirs, max_bytes=1).receive(seconds=1.0)
    ours.close()
    theirs.close()


def unseal(box: bytes, binding: Binding, keys: Holder) -> Unboxed:
    """Raises BadData, BadSignature, MissingKey, CannotDecrypt."""
    return open_box(
        box,
        binding=binding,
        keys=keys.opening(binding.purpose, binding.row),
        senders=senders(keys.public, binding.purpose),
    )

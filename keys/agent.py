"""The key process: `python -m keys.agent`. It holds the private keys, forks an opener for each message, runs gpg in
children, and stamps.

Rules:
1. One thread and no event loop: it forks all the time.
2. It never sees a plaintext and parses nothing hostile: a box is passed on as a memory file, unsealing and gpg happen
   in children that exit. What stays is private keys, public certificates and the directory.
3. Its only way in is the control socket, inherited from the parent; when that ends, it and its children end.
4. Children are bounded in number and time; what they leave unanswered is Unavailable.
5. It writes nothing anywhere about what it does: no log, no standard output.
"""

from __future__ import annotations

import argparse
import gc
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import msgspec

from keys import keyfiles, packet, packets, protocol
from keys.box import Binding, Purpose
from keys.box import seal as seal_box
from keys.children import Children
from keys.codec import unpack
from keys.directory import Directory, Imported
from keys.errors import BadData, KeysError, MissingKey, Unavailable
from keys.gnupg import Gpg
from keys.home import RunFolder
from keys.keyring import HOLDER, Holder, Rotation
from keys.limits import CONTROL_SECONDS, FEED_BATCH, Limits, feed_seconds
from keys.opener import Opener, unseal, warm
from keys.openpgp import Certificate, Fingerprint
from keys.process import Places, harden
from keys.protocol import Call, Reply, Request
from keys.secret import Secret

HELD_YOUNG_SECONDS: Final = 3_600.0  # its row may not be committed yet
BOXED_BY_PARENT: Final = frozenset({Purpose.REPLY, Purpose.OUTBOX})
_STAMPED: Final = {b"vestibule row 1": 6, b"vestibule head 1": 5}


class Agent:
    def __init__(self, control: socket.socket, folder: Path, limits: Limits) -> None:
        self._control = control
        self._limits = limits
        self._keys = Holder.load(folder)
        self._rotation = Rotation(folder)
        self._run = RunFolder(folder / "inspector" / "gnupg")
        self._directory = Directory()
        self._certificates: dict[Fingerprint, Certificate] = {}
        self._openers = 0
        self._writers: deque[Callable[[], None]] = deque()  # one at a time on the customers' keybox
        self._writing = False
        self._selector = selectors.DefaultSelector()
        self._children = Children(self._selector, control.close)
        self._gpg = Gpg(
            self._run.home, customers=self._run.customers, limits=limits, places=Places(limits.gpg_at_once),
            own_group=False,
        )  # fmt: skip

    def run(self) -> None:
        try:
            self._gpg.version()
            self._gpg.start_agent()
            self._gpg.own_keys()
            self._selector.register(self._control, selectors.EVENT_READ)
            self._reply(0, protocol.done(None))
            while self._step():
                pass
        finally:
            self._children.kill_all()
            if self._run.is_last():  # another key process here may be using the same gpg-agent
                with suppress(OSError, subprocess.SubprocessError):
                    self._gpg.stop_agent()
            self._run.remove()

    def _step(self) -> bool:
        """One turn; False when the parent is gone."""
        for key, _ in self._selector.select(max(self._children.nearest() - time.monotonic(), 0.0)):
            if key.fileobj is not self._control:
                self._children.bury(key.fd)
            elif not self._hear():
                return False
        self._children.kill_late()
        return True

    def _hear(self) -> bool:
        try:
            data, files = packet.receive(self._control)
        except BadData:
            return True
        except OSError:
            return False
        if not data:
            return False
        try:
            call = unpack(Call, data)
        except BadData:
            packet.close(files)
            return True
        try:
            answer = _ANSWERS[type(call.request)](self, call.number, call.request, files)
        except KeysError as error:
            answer = protocol.failed(error)
        except Exception:  # noqa: BLE001 - its text could hold what must not leave
            answer = protocol.failed(Unavailable())
        finally:
            packet.close(files)
        if answer is not None:
            self._reply(call.number, answer)
        return True

    def _reply(self, number: int, answer: bytes, file: int | None = None) -> None:
        reply = msgspec.msgpack.encode(Reply(number, answer, file is not None))
        with suppress(OSError):
            packet.send(self._control, reply, () if file is None else (file,))

    # --- children

    def _clerk(
        self, number: int, work: Callable[[], object], then: Callable[[bytes], bytes] | None = None, *,
        writes: bool = False, seconds: float = CONTROL_SECONDS,
    ) -> None:  # fmt: skip
        """Does it in a child, whose answer goes out as a memory file; `then` sees the answer here first."""
        if writes and self._writing:
            self._writers.append(lambda: self._clerk(number, work, then, writes=True, seconds=seconds))
            return
        file = os.memfd_create("answer", os.MFD_CLOEXEC)

        def child() -> None:
            try:
                answer = protocol.done(work())
            except KeysError as error:
                answer = protocol.failed(error)
            packet.write(file, answer)

        def finish(well: bool) -> None:
            try:
                if not well:
                    self._reply(number, protocol.failed(Unavailable()))
                elif then is None:
                    self._reply(number, b"", file)
                else:
                    self._reply_with(number, then, packet.read(file, 2**31))
            finally:
                os.close(file)
                if writes:
                    self._writing = False
                    if self._writers:
                        self._writers.popleft()()

        self._writing = self._writing or writes
        self._children.fork(child, seconds, finish)

    def _reply_with(self, number: int, then: Callable[[bytes], bytes], answer: bytes) -> None:
        try:
            answer = then(answer)
        except KeysError as error:
            answer = protocol.failed(error)
        self._reply_beside(number, answer)

    def _reply_beside(self, number: int, answer: bytes) -> None:
        file = os.memfd_create("answer", os.MFD_CLOEXEC)
        try:
            packet.write(file, answer)
            self._reply(number, b"", file)
        finally:
            os.close(file)

    # --- messages

    def _ping(self, _: int, __: protocol.Ping, ___: tuple[int, ...]) -> bytes:
        for keys in self._keys.boxes.values():
            keys.load()
        return protocol.done(None)

    def _attend(self, _: int, request: protocol.Attend, files: tuple[int, ...]) -> bytes:
        if len(files) != 2:
            raise BadData
        if self._openers >= self._limits.openers:
            raise Unavailable
        pipe, box = files
        self._gpg.own_keys()  # here, so that children inherit what was looked up

        def work() -> None:
            opener = Opener(
                box=packet.read(box, self._limits.ciphertext_bytes), binding=request.binding, kind=request.kind,
                keys=self._keys, gpg=self._gpg, directory=self._directory, limits=self._limits,
            )  # fmt: skip
            opener.serve(socket.socket(fileno=pipe))

        self._children.fork(work, self._limits.opener_seconds + 1.0, self._opener_ended)
        self._openers += 1
        return protocol.done(None)

    def _attend_several(self, _: int, request: protocol.AttendSeveral, files: tuple[int, ...]) -> bytes:
        line = socket.socket(fileno=os.dup(_only(files)))
        try:
            if self._openers >= self._limits.openers:
                raise Unavailable
            self._gpg.own_keys()
            self._children.fork(
                lambda: self._serve_several(line, request), request.seconds + self._limits.opener_seconds + 1.0,
                self._opener_ended,
            )  # fmt: skip
        finally:
            line.close()
        self._openers += 1
        return protocol.done(None)

    def _serve_several(self, line: socket.socket, request: protocol.AttendSeveral) -> None:
        """In a child: until so many messages were served, the time is up, or the parent hangs up."""
        until = time.monotonic() + request.seconds
        for _ in range(request.messages):
            line.settimeout(max(until - time.monotonic(), 0.001))
            try:
                data, files = packet.receive(line)
            except (OSError, BadData):
                return
            if len(files) != 2:
                return
            pipe, box = files
            opener = Opener(
                box=packet.read(box, self._limits.ciphertext_bytes), binding=unpack(Binding, data),
                kind=protocol.Kind.INBOUND, keys=self._keys, gpg=self._gpg, directory=self._directory,
                limits=self._limits,
            )  # fmt: skip
            os.close(box)
            opener.serve(socket.socket(fileno=pipe))

    def _opener_ended(self, _: bool) -> None:
        self._openers -= 1

    def _stamp(self, _: int, request: protocol.Stamp, __: tuple[int, ...]) -> bytes:
        for one in request.encoded:
            kind, count = _fields(one)
            if _STAMPED.get(kind) != count:
                raise BadData
        return protocol.done(tuple(self._keys.stamp.sign(one) for one in request.encoded))

    def _hold(self, number: int, request: protocol.Hold, files: tuple[int, ...]) -> None:
        if request.binding.purpose is not Purpose.SPOOL:
            raise BadData
        box = packet.read(_only(files), self._limits.ciphertext_bytes)

        def work() -> bytes:
            unboxed = unseal(box, request.binding, self._keys)
            own = self._keys.hold(request.binding.row)
            return seal_box(unboxed.payload, to=own.public(), by=self._keys.sign, binding=request.binding)

        self._clerk(number, work)

    def _forget_held(self, _: int, request: protocol.ForgetHeld, __: tuple[int, ...]) -> bytes:
        keyfiles.destroy(self._keys.held_path(request.row))
        return protocol.done(None)

    def _keep_held(self, _: int, request: protocol.KeepHeld, files: tuple[int, ...]) -> bytes:
        kept = set(unpack(tuple[str, ...], packet.read(_only(files), 2**26)))
        held = self._keys.held_path("x").parent
        old = [
            path
            for path in held.glob("*.key")
            if path.stem not in kept and time.time() - path.stat().st_mtime > HELD_YOUNG_SECONDS
        ]
        for path in old:
            keyfiles.destroy(path)
        return protocol.done(len(old))

    def _box_up(self, _: int, request: protocol.BoxUp, files: tuple[int, ...]) -> None:
        if request.binding.purpose not in BOXED_BY_PARENT:
            raise BadData
        payload = _only(files)

        def work() -> bytes:
            secret = Secret(packet.read(payload, self._limits.ciphertext_bytes))
            key = self._keys.public.current(request.binding.purpose)
            return seal_box(secret, to=key, by=self._keys.sign, binding=request.binding)

        self._clerk(_, work)

    # --- certificates

    def _import(self, number: int, request: protocol.ImportCertificate, files: tuple[int, ...]) -> None:
        data = packet.read(_only(files), self._limits.certificate_bytes)

        def work() -> list[tuple[Certificate, bytes]]:
            found = self._gpg.import_certificates(data)
            return [(one, self._gpg.export(one.fingerprint, ring="customers")) for one in found]

        def then(answer: bytes) -> bytes:
            imported = []
            for certificate, minimal in protocol.result(list[tuple[Certificate, bytes]], answer):
                self._certificates[certificate.fingerprint] = certificate
                entries = tuple(
                    self._directory.propose(
                        address, certificate.fingerprint, request.trust, request.provenance, decided=request.decided
                    )
                    for address in request.addresses or certificate.addresses
                )
                imported.append(Imported(certificate=certificate, data=minimal, entries=entries))
            return protocol.done(tuple(imported))

        self._clerk(number, work, then, writes=True)

    def _feed(self, number: int, _: protocol.Feed, files: tuple[int, ...]) -> None:
        fed = unpack(protocol.Fed, packet.read(_only(files), 2**31))

        def work() -> list[Certificate]:
            all_ = [packets.dearmor(one) for one in fed.certificates.values()]
            taken: list[Certificate] = []
            for start in range(0, len(all_), FEED_BATCH):
                taken += self._gpg.import_certificates(b"".join(all_[start : start + FEED_BATCH]), known=True)
            return taken

        def then(answer: bytes) -> bytes:
            for certificate in protocol.result(list[Certificate], answer):
                self._certificates[certificate.fingerprint] = certificate
            self._directory.restore(entry for entry in fed.entries if entry.fingerprint in self._certificates)
            return protocol.done(len(self._certificates))

        self._clerk(number, work, then, writes=True, seconds=feed_seconds(len(fed.certificates)))

    def _drop(self, number: int, request: protocol.DropCertificate, _: tuple[int, ...]) -> None:
        name = Fingerprint(request.fingerprint)
        self._directory.drop(name)
        self._certificates.pop(name, None)
        self._clerk(number, lambda: self._gpg.drop_certificate(name), writes=True)

    def _decide(self, _: int, request: protocol.Decide, __: tuple[int, ...]) -> bytes:
        return protocol.done(
            self._directory.decide(request.address, Fingerprint(request.fingerprint), take=request.take)
        )

    def _list(self, number: int, _: protocol.Certificates, __: tuple[int, ...]) -> None:
        self._reply_beside(number, protocol.done(tuple(self._certificates.values())))

    def _entries(self, number: int, _: protocol.Entries, __: tuple[int, ...]) -> None:
        self._reply_beside(number, protocol.done(self._directory.entries()))

    # --- our own keys

    def _mailbox_keys(self, number: int, _: protocol.MailboxKeys, __: tuple[int, ...]) -> None:
        self._reply_beside(number, protocol.done(self._gpg.own_keys()))

    def _new_mailbox_key(self, number: int, request: protocol.NewMailboxKey, _: tuple[int, ...]) -> None:
        self._clerk(number, lambda: self._gpg.generate(request.name, request.address), writes=True)

    def _import_own(self, number: int, _: protocol.ImportOwn, files: tuple[int, ...]) -> None:
        data = packet.read(_only(files), self._limits.certificate_bytes)
        self._clerk(number, lambda: self._gpg.import_own(data), writes=True)

    def _renew(self, number: int, request: protocol.RenewMailboxKey, _: tuple[int, ...]) -> None:
        name = Fingerprint(request.fingerprint)
        self._clerk(number, lambda: self._gpg.renew(name, request.seconds), writes=True)

    def _export_mailbox(self, number: int, request: protocol.ExportMailbox, _: tuple[int, ...]) -> None:
        name = Fingerprint(request.fingerprint)
        if name not in {key.fingerprint for key in self._gpg.own_keys()}:
            raise MissingKey
        self._clerk(number, lambda: self._gpg.export(name))

    def _rotate(self, _: int, request: protocol.Rotate, __: tuple[int, ...]) -> bytes:
        if HOLDER[request.purpose] != "inspector":
            raise BadData
        name = self._rotation.rotate(request.purpose)
        self._keys.boxes[request.purpose].load()
        return protocol.done(name)

    def _retire(self, number: int, request: protocol.Retire, files: tuple[int, ...]) -> None:
        in_use = unpack(dict[Purpose, tuple[str, ...]], packet.read(_only(files), 2**26))
        gone: list[str] = []
        for purpose, names in in_use.items():
            if HOLDER[purpose] != "inspector":
                raise BadData
            kept: Any = set(names)
            gone += self._rotation.retire(purpose, kept, request.overlap_seconds)
            self._keys.boxes[purpose].load()
        self._reply_beside(number, protocol.done(tuple(gone)))


_ANSWERS: Final[dict[type[Request], Callable[[Agent, int, Any, tuple[int, ...]], bytes | None]]] = {
    protocol.Ping: Agent._ping,
    protocol.Attend: Agent._attend,
    protocol.AttendSeveral: Agent._attend_several,
    protocol.Stamp: Agent._stamp,
    protocol.Hold: Agent._hold,
    protocol.ForgetHeld: Agent._forget_held,
    protocol.KeepHeld: Agent._keep_held,
    protocol.BoxUp: Agent._box_up,
    protocol.ImportCertificate: Agent._import,
    protocol.Feed: Agent._feed,
    protocol.DropCertificate: Agent._drop,
    protocol.Decide: Agent._decide,
    protocol.Certificates: Agent._list,
    protocol.Entries: Agent._entries,
    protocol.MailboxKeys: Agent._mailbox_keys,
    protocol.NewMailboxKey: Agent._new_mailbox_key,
    protocol.ImportOwn: Agent._import_own,
    protocol.RenewMailboxKey: Agent._renew,
    protocol.ExportMailbox: Agent._export_mailbox,
    protocol.Rotate: Agent._rotate,
    protocol.Retire: Agent._retire,
}


def _only(files: tuple[int, ...]) -> int:
    if len(files) != 1:
        raise BadData
    return files[0]


def _fields(encoded: bytes) -> tuple[bytes, int]:
    """The first of the length-prefixed fields of a stamped thing, and how many there are. Raises BadData."""
    first, count, at = b"", 0, 0
    while at < len(encoded):
        length = int.from_bytes(encoded[at : at + 4], "big")
        field = encoded[at + 4 : at + 4 + length]
        if at + 4 + length > len(encoded):
            raise BadData
        first = first or field
        count, at = count + 1, at + 4 + length
    return first, count


def main() -> int:
    parser = argparse.ArgumentParser(prog="keys.agent")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--limits", default="{}")
    arguments = parser.parse_args()
    harden()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=arguments.control)
    control.set_inheritable(False)
    try:
        agent = Agent(control, arguments.folder, msgspec.json.decode(arguments.limits, type=Limits))
        warm()
        gc.collect()
        gc.freeze()  # or a collection in a child would unshare the pages that hold what was loaded
        agent.run()
    except KeysError as error:
        with suppress(OSError):
            packet.send(control, msgspec.msgpack.encode(Reply(0, protocol.failed(error))))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

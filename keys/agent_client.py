"""The inspector's parent's side of the control socket: starts the key process, asks of it, starts it again if it dies.

    with AgentClient(config.keys_folder()) as agent:
        ours, theirs = socket.socketpair()
        agent.attend(ours, box, binding, Kind.INBOUND)     # an opener now serves the other end; ours may be closed
        row, head = agent.stamp(StampedRow(...), StampedHead(...))

Rules:
1. Every method may be called from any thread; each waits for its own answer only.
2. A key process that is gone is `Unavailable` for the calls that waited on it; the next call starts a new one, which
   is told all certificates again before it is asked anything else.
3. The parent never holds a private key nor a plaintext: boxes and certificates go in, boxes and facts come out.
"""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from concurrent.futures import Future
from concurrent.futures import TimeoutError as WaitedTooLong
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeVar

import msgspec

from keys import packet, protocol
from keys.box import Binding, KeyId, Purpose
from keys.codec import pack, unpack
from keys.directory import Entry, Imported, Provenance, Trust
from keys.errors import BadData, KeysError, Unavailable
from keys.limits import CONTROL_SECONDS, START_SECONDS, Limits, feed_seconds
from keys.openpgp import Certificate, Fingerprint, OwnKey
from keys.protocol import Call, ControlRequest, Kind, Reply
from keys.running import memory_file
from keys.secret import Secret
from keys.stamp import StampedHead, StampedRow

T = TypeVar("T")

ANSWER_BYTES: Final = 2**31
RESTART_SECONDS: Final = 0.5  # between two starts: a key process that dies at once must not spin
_KEPT_ENVIRONMENT: Final = (
    "PATH", "PYTHONPATH", "VIRTUAL_ENV", "LANG", "LC_ALL", "TZ", "TMPDIR", "HOME", "LD_LIBRARY_PATH",
)  # fmt: skip


class AgentClient:
    """`folder` is the keys folder (that with `public` and `inspector` in it)."""

    def __init__(self, folder: Path, limits: Limits | None = None, *, python: str = sys.executable) -> None:
        self._folder = folder
        self._limits = limits or Limits()
        self._python = python
        self._turn = threading.Lock()
        self._process: _Process | None = None
        self._closed = False
        self._started = -RESTART_SECONDS
        self._certificates: dict[Fingerprint, bytes] = {}
        self._entries: dict[tuple[str, Fingerprint], Entry] = {}

    def start(self) -> None:
        """Starts the key process and waits until it is ready. Calls do it by themselves, too. Raises Unavailable, and
        what is wrong with the key files: MissingKey, ExposedKey, BadData."""
        self._running()

    def close(self) -> None:
        """Ends the key process and its openers."""
        with self._turn:
            self._closed = True
            if self._process is not None:
                self._process.close()
                self._process = None

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
        return self._process.pid if self._process is not None else None

    def ping(self) -> None:
        """It answers, and has looked at its key files again."""
        self._ask(protocol.Ping(), type(None))

    # --- messages

    def attend(self, sock: socket.socket, box: bytes, binding: Binding, kind: Kind = Kind.INBOUND) -> None:
        """Forks an opener that serves `sock` (the opener's end of a socket pair) for the message in the box. Returns
        when the opener runs; whether the box is good is said by `OpenerClient.unseal`. The caller closes its `sock`.
        Raises Unavailable (also when too many are at work), BadData."""
        with memory_file(box) as file:
            self._ask(protocol.Attend(binding, kind), type(None), files=(sock.fileno(), file))

    def begin(self, sock: socket.socket, box: bytes, binding: Binding, kind: Kind = Kind.INBOUND) -> bool:
        """As `attend`, but doesn't wait until the opener runs, so that an event loop may call it. When none comes to
        run, the worker's end of the pair is closed, and `OpenerClient.unseal` raises Unavailable. False, and nothing
        was done, while no key process is there: then `attend` starts one. Raises Unavailable, BadData."""
        process = self._process
        if process is None or not process.alive:
            return False
        with memory_file(box) as file:
            process.tell(protocol.Attend(binding, kind), (sock.fileno(), file))
        return True

    def begin_several(self, line: socket.socket, messages: int, seconds: float) -> bool:
        """One opener for several inbound messages, one after the other (fast recycling), each handed to it over the
        other end of `line` (SOCK_SEQPACKET) by `hand_over`. It lives for so many messages or seconds; of the directory
        it knows what was there when it began. As `begin`, it doesn't wait, and says False when nothing is there."""
        process = self._process
        if process is None or not process.alive:
            return False
        process.tell(protocol.AttendSeveral(messages, seconds), (line.fileno(),))
        return True

    def stamp(self, *stamped: StampedRow | StampedHead) -> tuple[bytes, ...]:
        """64 bytes for each; the shape of `keys.stamping.Stamper.stamp`. What is filed together is asked together."""
        return self._ask(protocol.Stamp(tuple(one.encode() for one in stamped)), tuple[bytes, ...])

    def box(self, payload: Secret[bytes], binding: Binding) -> bytes:
        """A box from the inspector to itself or to the edge: a notice (REPLY), an answer (OUTBOX)."""
        with memory_file(payload.reveal()) as file:
            return self._ask(protocol.BoxUp(binding), bytes, files=(file,))

    def hold(self, box: bytes, binding: Binding) -> bytes:
        """The box again, under a key that is this row's alone and dies with `forget_held`, so that a held message keeps
        no epoch's key alive. Raises BadSignature, MissingKey, CannotDecrypt, BadData, Unavailable."""
        with memory_file(box) as file:
            return self._ask(protocol.Hold(binding), bytes, files=(file,))

    def forget_held(self, row: str) -> None:
        """Destroys the row's own key (after the commit that ends the row). Nothing happens if there is none."""
        self._ask(protocol.ForgetHeld(row), type(None))

    def keep_held(self, rows: AbstractSet[str]) -> int:
        """Destroys one-row keys of all other rows, unless younger than an hour; how many. After a crash."""
        with memory_file(pack(tuple(rows))) as file:
            return self._ask(protocol.KeepHeld(), int, files=(file,))

    # --- customers' certificates

    def feed(self, certificates: Mapping[Fingerprint, bytes], entries: Sequence[Entry]) -> int:
        """The whole directory, as the store remembers it: at start, before messages. `certificates` are what
        `Imported.data` was. How many the key process has taken."""
        self._certificates.update(certificates)
        self._entries.update({(entry.address, entry.fingerprint): entry for entry in entries})
        return self._feed(self._running())

    def import_certificate(
        self, data: bytes, addresses: Sequence[str], trust: Trust, *,
        provenance: Provenance = Provenance.ADMIN, decided: bool = False,
    ) -> tuple[Imported, ...]:  # fmt: skip
        """Armored or binary; what isn't needed is dropped. Each of `addresses` is proposed for each certificate; with
        none, those of its user ids. `decided`: somebody has decided already that it replaces nothing.
        Raises BadData, TooLarge, TooSlow, Unavailable."""
        request = protocol.ImportCertificate(tuple(addresses), trust, provenance, decided)
        with memory_file(data) as file:
            imported = self._ask(request, tuple[Imported, ...], files=(file,))
        for one in imported:
            self._certificates[one.certificate.fingerprint] = one.data
            self._remember(*one.entries)
        return imported

    def drop_certificate(self, fingerprint: Fingerprint) -> None:
        self._certificates.pop(fingerprint, None)
        for key in [key for key in self._entries if key[1] == fingerprint]:
            del self._entries[key]
        self._ask(protocol.DropCertificate(fingerprint), type(None))

    def decide(self, address: str, fingerprint: Fingerprint, *, take: bool) -> Entry:
        """A person's word on a pending change; how it now stands. Raises MissingKey."""
        entry = self._ask(protocol.Decide(address, fingerprint, take), Entry)
        self._remember(entry)
        return entry

    def certificates(self) -> tuple[Certificate, ...]:
        return self._ask(protocol.Certificates(), tuple[Certificate, ...])

    def entries(self) -> tuple[Entry, ...]:
        """The directory: how each certificate stands with each address, pending changes among them."""
        return self._ask(protocol.Entries(), tuple[Entry, ...])

    # --- our own keys

    def mailbox_keys(self) -> tuple[OwnKey, ...]:
        return self._ask(protocol.MailboxKeys(), tuple[OwnKey, ...])

    def new_mailbox_key(self, name: str, address: str) -> Fingerprint:
        """Raises BadData (what can't stand in a user id), Unavailable."""
        return Fingerprint(self._ask(protocol.NewMailboxKey(name, address), str))

    def import_own(self, data: bytes) -> tuple[Fingerprint, ...]:
        """One of the company's own keys, with its secret part, armored or binary; without a passphrase, as nobody will
        be asked for one. Raises BadData."""
        with memory_file(data) as file:
            return self._ask(protocol.ImportOwn(), tuple[Fingerprint, ...], files=(file,))

    def renew_mailbox_key(self, fingerprint: Fingerprint, seconds: int) -> None:
        """It, and its parts, end that many seconds from now (0: never). Raises MissingKey, Unavailable."""
        self._ask(protocol.RenewMailboxKey(fingerprint, seconds), type(None))

    def export_mailbox(self, fingerprint: Fingerprint) -> bytes:
        """The public part, binary. Raises MissingKey."""
        return self._ask(protocol.ExportMailbox(fingerprint), bytes)

    def rotate(self, purpose: Purpose) -> KeyId:
        """A new box key for SPOOL, REPLY or REQUEST, published; the older ones still open."""
        return KeyId(self._ask(protocol.Rotate(purpose), str))

    def retire(self, in_use: Mapping[Purpose, AbstractSet[KeyId]], overlap_seconds: float) -> tuple[KeyId, ...]:
        """Destroys box keys that are superseded for longer than the overlap and not in `in_use`; says which. A purpose
        that isn't named keeps all of its keys. Look the ids in use up *before* calling."""
        with memory_file(pack({purpose: tuple(names) for purpose, names in in_use.items()})) as file:
            return self._ask(protocol.Retire(overlap_seconds), tuple[KeyId, ...], files=(file,))

    # --- the process

    def _ask(self, request: ControlRequest, kind: type[T], *, files: tuple[int, ...] = ()) -> T:
        return self._running().ask(request, kind, files)

    def _running(self) -> _Process:
        with self._turn:
            if self._closed:
                raise Unavailable
            if self._process is not None and self._process.alive:
                return self._process
            if self._process is not None:
                self._process.close()
                self._process = None
            time.sleep(max(0.0, self._started + RESTART_SECONDS - time.monotonic()))
            self._started = time.monotonic()
            process = _Process(self._python, self._folder, self._limits)
            try:
                if self._certificates:
                    self._feed(process)
            except KeysError:
                process.close()
                raise
            self._process = process
            return process

    def _feed(self, process: _Process) -> int:
        fed = protocol.Fed(
            {str(name): data for name, data in self._certificates.items()}, tuple(self._entries.values())
        )
        with memory_file(pack(fed)) as file:
            return process.ask(protocol.Feed(), int, (file,), seconds=feed_seconds(len(fed.certificates)))

    def _remember(self, *entries: Entry) -> None:
        for entry in entries:
            self._entries[entry.address, entry.fingerprint] = entry


def hand_over(line: socket.socket, sock: socket.socket, box: bytes, binding: Binding) -> None:
    """One message to the opener at the other end of `line`, as by `AgentClient.attend`. Raises Unavailable."""
    with memory_file(box) as file:
        try:
            packet.send(line, pack(binding), (sock.fileno(), file))
        except OSError:
            raise Unavailable from None


class _Process:
    """One run of the key process, and who waits on it. Raises Unavailable and what it says about its key files."""

    def __init__(self, python: str, folder: Path, limits: Limits) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sock = ours
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[bytes]] = {0: Future()}
        ready = self._waiting[0]
        self.alive = True
        arguments = [
            python, "-P", "-m", "keys.agent", "--folder", str(folder), "--control", str(theirs.fileno()),
            "--limits", msgspec.json.encode(limits).decode(),
        ]  # fmt: skip
        environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
        try:
            self._program = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=(theirs.fileno(),),
                env=environment, start_new_session=True,
            )  # fmt: skip
        except OSError:
            ours.close()
            raise Unavailable from None
        finally:
            theirs.close()
        self.pid = self._program.pid
        threading.Thread(target=self._listen, name="keys-agent", daemon=True).start()
        try:
            protocol.result(type(None), ready.result(START_SECONDS))
        except WaitedTooLong:
            self.close()
            raise Unavailable from None
        except KeysError:
            self.close()
            raise

    def ask(
        self, request: ControlRequest, kind: type[T], files: tuple[int, ...], *, seconds: float = CONTROL_SECONDS
    ) -> T:
        future: Future[bytes] = Future()
        with self._lock:
            if not self.alive:
                raise Unavailable
            number = next(self._numbers)
            self._waiting[number] = future
            try:
                packet.send(self._sock, msgspec.msgpack.encode(Call(number, request)), files)
            except OSError:
                self._waiting.pop(number, None)
                raise Unavailable from None
        try:
            return protocol.result(kind, future.result(seconds))
        except WaitedTooLong:
            raise Unavailable from None
        finally:
            self._waiting.pop(number, None)

    def tell(self, request: ControlRequest, files: tuple[int, ...]) -> None:
        """Asks, and doesn't wait for the answer. Raises Unavailable."""
        with self._lock:
            if not self.alive:
                raise Unavailable
            try:
                packet.send(self._sock, msgspec.msgpack.encode(Call(next(self._numbers), request)), files)
            except OSError:
                raise Unavailable from None

    def close(self) -> None:
        """The end of the control socket ends it; a second later it is killed."""
        self.alive = False
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        try:
            self._program.wait(2.0)
        except subprocess.TimeoutExpired:
            self._program.kill()
            self._program.wait()

    def _listen(self) -> None:
        try:
            while True:
                data, files = packet.receive(self._sock)
                with ExitStack() as stack:
                    stack.callback(packet.close, files)
                    if not data:
                        break
                    reply = unpack(Reply, data)
                    answer = packet.read(files[0], ANSWER_BYTES) if reply.beside and files else reply.answer
                future = self._waiting.get(reply.number)
                if future is not None and not future.done():
                    future.set_result(answer)
        except (OSError, BadData):
            pass
        finally:
            with self._lock:
                self.alive = False
                left = list(self._waiting.values())
            for future in left:
                if not future.done():
                    future.set_exception(Unavailable())
            self._sock.close()

"""What is said on the two pipes of the key process: requests, and the form of an answer.

    parser worker ── opener pipe (stream, frames of `keys.pipe`) ──► opener        one message, a few requests
    parent        ── control socket (packets, memory files)      ──► key process   many calls, each with a number

Rules:
1. A request names what is wanted and never how: no path, no option, no program argument.
2. An answer is a value of the type that belongs to the request, or the name of a `KeysError`; no text.
3. What an opener answers depends on its kind: only `OPENER_MAY` counts, not what the worker asks for.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from keys.box import Binding, Purpose
from keys.codec import pack, unpack
from keys.directory import Entry, Provenance, Trust
from keys.errors import BY_NAME, BadData, KeysError, Unavailable
from keys.secret import Secret

T = TypeVar("T")


class Kind(StrEnum):
    """What a worker does with its box. INBOUND opens a customer's message; REPLY seals an answer or a notice."""

    INBOUND = "inbound"
    REPLY = "reply"


class Request(msgspec.Struct, tag_field="op"):
    """On either pipe."""


# --- to an opener


class Unseal(Request, tag="unseal"):
    """The box, verified and opened -> Unboxed."""


class Open(Request, tag="open"):
    """-> Unsealed."""

    ciphertext: bytes
    max_bytes: int
    seconds: float


class Verify(Request, tag="verify"):
    """-> Unsealed."""

    signed: Secret[bytes]
    signature: bytes | None
    max_bytes: int
    seconds: float


class Seal(Request, tag="seal"):
    """-> Sealed."""

    plaintext: Secret[bytes]
    to: tuple[str, ...]
    sign_as: str
    seconds: float


class Sign(Request, tag="sign"):
    """-> bytes, armored."""

    signed: Secret[bytes]
    sign_as: str
    seconds: float


class Bound(Request, tag="bound"):
    """-> tuple[Fingerprint, ...]."""

    address: str


class Signers(Request, tag="signers"):
    """-> tuple[str, ...], addresses."""

    fingerprint: str


class MailboxKey(Request, tag="mailbox_key"):
    """Our own key for one of our addresses -> Fingerprint."""

    address: str


class Export(Request, tag="export"):
    """The public part of one of our own keys -> bytes, binary."""

    fingerprint: str


class Box(Request, tag="box"):
    """Sealed to the role that the purpose belongs to and signed by the inspector -> bytes."""

    payload: Secret[bytes]
    binding: Binding


OpenerRequest = Unseal | Open | Verify | Seal | Sign | Bound | Signers | MailboxKey | Export | Box

OPENER_MAY: Final[dict[Kind, frozenset[type[Request]]]] = {
    Kind.INBOUND: frozenset({Unseal, Open, Verify, Bound, Signers}),
    Kind.REPLY: frozenset({Unseal, Seal, Sign, Bound, MailboxKey, Export, Box}),
}


# --- to the key process; a blob (box, certificate, payload) travels beside as a memory file


class Ping(Request, tag="ping"):
    """-> None. It also looks at the key files again, for what another process made or destroyed."""


class Attend(Request, tag="attend"):
    """With two descriptors: the opener's end of a worker's socket pair, and the box -> None."""

    binding: Binding
    kind: Kind


class AttendSeveral(Request, tag="attend_several"):
    """With one descriptor, a line of packets: one opener for inbound messages, one after the other. Each comes as its
    binding in a packet on the line, with the descriptors of `Attend` -> None. Under fast recycling only."""

    messages: int
    seconds: float


class Stamp(Request, tag="stamp"):
    """`encoded` are what StampedRow.encode or StampedHead.encode gave -> tuple of 64 bytes each, in order."""

    encoded: tuple[bytes, ...]


class Hold(Request, tag="hold"):
    """With the box: re-boxed under a key of its own -> the new box, as a memory file."""

    binding: Binding


class ForgetHeld(Request, tag="forget_held"):
    """The one-row key is destroyed -> None."""

    row: str


class KeepHeld(Request, tag="keep_held"):
    """With the rows (tuple[str, ...]): one-row keys of all others that are older than an hour are destroyed -> int."""


class BoxUp(Request, tag="box_up"):
    """With the payload -> the box, as a memory file."""

    binding: Binding


class ImportCertificate(Request, tag="import_certificate"):
    """With the certificate -> tuple[Imported, ...], as a memory file."""

    addresses: tuple[str, ...]
    trust: Trust
    provenance: Provenance
    decided: bool


class Feed(Request, tag="feed"):
    """With a `Fed`: the whole directory, as the store or the client remembers it -> int, certificates taken."""


class DropCertificate(Request, tag="drop_certificate"):
    """-> None."""

    fingerprint: str


class Decide(Request, tag="decide"):
    """A pending change: take it or not -> Entry."""

    address: str
    fingerprint: str
    take: bool


class Certificates(Request, tag="certificates"):
    """-> tuple[Certificate, ...], as a memory file."""


class Entries(Request, tag="entries"):
    """-> tuple[Entry, ...], as a memory file."""


class MailboxKeys(Request, tag="mailbox_keys"):
    """-> tuple[OwnKey, ...], as a memory file."""


class NewMailboxKey(Request, tag="new_mailbox_key"):
    """-> Fingerprint."""

    name: str
    address: str


class ImportOwn(Request, tag="import_own"):
    """With a secret key of the company's -> tuple[Fingerprint, ...], as a memory file."""


class RenewMailboxKey(Request, tag="renew_mailbox_key"):
    """It ends that many seconds from now -> None."""

    fingerprint: str
    seconds: int


class ExportMailbox(Request, tag="export_mailbox"):
    """-> bytes, binary, as a memory file."""

    fingerprint: str


class Rotate(Request, tag="rotate"):
    """-> KeyId."""

    purpose: Purpose


class Retire(Request, tag="retire"):
    """With the ids in use (dict[Purpose, tuple[str, ...]]) -> tuple[KeyId, ...], those destroyed."""

    overlap_seconds: float


ControlRequest = (
    Ping | Attend | AttendSeveral | Stamp | Hold | ForgetHeld | KeepHeld | BoxUp | ImportCertificate | Feed
    | DropCertificate | Decide | Certificates | Entries | MailboxKeys | NewMailboxKey | ImportOwn | RenewMailboxKey
    | ExportMailbox | Rotate | Retire
)  # fmt: skip


class Fed(msgspec.Struct, array_like=True):
    """In the memory file beside `Feed`."""

    certificates: dict[str, bytes]
    entries: tuple[Entry, ...]


class Call(msgspec.Struct, array_like=True):
    """A packet to the key process."""

    number: int
    request: ControlRequest


class Reply(msgspec.Struct, array_like=True):
    """A packet from the key process; with `beside`, the answer stands in the memory file that came along. Number 0 is
    what it says once when it is ready."""

    number: int
    answer: bytes
    beside: bool = False


# --- answers: one byte, then the value or the error's name


def done(value: object) -> bytes:
    return b"\x00" + pack(value)


def failed(error: KeysError) -> bytes:
    return b"\x01" + type(error).__name__.encode()


def result(kind: type[T], answer: bytes | bytearray) -> T:
    """The value. Raises the KeysError that the other side named; BadData for anything else."""
    if answer.startswith(b"\x00"):
        return unpack(kind, memoryview(answer)[1:])
    if answer.startswith(b"\x01"):
        raise BY_NAME.get(bytes(answer[1:65]).decode("ascii", "replace"), Unavailable)
    raise BadData

"""The one file that speaks to gpg (GnuPG 2.2.36 and later, 2.3.7 and later): the OpenPGP contract over a GNUPGHOME of
its own.

Rules:
1. Arguments never come from a message: options are ours, keys are named by fingerprints that match a pattern.
2. Input and output are memory files: nothing on disk, no output read before gpg has ended. `--max-output`,
   RLIMIT_FSIZE and a look at the size while it runs keep a compression bomb small.
3. Verdicts come from the status descriptor alone (`keys.status`); human text goes to /dev/null.
4. Plaintext is released only after DECRYPTION_OKAY, GOODMDC and an exit code that the signatures explain.
   (python-gnupg's own `decrypt` keeps the plaintext of tampered mail in `.data`; it serves here for our own keys only.)
5. No network, no passphrase prompt, no agent started on the side: gpg runs with all three forbidden.
6. The time limit kills the whole process group.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import gnupg

from keys import colons, home, packets, running, status
from keys.errors import (
    BadData,
    CannotDecrypt,
    CertCannotEncrypt,
    KeyCannotSign,
    KeysError,
    MissingKey,
    TooLarge,
    Unavailable,
)  # fmt: skip
from keys.limits import CERTIFICATES_PER_IMPORT, MAILBOX_KEY_SECONDS, Limits
from keys.openpgp import Certificate, Fingerprint, OwnKey, Sealed, Unsealed
from keys.process import Places
from keys.secret import Secret

OPTIONS: Final = (
    "--no-options", "--batch", "--no-tty", "--no-greeting", "--quiet", "--no-verbose", "--no-autostart",
    "--disable-dirmngr", "--no-auto-key-retrieve", "--no-auto-key-locate", "--no-auto-check-trustdb",
    "--trust-model", "always", "--pinentry-mode", "error", "--no-symkey-cache", "--exit-on-status-write-error",
    "--no-emit-version", "--no-comments", "--no-random-seed-file", "--no-permission-warning",
    "--display-charset", "utf-8", "--charset", "utf-8",
    "--personal-cipher-preferences", "AES256 AES192 AES", "--personal-digest-preferences", "SHA512 SHA384 SHA256",
)  # fmt: skip
ENVIRONMENT: Final = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C"}
SLACK_BYTES: Final = 1_048_576  # --max-output lies this much above the limit, so that reaching the limit shows
LISTING_BYTES: Final = 67_108_864
OWN_KEY_SECONDS: Final = 30.0  # to make or import one
_NAME: Final = re.compile(r"[^\x00-\x1f<>()@:]{1,200}")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")
_VERSION: Final = re.compile(rb"cfg:version:(\d+)\.(\d+)\.(\d+)")

gnupg.logger.disabled = True  # it logs user ids and data


class Gpg:
    """Blocking. `customers` is a keybox of certificates, made when the first is imported."""

    def __init__(
        self, folder: Path, *, customers: Path | None = None, limits: Limits | None = None,
        places: Places | None = None, own_group: bool = True,
    ) -> None:  # fmt: skip
        home.prepare(folder)
        self.home = folder
        self._customers = customers
        self._limits = limits or Limits()
        self._places = places or Places(self._limits.gpg_at_once)
        self._own_group = own_group
        self._socket: str | None = None
        self._own: tuple[tuple[int, ...], list[colons.Listed]] | None = None

    # --- messages

    def open(self, sealed: Sealed, *, max_bytes: int, seconds: float) -> Unsealed:
        """See `keys.openpgp.OpenPGP.open`. Raises MissingKey when the message is for others only."""
        message = packets.dearmor(sealed.data)
        outline = packets.outline(message)
        if not outline.encrypted:
            return self._signed(self._run("--no-armor", "--decrypt", stdin=message, max_bytes=max_bytes,
                                          seconds=seconds))  # fmt: skip
        until = time.monotonic() + seconds
        failure: KeysError = CannotDecrypt()
        for place in self._ours(outline):
            # one session-key packet at a time: a clean run ends with 0, whoever else the message is for
            ran = self._run("--no-armor", "--decrypt", stdin=message[place] + message[outline.data :],
                            max_bytes=max_bytes, seconds=max(until - time.monotonic(), 0.001))  # fmt: skip
            if ran.report.decrypted:
                return self._decrypted(ran)
            failure = _undecrypted(ran.report, hidden=bool(outline.hidden))
            if ran.report.unexplained and not self._agent_lives():
                raise Unavailable
            if not isinstance(failure, MissingKey):
                break
        raise failure

    def verify(self, signed: Secret[bytes], signature: bytes | None, *, max_bytes: int, seconds: float) -> Unsealed:
        """See `keys.openpgp.OpenPGP.verify`."""
        if len(signed) > max_bytes:
            raise TooLarge
        if signature is None:
            return self._inline(signed.reveal(), max_bytes, seconds)
        detached = packets.dearmor(signature)
        if packets.signatures(detached) > self._limits.signatures:
            raise BadData
        with running.memory_file(detached) as first, running.memory_file(signed.reveal()) as second:
            ran = self._run(
                "--enable-special-filenames", "--no-armor", "--verify", "--", f"-&{first}", f"-&{second}",
                files=(first, second), max_bytes=0, seconds=seconds,
            )  # fmt: skip
        if ran.report.plaintexts or ran.report.began_decryption or not ran.report.verifications:
            raise Unavailable if ran.report.transient else BadData
        return Unsealed(plaintext=signed, verifications=ran.report.verifications)

    def seal(
        self, plaintext: Secret[bytes], *, to: Sequence[Fingerprint], sign_as: Fingerprint, seconds: float
    ) -> Sealed:
        """See `keys.openpgp.OpenPGP.seal`. Armored; not compressed: length must not tell of content."""
        if not to:
            raise MissingKey
        recipients = [word for fingerprint in to for word in ("--recipient", _named(fingerprint))]
        ran = self._run(
            "--armor", "--compress-algo", "none", "--local-user", _named(sign_as), *recipients, "--sign", "--encrypt",
            stdin=plaintext.reveal(), max_bytes=len(plaintext) * 2 + SLACK_BYTES, seconds=seconds,
        )  # fmt: skip
        if ran.code or not ran.report.encrypted or len(ran.report.signed_with) != 1 or not ran.output:
            raise _unsealed(ran.report)
        return Sealed(ran.output)

    def sign(self, signed: Secret[bytes], *, sign_as: Fingerprint, seconds: float) -> bytes:
        """See `keys.openpgp.OpenPGP.sign`."""
        ran = self._run(
            "--armor", "--digest-algo", "SHA512", "--local-user", _named(sign_as), "--detach-sign",
            stdin=signed.reveal(), max_bytes=65_536, seconds=seconds,
        )  # fmt: skip
        if ran.code or len(ran.report.signed_with) != 1 or not ran.output:
            raise _unsealed(ran.report)
        return ran.output

    # --- customers' certificates

    def import_certificates(self, data: bytes, *, known: bool = False) -> tuple[Certificate, ...]:
        """Certificates into the customers' keybox: size, number and kind of packets checked first, foreign signatures
        dropped. `known`: many, which went through this before. Raises BadData, TooLarge, TooSlow, Unavailable."""
        if len(data) > self._limits.certificate_bytes and not known:
            raise TooLarge
        binary = packets.dearmor(data)
        if packets.certificates(binary) > CERTIFICATES_PER_IMPORT and not known:
            raise TooLarge
        ran = self._run(
            "--no-armor", "--import-options", "import-minimal,self-sigs-only,no-keep-ownertrust", "--import",
            stdin=binary, max_bytes=0, seconds=self._limits.gpg_seconds, ring="customers",
        )  # fmt: skip
        if not ran.report.imported:
            raise Unavailable if ran.report.transient else BadData
        wanted = set(ran.report.imported)
        listed = self.certificates() if known else self.certificates(*sorted(wanted))
        return tuple(one for one in listed if one.fingerprint in wanted)

    def certificates(self, *fingerprints: Fingerprint) -> tuple[Certificate, ...]:
        """Those named, or all."""
        if self._customers is None or not self._customers.exists():
            return ()
        ran = self._run(
            "--with-colons", "--fixed-list-mode", "--with-subkey-fingerprint", "--list-keys",
            *map(_named, fingerprints), max_bytes=LISTING_BYTES, seconds=self._limits.gpg_seconds, ring="customers",
        )  # fmt: skip
        return tuple(listed.certificate() for listed in colons.parse(ran.output))

    def drop_certificate(self, fingerprint: Fingerprint) -> None:
        """Nothing happens if it isn't there."""
        if self._customers is not None and self._customers.exists():
            self._run("--yes", "--delete-keys", _named(fingerprint), max_bytes=0,
                      seconds=self._limits.gpg_seconds, ring="customers")  # fmt: skip

    # --- our own keys

    def own_keys(self) -> tuple[OwnKey, ...]:
        return tuple(listed.own_key() for listed in self._listed())

    def mailbox_key(self, address: str) -> Fingerprint:
        """Of those that can sign for the address, the newest. Raises MissingKey."""
        fitting = [key for key in self.own_keys() if key.can_sign and address.lower() in key.addresses]
        if not fitting:
            raise MissingKey
        return max(fitting, key=lambda key: (key.created_at, key.fingerprint)).fingerprint

    def generate(self, name: str, address: str, *, seconds: int = MAILBOX_KEY_SECONDS) -> Fingerprint:
        """A new Ed25519 and Curve25519 key for a mailbox, good for `seconds` (0: for ever). Raises BadData,
        Unavailable."""
        if not _NAME.fullmatch(name) or not _ADDRESS.fullmatch(address):
            raise BadData
        program = self._program()
        told = program.gen_key_input(
            key_type="eddsa", key_curve="ed25519", key_usage="sign cert", subkey_type="ecdh", subkey_curve="cv25519",
            subkey_usage="encrypt", name_real=name.strip(), name_email=address, no_protection=True,
            expire_date=f"seconds={seconds}" if seconds else "0",
        )  # fmt: skip
        created = str(program.gen_key(told).fingerprint or "")
        self._own = None
        if not status.FINGERPRINT.fullmatch(created):
            raise Unavailable
        return Fingerprint(created)

    def renew(self, fingerprint: Fingerprint, seconds: int) -> None:
        """The key and its parts end that many seconds from now (0: never). Raises MissingKey, Unavailable."""
        if _named(fingerprint) not in {key.fingerprint for key in self._listed()}:
            raise MissingKey
        until = f"seconds={seconds}" if seconds > 0 else "0"
        for parts in ((), ("*",)):
            ran = self._run(
                "--quick-set-expire", fingerprint, until, *parts, max_bytes=0, seconds=OWN_KEY_SECONDS, ring="own"
            )
            if ran.code:
                raise Unavailable
        self._own = None

    def import_own(self, data: bytes) -> tuple[Fingerprint, ...]:
        """One of the company's own keys, secret part included, from an admin. Raises BadData."""
        result = self._program().import_keys(data)
        self._own = None
        secret = {str(one["fingerprint"]) for one in result.results if int(one.get("ok") or 0) & 16}
        found = tuple(Fingerprint(name) for name in sorted(secret) if status.FINGERPRINT.fullmatch(name))
        if not found:
            raise BadData
        return found

    def export(self, fingerprint: Fingerprint, *, ring: str = "own") -> bytes:
        """The public part of one of our own keys (or, `ring` customers, a certificate), binary and minimal. Raises
        MissingKey."""
        ran = self._run(
            "--export-options", "export-minimal", "--export", _named(fingerprint), ring=ring,
            max_bytes=self._limits.certificate_bytes, seconds=self._limits.gpg_seconds,
        )  # fmt: skip
        if not ran.output:
            raise MissingKey
        return ran.output

    # --- gpg itself

    def version(self) -> tuple[int, int, int]:
        """Raises Unavailable (no gpg, or one whose status lines can be forged: CVE-2022-34903)."""
        ran = self._run("--with-colons", "--list-config", "version", max_bytes=65_536, seconds=10.0)
        match = _VERSION.search(ran.output)
        if match is None:
            raise Unavailable
        found = (int(match[1]), int(match[2]), int(match[3]))
        if found < (2, 2, 36) or (2, 3, 0) <= found < (2, 3, 7):
            raise Unavailable
        return found

    def start_agent(self) -> None:
        """gpg-agent, outside any limit of one message. Raises Unavailable."""
        try:
            subprocess.run(
                ["gpg-connect-agent", "--homedir", str(self.home), "/bye"], env=ENVIRONMENT, timeout=10, check=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            raise Unavailable from None

    def stop_agent(self) -> None:
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "gpg-agent"], env=ENVIRONMENT, timeout=10, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _program(self) -> _Program:
        self.start_agent()
        try:
            return _Program(gnupghome=str(self.home), encoding="utf-8", env=ENVIRONMENT)
        except (OSError, ValueError):
            raise Unavailable from None

    def _ours(self, outline: packets.Outline) -> list[slice]:
        """The session-key packets that gpg is to try: those for us, else the hidden ones; too many are never tried."""
        if len(outline.recipients) > self._limits.recipients or outline.hidden > self._limits.hidden_recipients:
            raise TooLarge
        if not outline.recipients:
            raise CannotDecrypt
        ours = {subkey.key_id for key in self._listed() for subkey in key.subkeys if subkey.secret}
        named = [place for name, place in outline.recipients if name in ours]
        hidden = [place for name, place in outline.recipients if not name]
        if not named and not hidden:
            raise MissingKey
        return (named + hidden)[: self._limits.hidden_recipients]

    def _decrypted(self, ran: _Ran) -> Unsealed:
        if ran.report.signatures_outside or len(ran.report.decryption_keys) != 1:
            raise BadData
        _, primary = ran.report.decryption_keys[0]
        return Unsealed(
            plaintext=self._plaintext(ran),
            verifications=ran.report.verifications,
            opened_by=primary,
            expired_key=any(key.expired for key in self._listed() if key.fingerprint == primary),
        )

    def _inline(self, data: bytes, max_bytes: int, seconds: float) -> Unsealed:
        if not packets.is_clear_signed(data):
            message = packets.dearmor(data)
            if packets.outline(message).encrypted:
                raise BadData
            return self._signed(self._run("--no-armor", "--decrypt", stdin=message, max_bytes=max_bytes,
                                          seconds=seconds))  # fmt: skip
        clear = packets.clear_signed(data)
        ran = self._run("--decrypt", stdin=clear.block, max_bytes=max_bytes, seconds=seconds)
        unsealed = self._signed(ran)
        if packets.unify(ran.output) != clear.text:
            raise BadData
        return unsealed

    def _signed(self, ran: _Ran) -> Unsealed:
        report = ran.report
        if report.began_decryption or report.plaintexts != 1 or not report.verifications:
            raise Unavailable if report.transient else BadData
        return Unsealed(plaintext=self._plaintext(ran), verifications=report.verifications)

    def _plaintext(self, ran: _Ran) -> Secret[bytes]:
        report = ran.report
        if report.plaintexts != 1 or len(report.verifications) > self._limits.signatures:
            raise BadData
        if ran.code and (ran.code not in (1, 2) or status.all_good(report.verifications)):
            raise CannotDecrypt
        if report.plaintext_length is not None and len(ran.output) > report.plaintext_length:
            raise CannotDecrypt
        return Secret(ran.output)

    def _listed(self) -> list[colons.Listed]:
        """Our own keys; looked at again when their files changed."""
        seen = tuple(_changed(self.home / name) for name in ("pubring.kbx", "pubring.gpg", "private-keys-v1.d"))
        if self._own is None or self._own[0] != seen:
            ran = self._run(
                "--with-colons", "--fixed-list-mode", "--with-subkey-fingerprint", "--list-secret-keys",
                max_bytes=LISTING_BYTES, seconds=self._limits.gpg_seconds, ring="own",
            )  # fmt: skip
            if ran.code and ran.report.transient:
                raise Unavailable
            self._own = (seen, colons.parse(ran.output))
        return self._own[1]

    def _run(
        self, *words: str, stdin: bytes = b"", files: tuple[int, ...] = (), max_bytes: int, seconds: float,
        ring: str = "both",
    ) -> _Ran:  # fmt: skip
        """The agent is started outside the limits of this run; once more when it went in between."""
        rings: tuple[str, ...] = ()
        if self._customers is not None and (ring == "customers" or (ring == "both" and self._customers.exists())):
            rings = ("--keyring", str(self._customers))
            if ring == "customers":
                rings = ("--no-default-keyring", *rings)
        arguments = (
            "gpg", "--homedir", str(self.home), *OPTIONS, "--max-output", str(max_bytes + SLACK_BYTES), *rings, *words,
        )  # fmt: skip
        with self._places.taken(self._limits.gpg_wait_seconds):
            if not self._agent_lives():
                self.start_agent()
            ran = self._once(arguments, stdin, files, max_bytes, seconds)
            if ran.report.no_agent or ran.report.unexplained:
                self.start_agent()
                for file in files:
                    os.lseek(file, 0, os.SEEK_SET)
                ran = self._once(arguments, stdin, files, max_bytes, seconds)
            return ran

    def _agent_lives(self) -> bool:
        """Without its agent gpg says "no secret key", and lists none: that must not be believed."""
        if self._socket is None:
            self._socket = self._agent_socket()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(5.0)
                probe.connect(self._socket)
        except OSError:
            return False
        return True

    def _agent_socket(self) -> str:
        try:
            told = subprocess.run(
                ["gpgconf", "--homedir", str(self.home), "--list-dirs", "agent-socket"], env=ENVIRONMENT, timeout=10,
                check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            raise Unavailable from None
        return unquote(told.stdout.decode("utf-8", "surrogateescape").strip())

    def _once(
        self, arguments: Sequence[str], stdin: bytes, files: tuple[int, ...], max_bytes: int, seconds: float
    ) -> _Ran:
        ran = running.run(
            arguments, stdin=stdin, files=files, max_bytes=max_bytes, seconds=seconds, own_group=self._own_group,
            environment=ENVIRONMENT,
        )  # fmt: skip
        return _Ran(ran.code, ran.output, status.parse(ran.status))


class GnuPG:
    """The `keys.openpgp.OpenPGP` contract over a `Gpg`, for callers on an event loop: each call in a thread."""

    def __init__(self, gpg: Gpg) -> None:
        self._gpg = gpg

    async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed:
        return await asyncio.to_thread(self._gpg.open, sealed, max_bytes=max_bytes, seconds=seconds)

    async def verify(
        self, signed: Secret[bytes], signature: bytes | None, /, *, max_bytes: int, seconds: float
    ) -> Unsealed:
        return await asyncio.to_thread(self._gpg.verify, signed, signature, max_bytes=max_bytes, seconds=seconds)

    async def seal(
        self, plaintext: Secret[bytes], /, *, to: Sequence[Fingerprint], sign_as: Fingerprint, seconds: float
    ) -> Sealed:
        return await asyncio.to_thread(self._gpg.seal, plaintext, to=to, sign_as=sign_as, seconds=seconds)

    async def sign(self, signed: Secret[bytes], /, *, sign_as: Fingerprint, seconds: float) -> bytes:
        return await asyncio.to_thread(self._gpg.sign, signed, sign_as=sign_as, seconds=seconds)


@dataclass(frozen=True, slots=True)
class _Ran:
    code: int
    output: bytes
    report: status.Report


class _Program(gnupg.GPG):  # type: ignore[misc]
    """python-gnupg with our options, and status lines on a descriptor of their own: it reads its `stderr`, which here
    is a pipe that only status lines are written to."""

    def make_args(self, args: list[str], passphrase: bool) -> list[str]:
        return [self.gpgbinary, "--homedir", self.gnupghome, *OPTIONS, "--with-colons", "--fixed-list-mode", *args]

    def _open_subprocess(self, args: list[str], passphrase: bool = False) -> subprocess.Popen[bytes]:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        program, *words = self.make_args(args, passphrase)
        try:
            process = subprocess.Popen(
                [program, "--status-fd", str(writer), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, pass_fds=(writer,), env=self.env, process_group=0,
            )  # fmt: skip
        finally:
            os.close(writer)
        process.stderr = os.fdopen(reader, "rb")
        timer = threading.Timer(OWN_KEY_SECONDS, process.kill)
        timer.daemon = True
        timer.start()
        return process


def _named(fingerprint: Fingerprint) -> str:
    """Raises BadData for anything but a fingerprint: it becomes an argument."""
    if not status.FINGERPRINT.fullmatch(fingerprint):
        raise BadData
    return fingerprint


def _undecrypted(report: status.Report, hidden: bool) -> KeysError:
    if report.transient:
        return Unavailable()
    if not report.session_key and (report.no_secret_key or hidden):
        return MissingKey()
    return CannotDecrypt()


def _unsealed(report: status.Report) -> KeysError:
    if report.invalid_recipients:
        return MissingKey() if "1" in report.invalid_recipients else CertCannotEncrypt()
    if report.invalid_signers:
        return KeyCannotSign()
    return Unavailable() if report.transient else KeyCannotSign()


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

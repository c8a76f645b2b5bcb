"""gpg's key boxes: customers' certificates, in memory, and the company's own keys.

Rules:
1. A certificate is measured, counted and looked at before gpg imports it, and keeps no foreign signatures; a secret key
   is never taken as a certificate.
2. python-gnupg makes and imports our own keys, with our options and a status descriptor of its own. It handles no
   message: its `decrypt` keeps the plaintext of tampered mail in `.data`.
"""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

import gnupg

from keys import colons, packets, status
from keys.errors import BadData, MissingKey, TooLarge, Unavailable
from keys.gnupg_program import OPTIONS, Program, environment, named
from keys.limits import CERTIFICATES_PER_IMPORT, MAILBOX_KEY_SECONDS
from keys.openpgp import Certificate, Fingerprint, OwnKey

LISTING_BYTES: Final = 67_108_864
OWN_KEY_SECONDS: Final = 30.0  # to make or import one
_NAME: Final = re.compile(r"[^\x00-\x1f<>()@:]{1,200}")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9.!#$&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,255}")

gnupg.logger.disabled = True  # it logs user ids and data


class KeyBoxes(Program):
    def __init__(self, folder: Path, **settings: Any) -> None:
        super().__init__(folder, **settings)
        self._own: tuple[tuple[int, ...], list[colons.Listed]] | None = None

    # --- customers' certificates

    def import_certificates(self, data: bytes, *, known: bool = False) -> tuple[Certificate, ...]:
        """Certificates into the customers' keybox: size, number and kind of packets checked first, foreign signatures
        dropped. `known`: many, which went through this before. Raises BadData, TooLarge, TooSlow, Unavailable."""
        if len(data) > self._limits.certificate_bytes and not known:
            raise TooLarge
        binary = packets.dearmor(data)
        if packets.certificates(binary) > CERTIFICATES_PER_IMPORT and not known:
            raise TooLarge
        ran = self._call(
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
        ran = self._call(
            "--with-colons", "--fixed-list-mode", "--with-subkey-fingerprint", "--list-keys",
            *map(named, fingerprints), max_bytes=LISTING_BYTES, seconds=self._limits.gpg_seconds, ring="customers",
        )  # fmt: skip
        return tuple(listed.certificate() for listed in colons.parse(ran.output))

    def drop_certificate(self, fingerprint: Fingerprint) -> None:
        """Nothing happens if it isn't there."""
        if self._customers is not None and self._customers.exists():
            self._call("--yes", "--delete-keys", named(fingerprint), max_bytes=0,
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
        if named(fingerprint) not in {key.fingerprint for key in self._listed()}:
            raise MissingKey
        until = f"seconds={seconds}" if seconds > 0 else "0"
        for parts in ((), ("*",)):
            ran = self._call(
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
        ran = self._call(
            "--export-options", "export-minimal", "--export", named(fingerprint), ring=ring,
            max_bytes=self._limits.certificate_bytes, seconds=self._limits.gpg_seconds,
        )  # fmt: skip
        if not ran.output:
            raise MissingKey
        return ran.output

    def _listed(self) -> list[colons.Listed]:
        """Our own keys; looked at again when their files changed."""
        seen = tuple(_changed(self.home / name) for name in ("pubring.kbx", "pubring.gpg", "private-keys-v1.d"))
        if self._own is None or self._own[0] != seen:
            ran = self._call(
                "--with-colons", "--fixed-list-mode", "--with-subkey-fingerprint", "--list-secret-keys",
                max_bytes=LISTING_BYTES, seconds=self._limits.gpg_seconds, ring="own",
            )  # fmt: skip
            if ran.code and ran.report.transient:
                raise Unavailable
            self._own = (seen, colons.parse(ran.output))
        return self._own[1]

    def _program(self) -> _PythonGnupg:
        self.start_agent()
        try:
            return _PythonGnupg(gnupghome=str(self.home), encoding="utf-8", env=environment())
        except (OSError, ValueError):
            raise Unavailable from None


class _PythonGnupg(gnupg.GPG):  # type: ignore[misc]
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


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0

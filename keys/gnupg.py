"""The OpenPGP contract over gpg: opening, verifying, sealing and signing messages.

Rules:
1. gpg sees only what `keys.packets` has counted: binary, one message, one session-key packet that is ours.
2. Plaintext is released only after DECRYPTION_OKAY, GOODMDC and an exit code that the signatures explain.
3. A signature's verdict stands beside the plaintext and never stops it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from keys import packets, running, status
from keys.errors import (
    BadData,
    CannotDecrypt,
    CertCannotEncrypt,
    KeyCannotSign,
    KeysError,
    MissingKey,
    TooLarge,
    Unavailable,
)
from keys.gnupg_keys import KeyBoxes
from keys.gnupg_program import SLACK_BYTES, Finished, named
from keys.openpgp import Fingerprint, Sealed, Unsealed
from keys.secret import Secret


class Gpg(KeyBoxes):
    """Blocking: for openers. `GnuPG` is the same for callers on an event loop."""

    def open(self, sealed: Sealed, *, max_bytes: int, seconds: float) -> Unsealed:
        """See `keys.openpgp.OpenPGP.open`. Raises MissingKey when the message is for others only."""
        message = packets.dearmor(sealed.data)
        outline = packets.outline(message)
        if not outline.encrypted:
            return self._signed(self._call("--no-armor", "--decrypt", stdin=message, max_bytes=max_bytes,
                                          seconds=seconds))  # fmt: skip
        until = time.monotonic() + seconds
        failure: KeysError = CannotDecrypt()
        for place in self._ours(outline):
            # one session-key packet at a time: a clean run ends with 0, whoever else the message is for
            ran = self._call("--no-armor", "--decrypt", stdin=message[place] + message[outline.data :],
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
            ran = self._call(
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
        recipients = [word for fingerprint in to for word in ("--recipient", named(fingerprint))]
        ran = self._call(
            "--armor", "--compress-algo", "none", "--local-user", named(sign_as), *recipients, "--sign", "--encrypt",
            stdin=plaintext.reveal(), max_bytes=len(plaintext) * 2 + SLACK_BYTES, seconds=seconds,
        )  # fmt: skip
        if ran.code or not ran.report.encrypted or len(ran.report.signed_with) != 1 or not ran.output:
            raise _unsealed(ran.report)
        return Sealed(ran.output)

    def sign(self, signed: Secret[bytes], *, sign_as: Fingerprint, seconds: float) -> bytes:
        """See `keys.openpgp.OpenPGP.sign`."""
        ran = self._call(
            "--armor", "--digest-algo", "SHA512", "--local-user", named(sign_as), "--detach-sign",
            stdin=signed.reveal(), max_bytes=65_536, seconds=seconds,
        )  # fmt: skip
        if ran.code or len(ran.report.signed_with) != 1 or not ran.output:
            raise _unsealed(ran.report)
        return ran.output

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

    def _decrypted(self, ran: Finished) -> Unsealed:
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
            return self._signed(self._call("--no-armor", "--decrypt", stdin=message, max_bytes=max_bytes,
                                          seconds=seconds))  # fmt: skip
        clear = packets.clear_signed(data)
        ran = self._call("--decrypt", stdin=clear.block, max_bytes=max_bytes, seconds=seconds)
        unsealed = self._signed(ran)
        if packets.unify(ran.output) != clear.text:
            raise BadData
        return unsealed

    def _signed(self, ran: Finished) -> Unsealed:
        report = ran.report
        if report.began_decryption or report.plaintexts != 1 or not report.verifications:
            raise Unavailable if report.transient else BadData
        return Unsealed(plaintext=self._plaintext(ran), verifications=report.verifications)

    def _plaintext(self, ran: Finished) -> Secret[bytes]:
        report = ran.report
        if report.plaintexts != 1 or len(report.verifications) > self._limits.signatures:
            raise BadData
        if ran.code and (ran.code not in (1, 2) or status.all_good(report.verifications)):
            raise CannotDecrypt
        if report.plaintext_length is not None and len(ran.output) > report.plaintext_length:
            raise CannotDecrypt
        return Secret(ran.output)


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

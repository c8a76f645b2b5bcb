"""What gpg says on its status descriptor (GnuPG, doc/DETAILS), as a strict state machine.

Rules:
1. The descriptor is gpg's alone: human text, file names and user ids go to another, which nobody reads.
2. A signature's verdict counts only in its own group (NEWSIG …), once, in order, and consistent with itself: verdict,
   then VALIDSIG of the very key. Anything else in a group makes that signature an ERROR: a line that was smuggled in
   through a user id, a file name or a notation can spoil a verdict, never improve one.
3. Decryption counts only as BEGIN_DECRYPTION … DECRYPTION_OKAY, GOODMDC, END_DECRYPTION, once, with one plaintext.
4. Free text (user ids, file names, notations) is never kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum
from typing import Final

from keys.errors import BadData
from keys.openpgp import Fingerprint, SignatureStatus, Verification

_LINE: Final = re.compile(r"\[GNUPG:\] ([A-Z0-9_]+)(?: (.*))?")
FINGERPRINT: Final = re.compile(r"[0-9A-F]{40}|[0-9A-F]{64}")
_KEY_ID: Final = re.compile(r"[0-9A-F]{16}|[0-9A-F]{40}|[0-9A-F]{64}")
_VERDICTS: Final = {
    "GOODSIG": SignatureStatus.GOOD,
    "BADSIG": SignatureStatus.BAD,
    "ERRSIG": SignatureStatus.ERROR,
    "EXPSIG": SignatureStatus.EXPIRED,
    "EXPKEYSIG": SignatureStatus.EXPIRED_KEY,
    "REVKEYSIG": SignatureStatus.REVOKED_KEY,
}
_WEAK_DIGESTS: Final = frozenset({"1", "2", "3"})  # MD5, SHA-1, RIPEMD-160; RFC 9580, section 9.5
_NO_PUBLIC_KEY: Final = "9"
_DOCUMENT: Final = frozenset({"00", "01"})  # binary and text document; RFC 9580, section 5.2.1


class Code(IntEnum):
    """GPG_ERR_* that are told apart (libgpg-error, err-codes.h)."""

    NO_PUBKEY = 9
    NO_SECKEY = 17
    TIMEOUT = 62
    NO_AGENT = 77
    AGENT = 78
    IPC_FIRST = 257
    IPC_LAST = 281
    AGAIN = 32_768 + 6
    NO_MEMORY = 32_768 + 86


_TRANSIENT: Final = frozenset(
    {Code.TIMEOUT, Code.NO_AGENT, Code.AGENT, Code.AGAIN, Code.NO_MEMORY, *range(Code.IPC_FIRST, Code.IPC_LAST + 1)}
)


@dataclass(slots=True)
class _Group:
    """One signature: what was said of it, in order."""

    inside: bool
    verdicts: list[tuple[str, list[str]]] = field(default_factory=list)
    valid: list[list[str]] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """All that is believed of one run. `decryption_keys` are (subkey, primary key); `inside` says that every signature
    stood within the encryption."""

    decrypted: bool = False
    plaintexts: int = 0
    plaintext_length: int | None = None
    verifications: tuple[Verification, ...] = ()
    signatures_inside: int = 0
    signatures_outside: int = 0
    decryption_keys: list[tuple[Fingerprint, Fingerprint]] = field(default_factory=list)
    no_secret_key: bool = False
    no_data: bool = False
    transient: bool = False
    no_agent: bool = False
    began_decryption: bool = False
    session_key: bool = False
    errors: int = 0
    invalid_recipients: list[str] = field(default_factory=list)
    invalid_signers: list[str] = field(default_factory=list)
    signed_with: list[Fingerprint] = field(default_factory=list)
    encrypted: bool = False
    created: list[Fingerprint] = field(default_factory=list)
    imported: list[Fingerprint] = field(default_factory=list)


    @property
    def unexplained(self) -> bool:
        """A decryption without a session key and without a reason: that is what gpg says when its agent went."""
        return self.began_decryption and not (self.session_key or self.errors or self.no_secret_key)


class Machine:
    """Fed line by line; `report()` at the end. Raises BadData where the sequence can't be gpg's own."""

    def __init__(self) -> None:
        self._report = Report()
        self._phase = "before"
        self._okay = self._good = self._protected = self._failed = False
        self._groups: list[_Group] = []
        self._group: _Group | None = None

    def feed(self, line: str) -> None:
        match = _LINE.fullmatch(line)
        if match is None:
            raise BadData
        word, rest = match[1], match[2] or ""
        if word in _VERDICTS:
            self._verdict(word, rest.split(" "))
            return
        handler = _HANDLERS.get(word)
        if handler is not None:
            handler(self, rest.split(" ") if rest else [])

    def report(self) -> Report:
        report = self._report
        if self._phase == "open":
            raise BadData
        proven = self._okay and self._good and self._protected and not self._failed
        report.decrypted = self._phase == "closed" and proven
        report.verifications = tuple(_judge(group) for group in self._groups)
        report.signatures_inside = sum(group.inside for group in self._groups)
        report.signatures_outside = len(self._groups) - report.signatures_inside
        return report

    def _begin_decryption(self, _: list[str]) -> None:
        if self._phase != "before":
            raise BadData
        self._phase, self._group = "open", None
        self._report.began_decryption = True

    def _end_decryption(self, _: list[str]) -> None:
        if self._phase != "open":
            raise BadData
        self._phase, self._group = "closed", None

    def _decryption_info(self, words: list[str]) -> None:
        """`mdc_method sym_algo [aead_algo]`: protected by an MDC, or by AEAD."""
        if self._phase != "open" or self._report.session_key or len(words) < 2:
            raise BadData
        self._report.session_key = True
        self._protected = words[0] != "0" or (len(words) > 2 and words[2] != "0")

    def _decryption_okay(self, _: list[str]) -> None:
        if self._phase != "open" or self._okay:
            raise BadData
        self._okay, self._group = True, None

    def _decryption_failed(self, _: list[str]) -> None:
        self._failed = True
        self._group = None

    def _goodmdc(self, _: list[str]) -> None:
        if self._phase != "open" or not self._okay or self._good:
            raise BadData
        self._good = True

    def _plaintext(self, _: list[str]) -> None:
        self._report.plaintexts += 1
        if self._report.plaintexts > 1 or self._phase == "closed":
            raise BadData

    def _plaintext_length(self, words: list[str]) -> None:
        if len(words) != 1 or not words[0].isdecimal():
            raise BadData
        self._report.plaintext_length = int(words[0])

    def _newsig(self, _: list[str]) -> None:
        self._group = _Group(inside=self._phase == "open")
        self._groups.append(self._group)

    def _verdict(self, word: str, words: list[str]) -> None:
        if self._group is None:  # a verdict on no signature
            raise BadData
        self._group.verdicts.append((word, words))

    def _validsig(self, words: list[str]) -> None:
        if self._group is None:
            raise BadData
        self._group.valid.append(words)

    def _decryption_key(self, words: list[str]) -> None:
        if len(words) < 2 or not all(FINGERPRINT.fullmatch(word) for word in words[:2]):
            raise BadData
        self._report.decryption_keys.append((Fingerprint(words[0]), Fingerprint(words[1])))

    def _no_seckey(self, _: list[str]) -> None:
        self._report.no_secret_key = True

    def _nodata(self, _: list[str]) -> None:
        self._report.no_data = True

    def _error(self, words: list[str]) -> None:
        if len(words) >= 2 and words[1].isdecimal():
            code = int(words[1]) & 0xFFFF
            self._report.errors += 1
            self._report.transient |= code in _TRANSIENT
            self._report.no_agent |= code == Code.NO_AGENT
            self._report.no_secret_key |= code == Code.NO_SECKEY

    def _inv_recp(self, words: list[str]) -> None:
        self._report.invalid_recipients.append(words[0] if words else "0")

    def _inv_sgnr(self, words: list[str]) -> None:
        self._report.invalid_signers.append(words[0] if words else "0")

    def _sig_created(self, words: list[str]) -> None:
        if len(words) < 6 or not FINGERPRINT.fullmatch(words[5]):
            raise BadData
        self._report.signed_with.append(Fingerprint(words[5]))

    def _end_encryption(self, _: list[str]) -> None:
        self._report.encrypted = True

    def _key_created(self, words: list[str]) -> None:
        if len(words) < 2 or not FINGERPRINT.fullmatch(words[1]):
            raise BadData
        self._report.created.append(Fingerprint(words[1]))

    def _import_ok(self, words: list[str]) -> None:
        if len(words) < 2 or not FINGERPRINT.fullmatch(words[1]):
            raise BadData
        self._report.imported.append(Fingerprint(words[1]))


_HANDLERS: Final = {
    "BEGIN_DECRYPTION": Machine._begin_decryption,
    "END_DECRYPTION": Machine._end_decryption,
    "DECRYPTION_INFO": Machine._decryption_info,
    "DECRYPTION_OKAY": Machine._decryption_okay,
    "DECRYPTION_FAILED": Machine._decryption_failed,
    "BADMDC": Machine._decryption_failed,
    "GOODMDC": Machine._goodmdc,
    "PLAINTEXT": Machine._plaintext,
    "PLAINTEXT_LENGTH": Machine._plaintext_length,
    "NEWSIG": Machine._newsig,
    "VALIDSIG": Machine._validsig,
    "DECRYPTION_KEY": Machine._decryption_key,
    "NO_SECKEY": Machine._no_seckey,
    "NODATA": Machine._nodata,
    "ERROR": Machine._error,
    "FAILURE": Machine._error,
    "INV_RECP": Machine._inv_recp,
    "INV_SGNR": Machine._inv_sgnr,
    "SIG_CREATED": Machine._sig_created,
    "END_ENCRYPTION": Machine._end_encryption,
    "KEY_CREATED": Machine._key_created,
    "IMPORT_OK": Machine._import_ok,
}


def parse(data: bytes) -> Report:
    """Raises BadData."""
    machine = Machine()
    for line in data.decode("utf-8", "replace").split("\n"):
        if line:
            machine.feed(line)
    return machine.report()


def _judge(group: _Group) -> Verification:
    if len(group.verdicts) != 1:
        return _ERROR
    word, words = group.verdicts[0]
    status = _VERDICTS[word]
    if not _KEY_ID.fullmatch(words[0]):
        return _ERROR
    if status is SignatureStatus.BAD:
        return _ERROR if group.valid else _verification(SignatureStatus.BAD)
    if status is SignatureStatus.ERROR:
        return _ERROR if group.valid else _unchecked(words)
    if len(group.valid) != 1:
        return _ERROR
    return _checked(status, words[0], group.valid[0])


def _unchecked(words: list[str]) -> Verification:
    """`keyid pkalgo hashalgo sig_class time rc [fpr]`; the time is nobody's word."""
    if len(words) < 6:
        return _ERROR
    named = Fingerprint(words[6]) if len(words) > 6 and FINGERPRINT.fullmatch(words[6]) else None
    if words[5] == _NO_PUBLIC_KEY:
        return _verification(SignatureStatus.UNKNOWN_KEY, signing_key=named)
    if words[2] in _WEAK_DIGESTS:
        return _verification(SignatureStatus.WEAK, signing_key=named)
    return _ERROR


def _checked(status: SignatureStatus, key_id: str, valid: list[str]) -> Verification:
    """`fpr date timestamp expire version reserved pkalgo hashalgo sig_class primary_fpr`."""
    if len(valid) < 10 or not FINGERPRINT.fullmatch(valid[0]) or not FINGERPRINT.fullmatch(valid[9]):
        return _ERROR
    if not (valid[0].endswith(key_id) or valid[0].startswith(key_id)) or valid[8] not in _DOCUMENT:
        return _ERROR
    if status is SignatureStatus.GOOD and valid[7] in _WEAK_DIGESTS:
        status = SignatureStatus.WEAK
    return Verification(
        status=status,
        signing_key=Fingerprint(valid[0]),
        primary_key=Fingerprint(valid[9]),
        signed_at=moment(valid[2]),
    )


def moment(text: str) -> datetime | None:
    """Seconds since 1970, or ISO 8601 basic (20260827T100000); None for neither."""
    try:
        if "T" in text:
            return datetime.strptime(text[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
        return datetime.fromtimestamp(int(text), UTC) if text.isdecimal() and int(text) else None
    except (ValueError, OverflowError, OSError):
        return None


def _verification(status: SignatureStatus, signing_key: Fingerprint | None = None) -> Verification:
    return Verification(status=status, signing_key=signing_key, primary_key=None, signed_at=None)


_ERROR: Final = _verification(SignatureStatus.ERROR)


def all_good(verifications: Iterable[Verification]) -> bool:
    return all(v.status is SignatureStatus.GOOD for v in verifications)

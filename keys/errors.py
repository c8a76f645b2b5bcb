"""What can go wrong with keys, in the words of SOP (draft-dkg-openpgp-stateless-cli, section on failure modes).

    KeysError
    ├── BadData               not what it claims to be: not OpenPGP, not a box, truncated
    ├── CannotDecrypt         no key of ours opens it, or it was changed on the way
    ├── MissingKey            a named key or certificate is not here
    ├── CertCannotEncrypt     the certificate is expired, revoked, or has no encryption key
    ├── KeyCannotSign         ours is expired, revoked or locked
    ├── TooLarge              the plaintext passes its limit (RFC 9580 compression bombs)
    ├── TooSlow               the time limit ran out
    ├── BadSignature          a box or a stamp does not verify: forged, replayed or moved
    ├── ExposedKey            a key file of ours may be read by anybody on this machine
    └── Unavailable           gpg, its agent or the key process is not there; try again

Rule: no message text, no key material and no program output ever goes into one of these: `str(error)` is its
class's docstring line. A caller that must branch, branches on the class.
"""

from __future__ import annotations


class KeysError(Exception):
    """An operation with keys failed."""

    def __str__(self) -> str:
        return (type(self).__doc__ or "").strip().splitlines()[0]


class BadData(KeysError):
    """The data is not what it claims to be."""


class CannotDecrypt(KeysError):
    """No key opens it, or it was changed on the way."""


class MissingKey(KeysError):
    """A named key or certificate is not here."""


class CertCannotEncrypt(KeysError):
    """The certificate is expired, revoked, or has no key to encrypt to."""


class KeyCannotSign(KeysError):
    """The signing key is expired, revoked or locked."""


class TooLarge(KeysError):
    """The plaintext passes its limit."""


class TooSlow(KeysError):
    """The time limit ran out."""


class BadSignature(KeysError):
    """A box or a stamp does not verify."""


class ExposedKey(KeysError):
    """A key file may be read by anybody on this machine (chmod 600)."""


class Unavailable(KeysError):
    """The program or process that holds the keys is not there; try again."""


BY_NAME: dict[str, type[KeysError]] = {
    kind.__name__: kind
    for kind in (
        KeysError, BadData, CannotDecrypt, MissingKey, CertCannotEncrypt, KeyCannotSign, TooLarge, TooSlow,
        BadSignature, ExposedKey, Unavailable,
    )
}  # fmt: skip
"""For the pipe between processes: an error travels as its class's name and nothing else."""

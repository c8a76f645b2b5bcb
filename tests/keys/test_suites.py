"""Other people's messages and keys: the Autocrypt specification's examples and KDE's collection of mail."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from keys import packets
from keys.errors import KeysError, MissingKey
from keys.gnupg import Gpg
from keys.openpgp import Sealed, SignatureStatus
from keys.secret import Secret
from keys.testing import new_home

DATA = Path(os.environ.get("VESTIBULE_TESTDATA", Path(__file__).parents[3] / "shared" / "testdata" / "email"))
AUTOCRYPT, KDE = DATA / "pgp-autocrypt", DATA / "pgp-kde-a"
MESSAGE = re.compile(rb"^-----BEGIN PGP MESSAGE-----.*?^-----END PGP MESSAGE-----", re.DOTALL | re.MULTILINE)
LIMITS = {"max_bytes": 10_000_000, "seconds": 20.0}

needs_autocrypt = pytest.mark.skipif(not AUTOCRYPT.is_dir(), reason="the Autocrypt examples are not here")
needs_kde = pytest.mark.skipif(not KDE.is_dir(), reason="KDE's collection is not here")


@pytest.fixture(scope="module")
def engine() -> Iterator[Gpg]:
    made = Gpg(new_home(), customers=new_home() / "customers.kbx")
    yield made
    made.stop_agent()


@needs_autocrypt
def test_expired_keys_of_the_autocrypt_examples_read_and_say_so(engine: Gpg) -> None:
    for path in sorted(AUTOCRYPT.glob("*.sec.asc")):
        assert engine.import_own(path.read_bytes())
    for path in sorted(AUTOCRYPT.glob("*.pub.asc")):
        (certificate,) = engine.import_certificates(path.read_bytes())
        assert certificate.addresses == (path.name.removesuffix(".pub.asc"),)
        assert not certificate.can_encrypt
    opened = 0
    for path in sorted(AUTOCRYPT.glob("*.eml")):
        if "setup" in path.name:
            continue
        for block in MESSAGE.findall(path.read_bytes()):
            unsealed = engine.open(Sealed(block), **LIMITS)
            assert unsealed.expired_key
            assert {one.status for one in unsealed.verifications} <= {
                SignatureStatus.GOOD, SignatureStatus.EXPIRED_KEY, SignatureStatus.UNKNOWN_KEY,
            }  # fmt: skip
            opened += 1
    assert opened >= 2


@needs_autocrypt
def test_an_autocrypt_setup_message_is_for_a_passphrase_and_refused(engine: Gpg) -> None:
    (block,) = MESSAGE.findall((AUTOCRYPT / "example-setup-message.eml").read_bytes())
    assert packets.outline(packets.dearmor(block)).passwords == 1
    with pytest.raises(KeysError):
        engine.open(Sealed(block), **LIMITS)


@needs_kde
def test_messages_of_kdes_collection_are_for_others_and_said_to_be_so(engine: Gpg) -> None:
    seen = 0
    for path in sorted(KDE.glob("*.mbox")):
        for block in MESSAGE.findall(path.read_bytes()):
            try:
                outline = packets.outline(packets.dearmor(block))
            except KeysError:  # quoted-printable, cut or changed on purpose: an answer, no exception of another kind
                continue
            if outline.encrypted and not outline.hidden:
                with pytest.raises(MissingKey):
                    engine.open(Sealed(block), **LIMITS)
                seen += 1
    assert seen >= 8


@needs_kde
def test_a_clear_signature_that_was_broken_on_the_way_is_never_good(engine: Gpg) -> None:
    data = (KDE / "openpgp-inline-signed-broken2.mbox").read_bytes()
    assert packets.is_clear_signed(data)
    with pytest.raises(KeysError):
        engine.verify(Secret(data), None, **LIMITS)
    repaired = data.replace(b"=3D", b"=").replace(b"=F6=E4=FC", b"\xf6\xe4\xfc")
    (one,) = engine.verify(Secret(repaired), None, **LIMITS).verifications
    assert one.status is SignatureStatus.UNKNOWN_KEY

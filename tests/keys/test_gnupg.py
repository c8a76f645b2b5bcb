"""gpg behind the OpenPGP contract: what is opened, what is refused, what is said of signatures."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from keys import packets
from keys.errors import (
    BadData,
    CannotDecrypt,
    CertCannotEncrypt,
    KeyCannotSign,
    MissingKey,
    TooLarge,
    TooSlow,
)
from keys.gnupg import GnuPG, Gpg
from keys.limits import Limits
from keys.openpgp import Fingerprint, OpenPGP, Sealed, SignatureStatus, Unsealed
from keys.secret import Secret
from keys.testing import (
    House,
    clear_signed,
    encrypted,
    gpg,
    meet,
    new_home,
    new_identity,
    signed,
    tampered,
)

TEXT = b"Content-Type: text/plain\r\n\r\nMy card is 4111 1111 1111 1111.\r\n"
LIMITS = {"max_bytes": 1_000_000, "seconds": 20.0}


def opened(house: House, message: bytes) -> Unsealed:
    return house.gpg.open(Sealed(message), **LIMITS)


def statuses(unsealed: Unsealed) -> list[SignatureStatus]:
    return [one.status for one in unsealed.verifications]


@pytest.fixture(scope="module")
def message(house: House) -> bytes:
    return encrypted(TEXT, to=[house.support_certificate], by=house.people["alice"])


def test_a_signed_and_encrypted_message_opens_with_its_verdict(house: House, message: bytes) -> None:
    unsealed = opened(house, message)
    assert unsealed.plaintext == Secret(TEXT)
    assert unsealed.opened_by == house.support
    assert not unsealed.expired_key
    (one,) = unsealed.verifications
    alice = house.people["alice"].fingerprint
    assert (one.status, one.primary_key, one.signing_key) == (SignatureStatus.GOOD, alice, alice)
    assert one.signed_at is not None
    assert abs(datetime.now(UTC) - one.signed_at) < timedelta(minutes=5)


MADE = (
    "", "--compress-algo=zip", "--compress-algo=zlib", "--compress-algo=bzip2", "--compress-algo=none",
    "--cipher-algo=AES128", "--cipher-algo=CAMELLIA256", "--textmode", "--throw-keyids", "--rfc4880",
)  # fmt: skip


@pytest.mark.parametrize("option", MADE)
def test_what_gpg_can_make_it_can_open(house: House, option: str) -> None:
    options = [option] if option else []
    message = encrypted(TEXT, to=[house.support_certificate], by=house.people["alice"], options=options)
    unsealed = opened(house, message)
    assert unsealed.plaintext.reveal().replace(b"\r\n", b"\n") == TEXT.replace(b"\r\n", b"\n")
    assert statuses(unsealed) == [SignatureStatus.GOOD]


def test_an_unsigned_message_has_no_verdict(house: House) -> None:
    unsealed = opened(house, encrypted(TEXT, to=[house.support_certificate], armor=False))
    assert unsealed.plaintext == Secret(TEXT)
    assert unsealed.verifications == ()


def test_a_message_to_two_mailboxes_opens_once(house: House) -> None:
    both = [house.support_certificate, house.people["billing"].certificate]
    assert opened(house, encrypted(TEXT, to=both)).opened_by in (house.support, house.billing)


# --- tampering


@pytest.mark.parametrize("options", [("--compress-algo", "none"), ("--compress-algo", "zip")])
def test_no_byte_of_tampered_plaintext_is_released(house: House, options: tuple[str, ...]) -> None:
    text = b"PAN 4111111111111111 " * 400
    binary = encrypted(text, to=[house.support_certificate], by=house.people["alice"], options=options, armor=False)
    offsets = {0, 1, 2, 15, len(binary) - 1, len(binary) - 20, len(binary) - 23, len(binary) // 2}
    offsets.update(random.Random(7).sample(range(len(binary)), 25))
    assert opened(house, binary).plaintext == Secret(text), "control"
    data = packets.outline(binary).data
    said: set[str] = set()
    for offset in sorted(offsets):
        try:
            unsealed = opened(house, tampered(binary, offset))
        except (CannotDecrypt, BadData, MissingKey) as error:
            said.add(str(error))
        else:  # a bit of the session-key packet that says nothing, such as the length of a number in bits
            assert offset < data
            assert unsealed.plaintext == Secret(text)
    assert said <= {str(CannotDecrypt()), str(BadData()), str(MissingKey())}


def test_a_truncated_message_is_refused_at_every_length(house: House) -> None:
    binary = encrypted(TEXT * 50, to=[house.support_certificate], armor=False)
    for length in (0, 1, 2, 10, 90, 100, 120, len(binary) // 2, len(binary) - 22, len(binary) - 1):
        with pytest.raises((BadData, CannotDecrypt)):
            opened(house, binary[:length])


def test_bytes_behind_a_message_are_refused(house: House) -> None:
    one = encrypted(TEXT, to=[house.support_certificate], armor=False)
    other = house.people["mallory"].gpg("--store", stdin=b"appended")
    for more in (one, other, b"\xcb\x05b\x00\x00\x00\x00", b"x"):
        with pytest.raises(BadData):
            opened(house, one + more)
        with pytest.raises((BadData, CannotDecrypt)):
            opened(house, more + one)


def test_a_message_without_integrity_protection_is_refused(house: House) -> None:
    message = encrypted(TEXT, to=[house.support_certificate], options=("--rfc2440", "--disable-mdc"))
    assert packets.dearmor(message)
    with pytest.raises(CannotDecrypt):
        opened(house, message)


def test_a_protected_packet_rewritten_as_an_unprotected_one_is_refused(house: House) -> None:
    binary = bytearray(encrypted(TEXT, to=[house.support_certificate], armor=False))
    at = packets.outline(bytes(binary)).data
    assert binary[at] in (0xD2, 0xD4), "SEIPD, or LibrePGP's AEAD packet"
    binary[at] = 0xC9
    with pytest.raises((BadData, CannotDecrypt)):
        opened(house, bytes(binary))


def test_librepgps_aead_is_read_where_gpg_can_and_tampering_shows(house: House) -> None:
    if house.gpg.version() < (2, 4, 0):
        pytest.skip("gpg 2.2 has no AEAD")
    binary = encrypted(TEXT * 100, to=[house.support_certificate], options=("--force-ocb",), armor=False)
    data = packets.outline(binary).data
    assert binary[data] == 0xD4
    assert opened(house, binary).plaintext == Secret(TEXT * 100)
    for offset in (data + 8, data + 30, (data + len(binary)) // 2, len(binary) - 17, len(binary) - 1):
        with pytest.raises((CannotDecrypt, BadData)):
            opened(house, tampered(binary, offset))


# --- bombs and costs


def test_a_small_message_that_becomes_300_megabytes_is_stopped(house: House) -> None:
    bomb = encrypted(
        bytes(300_000_000), to=[house.support_certificate], options=("--compress-algo", "bzip2"), armor=False
    )
    assert len(bomb) < 2_000
    start = time.monotonic()
    with pytest.raises(TooLarge):
        opened(house, bomb)
    assert time.monotonic() - start < 10


def test_the_limit_is_exact(house: House) -> None:
    message = encrypted(bytes(5_000), to=[house.support_certificate])
    assert len(house.gpg.open(Sealed(message), max_bytes=5_000, seconds=20).plaintext) == 5_000
    with pytest.raises(TooLarge):
        house.gpg.open(Sealed(message), max_bytes=4_999, seconds=20)


def test_an_endless_run_ends_at_its_time_limit(house: House) -> None:
    slow = encrypted(bytes(100_000_000), to=[house.support_certificate], options=("--compress-algo", "bzip2"))
    start = time.monotonic()
    with pytest.raises(TooSlow):
        house.gpg.open(Sealed(slow), max_bytes=200_000_000, seconds=0.05)
    assert time.monotonic() - start < 3


def test_many_recipients_never_reach_gpg(house: House) -> None:
    few = Gpg(house.gpg.home, limits=Limits(recipients=1, hidden_recipients=0))
    both = [house.support_certificate, house.people["billing"].certificate]
    with pytest.raises(TooLarge):
        few.open(Sealed(encrypted(TEXT, to=both)), **LIMITS)
    with pytest.raises(TooLarge):
        few.open(Sealed(encrypted(TEXT, to=[house.support_certificate], options=("--throw-keyids",))), **LIMITS)


def test_an_agent_under_load_loses_no_message(house: House) -> None:
    own = Gpg(new_home(), limits=Limits(gpg_at_once=32))
    rsa = new_identity("Rsa", "rsa@acme.example", parameters=(
        "Key-Type: rsa\nKey-Length: 3072\nSubkey-Type: rsa\nSubkey-Length: 3072\n"
    ))  # fmt: skip
    own.import_own(rsa.secret)
    message = Sealed(encrypted(TEXT, to=[rsa.certificate], by=house.people["alice"]))
    with ThreadPoolExecutor(32) as pool:
        found = list(pool.map(lambda _: own.open(message, **LIMITS).plaintext, range(64)))
    assert all(plaintext == Secret(TEXT) for plaintext in found)
    own.stop_agent()


# --- keys


def test_a_message_for_others_only_is_told_from_a_broken_one(house: House) -> None:
    with pytest.raises(MissingKey):
        opened(house, encrypted(TEXT, to=[house.people["bob"].certificate]))


def test_hidden_recipients_are_tried(house: House) -> None:
    bob = house.people["bob"].certificate
    hidden = encrypted(TEXT, to=[bob, house.support_certificate], options=("--throw-keyids",))
    assert opened(house, hidden).plaintext == Secret(TEXT)
    with pytest.raises((MissingKey, CannotDecrypt)):
        opened(house, encrypted(TEXT, to=[bob], options=("--throw-keyids",)))


def test_a_message_for_a_passphrase_only_is_refused(house: House) -> None:
    message = gpg(new_home(), "--pinentry-mode", "loopback", "--passphrase", "secret", "--symmetric", stdin=TEXT)
    with pytest.raises(CannotDecrypt):
        opened(house, message)


def test_a_passphrase_beside_our_key_is_never_asked_for(house: House) -> None:
    alice = house.people["alice"]
    meet(alice, house.support_certificate)
    words = ("--pinentry-mode", "loopback", "--passphrase", "x", "-r", house.support, "--symmetric", "--encrypt")
    message = alice.gpg(*words, stdin=TEXT)
    assert opened(house, message).plaintext == Secret(TEXT)


def test_our_own_expired_key_still_reads_and_says_so(house: House) -> None:
    own = Gpg(new_home())
    fingerprint = own.generate("Support", "support@acme.example", seconds=2)
    message = encrypted(TEXT, to=[own.export(fingerprint)])
    assert not own.open(Sealed(message), **LIMITS).expired_key
    time.sleep(3.1)  # gpg's "after" is a whole second
    fresh = Gpg(own.home)
    unsealed = fresh.open(Sealed(message), **LIMITS)
    assert unsealed.plaintext == Secret(TEXT)
    assert unsealed.expired_key
    with pytest.raises(KeyCannotSign):
        fresh.sign(Secret(TEXT), sign_as=fingerprint, seconds=20)
    with pytest.raises(MissingKey):
        fresh.mailbox_key("support@acme.example")
    fresh.stop_agent()


def test_expired_and_revoked_certificates_take_no_reply(house: House) -> None:
    brief = new_identity("Brief", "brief@example.org", parameters=(
        "Key-Type: eddsa\nKey-Curve: ed25519\nSubkey-Type: ecdh\nSubkey-Curve: cv25519\nExpire-Date: seconds=1\n"
    ))  # fmt: skip
    gone = new_identity("Gone", "gone@example.org")
    text = (gone.home / "openpgp-revocs.d" / f"{gone.fingerprint}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    meet(gone, text.encode())
    time.sleep(2.1)
    certificates = {
        one.fingerprint: one
        for identity in (brief, gone)
        for one in house.gpg.import_certificates(identity.gpg("--export", identity.fingerprint))
    }
    assert not certificates[brief.fingerprint].can_encrypt
    assert certificates[gone.fingerprint].revoked
    for fingerprint in certificates:
        with pytest.raises(CertCannotEncrypt):
            house.gpg.seal(Secret(TEXT), to=[fingerprint], sign_as=house.support, seconds=20)
    with pytest.raises(MissingKey):
        house.gpg.seal(Secret(TEXT), to=[Fingerprint("A" * 40)], sign_as=house.support, seconds=20)


# --- signatures


def test_an_unknown_signer_is_said_to_be_unknown_and_the_plaintext_comes(house: House) -> None:
    unsealed = opened(house, encrypted(TEXT, to=[house.support_certificate], by=house.people["mallory"]))
    assert unsealed.plaintext == Secret(TEXT)
    (one,) = unsealed.verifications
    assert (one.status, one.primary_key) == (SignatureStatus.UNKNOWN_KEY, None)
    assert one.signing_key == house.people["mallory"].fingerprint


def test_a_detached_signature_is_judged(house: House) -> None:
    alice = house.people["alice"]
    signature = signed(TEXT, alice)
    assert statuses(house.gpg.verify(Secret(TEXT), signature, **LIMITS)) == [SignatureStatus.GOOD]
    bad = house.gpg.verify(Secret(TEXT + b"x"), signature, **LIMITS)
    assert statuses(bad) == [SignatureStatus.BAD]
    assert bad.verifications[0].primary_key is None
    unknown = house.gpg.verify(Secret(TEXT), signed(TEXT, house.people["mallory"]), **LIMITS)
    assert statuses(unknown) == [SignatureStatus.UNKNOWN_KEY]


def test_several_signatures_are_several_verdicts(house: House) -> None:
    parts = [packets.dearmor(signed(TEXT, house.people[name])) for name in ("alice", "mallory", "bob")]
    verdicts = statuses(house.gpg.verify(Secret(TEXT), b"".join(parts), **LIMITS))
    assert verdicts == [SignatureStatus.GOOD, SignatureStatus.UNKNOWN_KEY, SignatureStatus.GOOD]
    with pytest.raises(BadData):
        house.gpg.verify(Secret(TEXT), b"".join(parts) * 4, **LIMITS)


def test_a_gpg_without_its_agent_is_not_believed(house: House, message: bytes) -> None:
    house.gpg.stop_agent()
    fresh = Gpg(house.gpg.home)
    assert len(fresh.own_keys()) == 2
    house.gpg.stop_agent()
    assert fresh.open(Sealed(message), **LIMITS).plaintext == Secret(TEXT)
    house.gpg.stop_agent()
    assert fresh.sign(Secret(TEXT), sign_as=house.support, seconds=20)


@pytest.mark.parametrize("digest", ["SHA1", "RIPEMD160"])
def test_a_weak_digest_is_a_verdict_of_its_own(house: House, digest: str) -> None:
    weak = signed(TEXT, house.people["alice"], options=("--digest-algo", digest, "--allow-weak-digest-algos"))
    assert statuses(house.gpg.verify(Secret(TEXT), weak, **LIMITS)) == [SignatureStatus.WEAK]


def test_an_expired_signature_is_said_to_be_expired(house: House) -> None:
    brief = signed(TEXT, house.people["alice"], options=("--default-sig-expire", "seconds=1"))
    time.sleep(2.1)
    assert statuses(house.gpg.verify(Secret(TEXT), brief, **LIMITS)) == [SignatureStatus.EXPIRED]


def test_signatures_by_expired_and_revoked_keys_are_told_apart(house: House) -> None:
    brief = new_identity("Brief", "brief2@example.org", parameters=(
        "Key-Type: eddsa\nKey-Curve: ed25519\nExpire-Date: seconds=2\n"
    ))  # fmt: skip
    gone = new_identity("Gone", "gone2@example.org")
    by_brief, by_gone = signed(TEXT, brief), signed(TEXT, gone)
    text = (gone.home / "openpgp-revocs.d" / f"{gone.fingerprint}.rev").read_text().replace(":-----BEGIN", "-----BEGIN")
    meet(gone, text.encode())
    time.sleep(3.1)
    for identity in (brief, gone):
        house.gpg.import_certificates(identity.gpg("--export", identity.fingerprint))
    assert statuses(house.gpg.verify(Secret(TEXT), by_brief, **LIMITS)) == [SignatureStatus.EXPIRED_KEY]
    assert statuses(house.gpg.verify(Secret(TEXT), by_gone, **LIMITS)) == [SignatureStatus.REVOKED_KEY]


def test_a_clear_signed_text_gives_what_is_covered_and_no_more(house: House) -> None:
    text = b"Dear support,\n- a dash\n-----BEGIN something\nfrom alice  \n"
    message = clear_signed(text, house.people["alice"])
    unsealed = house.gpg.verify(Secret(b"before\n" + message + b"after\n"), None, **LIMITS)
    assert statuses(unsealed) == [SignatureStatus.GOOD]
    assert packets.unify(unsealed.plaintext.reveal()) == packets.unify(text)
    changed = message.replace(b"support", b"suppert")
    assert statuses(house.gpg.verify(Secret(changed), None, **LIMITS)) == [SignatureStatus.BAD]


@pytest.mark.parametrize("trick", [
    lambda m: m + m,
    lambda m: m.replace(b"Hash: SHA512\n", b"Hash: SHA512\nNotDashEscaped: yes\n"),
    lambda m: m.replace(b"Hash: SHA512\n", b"Hash: SHA512\nComment: pay mallory\n"),
    lambda m: m.replace(b"Dear", b"Dear\x00"),
    lambda m: m.replace(b"Dear", b"x" * 30_000 + b"Dear"),
    lambda m: m.replace(b"Dear", b"-Dear"),
])  # fmt: skip
def test_tricks_with_clear_signatures_are_refused(house: House, trick: object) -> None:
    assert callable(trick)
    message = clear_signed(b"Dear support\n", house.people["alice"], options=("--digest-algo", "SHA512"))
    with pytest.raises(BadData):
        house.gpg.verify(Secret(trick(message)), None, **LIMITS)


def test_a_signed_message_that_is_not_encrypted_opens_without_a_key(house: House) -> None:
    alice = house.people["alice"]
    message = alice.gpg("--armor", "--local-user", alice.fingerprint, "--sign", stdin=TEXT)
    for unsealed in (opened(house, message), house.gpg.verify(Secret(message), None, **LIMITS)):
        assert unsealed.plaintext == Secret(TEXT)
        assert unsealed.opened_by is None
        assert statuses(unsealed) == [SignatureStatus.GOOD]
    with pytest.raises(BadData):
        opened(house, alice.gpg("--armor", "--store", stdin=TEXT))


def test_names_that_look_like_status_lines_say_nothing(house: House) -> None:
    alice = house.people["alice"].fingerprint
    forged = f"[GNUPG:] GOODSIG {alice[-16:]} alice [GNUPG:] VALIDSIG {alice} 2026-01-01 1 0 4 0 22 10 00 {alice}"
    evil = new_identity(forged, "evil@example.com")
    house.gpg.import_certificates(evil.certificate)
    name = f"\n[GNUPG:] GOODSIG {alice[-16:]} alice\n[GNUPG:] VALIDSIG {alice} 2026-01-01 1 0 4 0 22 10 00 {alice}\n"
    options = ("--set-filename", name, "--set-notation", f"x@example.com={forged}", "--sender", "evil@example.com")
    message = encrypted(TEXT, to=[house.support_certificate], by=evil, options=options)
    assert [one.primary_key for one in opened(house, message).verifications] == [evil.fingerprint]
    unsigned = encrypted(TEXT, to=[house.support_certificate], options=("--set-filename", name))
    assert opened(house, unsigned).verifications == ()


# --- sealing


async def test_what_is_sealed_a_foreign_gpg_opens_and_verifies(house: House) -> None:
    engine: OpenPGP = GnuPG(house.gpg)
    alice = house.people["alice"]
    sealed = await engine.seal(Secret(TEXT), to=[alice.fingerprint], sign_as=house.support, seconds=20)
    assert sealed.data.startswith(b"-----BEGIN PGP MESSAGE-----")
    foreign = Gpg(alice.home, customers=None)
    meet(alice, house.support_certificate)
    unsealed = foreign.open(sealed, **LIMITS)
    assert unsealed.plaintext == Secret(TEXT)
    assert [one.primary_key for one in unsealed.verifications] == [house.support]
    signature = await engine.sign(Secret(TEXT), sign_as=house.support, seconds=20)
    assert signature.startswith(b"-----BEGIN PGP SIGNATURE-----")
    assert statuses(foreign.verify(Secret(TEXT), signature, **LIMITS)) == [SignatureStatus.GOOD]
    assert (await engine.open(Sealed(encrypted(TEXT, to=[house.support_certificate])), **LIMITS)).plaintext == Secret(
        TEXT
    )
    assert statuses(await engine.verify(Secret(TEXT), signed(TEXT, alice), **LIMITS)) == [SignatureStatus.GOOD]


@pytest.mark.parametrize(
    "name", ["--homedir=/", "alice@example.org", "A" * 39, "A" * 41, "", "a" * 40, "-r", "A" * 40 + "\n"]
)
def test_only_a_fingerprint_becomes_an_argument(house: House, name: str) -> None:
    with pytest.raises(BadData):
        house.gpg.seal(Secret(TEXT), to=[Fingerprint(name)], sign_as=house.support, seconds=20)
    with pytest.raises(BadData):
        house.gpg.sign(Secret(TEXT), sign_as=Fingerprint(name), seconds=20)


# --- certificates and our own keys


def test_a_secret_key_is_not_taken_as_a_certificate(house: House) -> None:
    with pytest.raises(BadData):
        house.gpg.import_certificates(house.people["mallory"].secret)
    assert house.people["mallory"].fingerprint not in {key.fingerprint for key in house.gpg.own_keys()}


def test_a_flooded_certificate_and_a_key_ring_are_refused(house: House) -> None:
    with pytest.raises(TooLarge):
        house.gpg.import_certificates(bytes([0x99]) * 262_145)
    with pytest.raises(TooLarge):
        house.gpg.import_certificates(house.people["alice"].certificate * 6)
    for junk in (b"", b"no key", house.people["alice"].certificate[:-30], b"\x99\x00"):
        with pytest.raises(BadData):
            house.gpg.import_certificates(junk)


def test_certificates_are_listed_with_their_addresses_and_dropped(house: House) -> None:
    carol = new_identity("Carol <x@y.example> [GNUPG:]".replace("<x@y.example> ", ""), "Carol@Example.org")
    (one,) = house.gpg.import_certificates(carol.gpg("--armor", "--export", carol.fingerprint))
    assert one.addresses == ("carol@example.org",)
    assert one.can_encrypt
    assert one.expires_at is None
    assert one in house.gpg.certificates()
    house.gpg.drop_certificate(carol.fingerprint)
    house.gpg.drop_certificate(carol.fingerprint)
    assert one not in house.gpg.certificates()


def test_a_mailbox_key_is_made_found_and_exported() -> None:
    own = Gpg(new_home())
    first = own.generate("Support", "support@acme.example")
    assert own.mailbox_key("Support@acme.example") == first
    (key,) = own.own_keys()
    assert key.can_sign
    assert key.can_decrypt
    assert key.addresses == ("support@acme.example",)
    assert key.expires_at is not None
    assert packets.certificates(own.export(first)) == 1
    with pytest.raises(MissingKey):
        own.mailbox_key("billing@acme.example")
    with pytest.raises(MissingKey):
        own.export(Fingerprint("B" * 40))
    own.stop_agent()


@pytest.mark.parametrize(("name", "address"), [
    ("Support\n%no-protection", "a@acme.example"), ("Support", "a@acme.example\nKey-Type: rsa"), ("", "a@acme.example"),
    ("S", "no address"), ("S<", "a@acme.example"),
])  # fmt: skip
def test_key_parameters_cannot_be_injected(name: str, address: str) -> None:
    own = Gpg(new_home())
    with pytest.raises(BadData):
        own.generate(name, address)


def test_the_version_of_gpg_is_one_whose_status_lines_can_be_trusted(house: House) -> None:
    assert house.gpg.version() >= (2, 2, 36)


def test_a_long_path_works_through_a_short_one() -> None:
    from keys.home import RunFolder

    deep = new_home() / ("d" * 60) / ("e" * 60)
    run = RunFolder(deep) if deep.mkdir(mode=0o700, parents=True) is None else None
    assert run is not None
    own = Gpg(run.home, customers=run.customers)
    made = own.generate("Support", "support@acme.example")
    assert own.open(Sealed(encrypted(TEXT, to=[own.export(made)])), **LIMITS).plaintext == Secret(TEXT)
    own.stop_agent()
    run.remove()
    assert not run.path.exists()

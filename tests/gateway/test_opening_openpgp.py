"""Opening OpenPGP mail that real gpg made: what is decrypted, what is covered, what is proven, and what fails."""

from __future__ import annotations

import base64
import time

import pytest
from letters import HEAD, HouseOpener, letter, opened

from gateway import limits
from gateway.opened import Covers, Failure, Oddity, Opened, Protection, SignerStatus
from gateway.pieces import MARK
from keys.errors import TooSlow, Unavailable
from keys.openpgp import Fingerprint, Sealed, Unsealed
from keys.testing import House, clear_signed, encrypted, new_identity, signed, tampered

ENCRYPTED = 'multipart/encrypted; protocol="application/pgp-encrypted"; boundary=e'
SIGNED = 'multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha512; boundary=s'
TEXT = b"Content-Type: text/plain; charset=utf-8\r\n\r\nMy secret wish\r\n"


def enveloped(ciphertext: bytes, *, head: str = HEAD, extra: str = "") -> bytes:
    """RFC 3156, section 4."""
    return letter(enveloped_body(ciphertext), ENCRYPTED, head=head, extra=extra)


def enveloped_body(ciphertext: bytes) -> str:
    return (
        "--e\nContent-Type: application/pgp-encrypted\n\nVersion: 1\n\n"
        f"--e\nContent-Type: application/octet-stream; name=encrypted.asc\n\n{ciphertext.decode('latin-1')}\n--e--\n"
    )


def signed_body(entity: bytes, signature: bytes) -> bytes:
    """RFC 3156, section 5."""
    armored = signature.replace(b"\n", b"\r\n")
    return b"--s\r\n%s\r\n--s\r\nContent-Type: application/pgp-signature\r\n\r\n%s\r\n--s--\r\n" % (entity, armored)


def signed_letter(entity: bytes, signature: bytes, *, head: str = HEAD) -> bytes:
    return letter("", SIGNED, head=head) + signed_body(entity, signature)


def armored(binary: bytes) -> bytes:
    lines = base64.encodebytes(binary)
    return b"-----BEGIN PGP MESSAGE-----\n\n" + lines + b"-----END PGP MESSAGE-----\n"


def only(message: Opened) -> tuple[SignerStatus, Covers, str | None]:
    (signature,) = message.signatures
    return signature.status, signature.covers, signature.signer


VERIFIED = (SignerStatus.VERIFIED, Covers.ALL, "alice@example.org")


# --- honest mail


async def test_encrypted_and_signed_in_one_pass(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(TEXT, to=[house.support_certificate], by=house.people["alice"])
    message = await opened(enveloped(sealed), opener)
    assert message.text.reveal() == "My secret wish"
    assert message.protection is Protection.FULL
    assert only(message) == VERIFIED
    assert [(part.path, part.encrypted, part.shown) for part in message.parts] == [
        ("1", False, False), ("1.1", False, False), ("1.2", False, False), ("1.p1", True, True),
    ]  # fmt: skip


async def test_signed_and_then_encrypted(house: House, opener: HouseOpener) -> None:
    inner = f"Content-Type: {SIGNED}\r\n\r\n".encode() + signed_body(TEXT, signed(TEXT, house.people["alice"]))
    message = await opened(enveloped(encrypted(inner, to=[house.support_certificate])), opener)
    assert message.text.reveal() == "My secret wish"
    assert message.protection is Protection.FULL
    assert only(message) == VERIFIED


async def test_line_ends_inside_encryption_do_not_break_a_signature(house: House, opener: HouseOpener) -> None:
    inner = f"Content-Type: {SIGNED}\r\n\r\n".encode() + signed_body(TEXT, signed(TEXT, house.people["alice"]))
    sealed = encrypted(inner.replace(b"\r\n", b"\n"), to=[house.support_certificate])
    assert only(await opened(enveloped(sealed), opener)) == VERIFIED


async def test_encrypted_only(house: House, opener: HouseOpener) -> None:
    message = await opened(enveloped(encrypted(TEXT, to=[house.support_certificate])), opener)
    assert message.protection is Protection.FULL
    assert message.signatures == ()


async def test_signed_only(house: House, opener: HouseOpener) -> None:
    message = await opened(signed_letter(TEXT, signed(TEXT, house.people["alice"])), opener)
    assert message.text.reveal() == "My secret wish"
    assert message.protection is Protection.NONE
    assert only(message) == VERIFIED


async def test_inline_encrypted(house: House, opener: HouseOpener) -> None:
    sealed = encrypted("¿Dónde está?".encode(), to=[house.support_certificate], by=house.people["alice"])
    message = await opened(letter(f"\n{sealed.decode()}\n"), opener)
    assert message.text.reveal() == "¿Dónde está?"
    assert message.protection is Protection.FULL
    assert only(message) == VERIFIED


async def test_inline_encrypted_with_a_formatted_twin(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(b"secret", to=[house.support_certificate]).decode()
    body = f"--b\n\n{sealed}\n--b\nContent-Type: text/html\n\n<pre>{sealed}</pre>\n--b--\n"
    message = await opened(letter(body, "multipart/alternative; boundary=b"), opener)
    assert message.text.reveal() == "secret"
    assert message.protection is Protection.FULL
    assert Oddity.ALTERNATIVES_DIFFER not in message.oddities


async def test_inline_encrypted_in_html_alone(house: House, opener: HouseOpener) -> None:
    lines = encrypted(b"secret", to=[house.support_certificate]).decode().strip().split("\n")
    message = await opened(letter("<br>".join(lines), "text/html"), opener)
    assert message.text.reveal() == "secret"


async def test_clear_signed(house: House, opener: HouseOpener) -> None:
    text = clear_signed(b"- dashes\nFrom here\n", house.people["alice"]).decode()
    message = await opened(letter(text), opener)
    assert message.text.reveal() == "- dashes\nFrom here"
    assert only(message) == VERIFIED


async def test_an_encrypted_file_is_opened_as_a_file(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(b"content", to=[house.support_certificate]).decode()
    body = f"--b\n\nSee the file\n--b\nContent-Disposition: attachment; filename=plan.txt.pgp\n\n{sealed}\n--b--\n"
    message = await opened(letter(body, "multipart/mixed; boundary=b"), opener)
    assert [(a.name.reveal(), a.content.reveal()) for a in message.attachments] == [("plan.txt", b"content")]
    assert message.text.reveal() == "See the file"
    assert message.protection is Protection.PARTIAL


async def test_what_exchange_made_of_it_is_repaired(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(TEXT, to=[house.support_certificate], by=house.people["alice"])
    body = "--e\nContent-Type: text/plain\n\n\n" + enveloped_body(sealed)
    message = await opened(letter(body, "multipart/mixed; boundary=e"), opener)
    assert message.text.reveal() == "My secret wish"
    assert message.protection is Protection.FULL
    assert only(message) == VERIFIED
    assert Oddity.REPAIRED in message.oddities


# --- protected headers

OUTER = HEAD.replace("Order 17", "[...]")


@pytest.mark.parametrize("claim", ['hp="cipher"', "protected-headers=v1"])
async def test_the_encrypted_subject_is_shown(house: House, opener: HouseOpener, claim: str) -> None:
    inner = (
        "Subject: =?utf-8?q?Mi_car=C3=B1o?=\r\nFrom: Alice <alice@example.org>\r\n"
        f"HP-Outer: Subject: [...]\r\nContent-Type: text/plain; {claim}\r\n\r\nhi\r\n"
    )
    sealed = encrypted(inner.encode(), to=[house.support_certificate])
    message = await opened(enveloped(sealed, head=OUTER), opener)
    assert message.subject.reveal() == "Mi cariño".replace("cariño", "carño")
    assert message.subject_encrypted
    assert message.oddities == ()


async def test_a_subject_that_was_shown_outside_was_not_encrypted(house: House, opener: HouseOpener) -> None:
    inner = b'Subject: Order 17\r\nContent-Type: text/plain; hp="cipher"\r\n\r\nhi\r\n'
    message = await opened(enveloped(encrypted(inner, to=[house.support_certificate])), opener)
    assert message.subject.reveal() == "Order 17"
    assert not message.subject_encrypted


async def test_the_header_repeated_for_old_readers_is_taken_out(house: House, opener: HouseOpener) -> None:
    inner = (
        b'Subject: s\r\nContent-Type: text/plain; hp="cipher"; hp-legacy-display="1"\r\n\r\nSubject: s\r\n\r\nhi\r\n'
    )
    message = await opened(enveloped(encrypted(inner, to=[house.support_certificate])), opener)
    assert message.text.reveal() == "hi"
    old = (
        b"Subject: s\r\nContent-Type: multipart/mixed; boundary=b; protected-headers=v1\r\n\r\n--b\r\n"
        b"Content-Type: text/plain; protected-headers=v1\r\nContent-Disposition: inline\r\n\r\nSubject: s\r\n"
        b"--b\r\n\r\nhi\r\n--b--\r\n"
    )
    message = await opened(enveloped(encrypted(old, to=[house.support_certificate])), opener)
    assert message.text.reveal() == "hi"
    assert message.oddities == ()


async def test_protected_headers_that_nothing_protects_are_phony(house: House, opener: HouseOpener) -> None:
    message = await opened(letter("x", "text/plain; protected-headers=v1", extra="X: y\n"), opener)
    assert Oddity.PHONY_PROTECTED_HEADER in message.oddities
    entity = b'Subject: Other\r\nContent-Type: text/plain; hp="clear"\r\n\r\nhi'
    message = await opened(signed_letter(entity, signed(b"something else", house.people["alice"])), opener)
    assert message.subject.reveal() == "Order 17"
    assert Oddity.PHONY_PROTECTED_HEADER in message.oddities


async def test_another_sender_inside_is_told(house: House, opener: HouseOpener) -> None:
    inner = b'From: bob@example.net\r\nContent-Type: text/plain; hp="cipher"\r\n\r\nhi\r\n'
    message = await opened(enveloped(encrypted(inner, to=[house.support_certificate])), opener)
    assert message.author == "alice@example.org"
    assert Oddity.OUTER_INNER_FROM_DIFFER in message.oddities


# --- signatures that prove nothing


async def test_a_strangers_signature_is_unknown(house: House, opener: HouseOpener) -> None:
    message = await opened(signed_letter(TEXT, signed(TEXT, house.people["mallory"])), opener)
    assert only(message) == (SignerStatus.UNKNOWN_KEY, Covers.ALL, None)


async def test_anothers_signature_is_a_mismatch(house: House, opener: HouseOpener) -> None:
    message = await opened(signed_letter(TEXT, signed(TEXT, house.people["bob"])), opener)
    assert only(message) == (SignerStatus.MISMATCH, Covers.ALL, "bob@example.net")


async def test_a_certificate_that_the_directory_does_not_bind_proves_nothing(house: House) -> None:
    opener = HouseOpener(house, {"bob@example.net": (house.people["bob"].fingerprint,)})
    message = await opened(signed_letter(TEXT, signed(TEXT, house.people["alice"])), opener)
    assert only(message) == (SignerStatus.UNKNOWN_KEY, Covers.ALL, None)


async def test_a_good_signature_does_not_verify_several_senders(house: House, opener: HouseOpener) -> None:
    head = HEAD.replace("Alice <alice@example.org>", "alice@example.org, mallory@example.com")
    message = await opened(signed_letter(TEXT, signed(TEXT, house.people["alice"]), head=head), opener)
    assert only(message)[0] is SignerStatus.MISMATCH


async def test_changed_text_makes_a_signature_bad(house: House, opener: HouseOpener) -> None:
    message = await opened(signed_letter(TEXT.replace(b"wish", b"debt"), signed(TEXT, house.people["alice"])), opener)
    assert only(message)[0] is SignerStatus.BAD


async def test_a_signature_that_is_none_is_an_error(house: House, opener: HouseOpener) -> None:
    message = await opened(signed_letter(TEXT, b"no signature"), opener)
    assert message.text.reveal() == "My secret wish"
    assert only(message)[0] is SignerStatus.ERROR


async def test_text_appended_to_a_clear_signed_one_is_not_covered(house: House, opener: HouseOpener) -> None:
    text = clear_signed(b"Pay bob\n", house.people["alice"]).decode()
    message = await opened(letter(f"{text}\nand pay mallory\n"), opener)
    assert only(message) == (SignerStatus.PARTIAL, Covers.PART, "alice@example.org")
    shown = message.text.reveal()
    assert shown.index("Pay bob") < shown.index(f"{MARK}The following was not encrypted, not signed.")
    assert shown.index("not signed.") < shown.index("and pay mallory")


async def test_a_lists_footer_is_not_covered(house: House, opener: HouseOpener) -> None:
    body = f"--b\nContent-Type: {SIGNED}\n\n".encode().replace(b"\n", b"\r\n")
    body += signed_body(TEXT, signed(TEXT, house.people["alice"])) + b"--b\r\n\r\nfooter\r\n--b--\r\n"
    message = await opened(letter("", "multipart/mixed; boundary=b") + body, opener)
    assert only(message) == (SignerStatus.PARTIAL, Covers.PART, "alice@example.org")


async def test_a_signature_inside_of_something_else_is_never_verified(house: House, opener: HouseOpener) -> None:
    body = f"--b\nContent-Type: {SIGNED}\n\n".encode().replace(b"\n", b"\r\n")
    body += signed_body(TEXT, signed(TEXT, house.people["alice"])) + b"--b--\r\n"
    message = await opened(letter("", "multipart/mixed; boundary=b") + body, opener)
    assert only(message)[0] is SignerStatus.PARTIAL


async def test_further_parts_beside_a_signature_are_not_covered(house: House, opener: HouseOpener) -> None:
    entity = signed_body(TEXT, signed(TEXT, house.people["alice"]))
    raw = letter("", SIGNED) + entity.removesuffix(b"--s--\r\n") + b"--s\r\n\r\nmore\r\n--s--\r\n"
    assert only(await opened(raw, opener))[0] is SignerStatus.PARTIAL


async def test_a_signature_over_ciphertext_does_not_verify_the_text(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(TEXT, to=[house.support_certificate])
    inner = f"Content-Type: {ENCRYPTED}\n\n{enveloped_body(sealed)}".encode().replace(b"\n", b"\r\n")
    message = await opened(signed_letter(inner, signed(inner, house.people["alice"])), opener)
    assert message.text.reveal() == "My secret wish"
    assert message.protection is Protection.FULL
    assert only(message)[0] is SignerStatus.PARTIAL


async def test_the_signature_of_an_attached_message_does_not_verify_the_outer_one(
    house: House, opener: HouseOpener
) -> None:
    inner = HEAD.encode() + f"Content-Type: {SIGNED}\r\n\r\n".encode()
    inner += signed_body(TEXT, signed(TEXT, house.people["alice"]))
    message = await opened(letter("", "message/rfc822") + inner, opener)
    assert only(message)[0] is SignerStatus.PARTIAL


async def test_an_expired_key_is_told(house: House) -> None:
    old = new_identity(
        "Alice",
        "alice@example.org",
        parameters="Key-Type: eddsa\nKey-Curve: ed25519\nKey-Usage: sign cert\nExpire-Date: seconds=2\n",
    )
    signature = signed(TEXT, old)
    time.sleep(3.2)  # gpg counts whole seconds, and "after" is one more
    house.gpg.import_certificates(old.certificate)
    opener = HouseOpener(house, {"alice@example.org": (old.fingerprint,)})
    assert only(await opened(signed_letter(TEXT, signature), opener))[0] is SignerStatus.EXPIRED_KEY


# --- mixtures


async def test_encrypted_and_clear_text_stay_apart(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(b"secret", to=[house.support_certificate]).decode()
    message = await opened(letter(f"before\n{sealed}\nafter\n"), opener)
    assert message.protection is Protection.PARTIAL
    lines = [line for line in message.text.reveal().split("\n") if line]
    assert lines == [
        f"{MARK}The following was not encrypted, not signed.", "before",
        f"{MARK}The following was encrypted, not signed.", "secret",
        f"{MARK}The following was not encrypted, not signed.", "after",
    ]  # fmt: skip


async def test_html_never_wraps_what_was_decrypted(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(TEXT, to=[house.support_certificate])
    body = (
        '--b\nContent-Type: text/html\n\n<img src="http://evil.example/\n'
        f"--b\nContent-Type: {ENCRYPTED}\n\n{enveloped_body(sealed)}"
        '--b\nContent-Type: text/html\n\n">and more\n--b--\n'
    )
    message = await opened(letter(body, "multipart/mixed; boundary=b"), opener)
    text = message.text.reveal()
    assert message.protection is Protection.PARTIAL
    assert "http://evil.example" not in text
    assert f"{MARK}The following was encrypted, not signed.\nMy secret wish\n\n{MARK}" in text


async def test_an_encrypted_part_beside_an_encrypted_one_is_not_full(house: House, opener: HouseOpener) -> None:
    each = f"Content-Type: {ENCRYPTED}\n\n{enveloped_body(encrypted(TEXT, to=[house.support_certificate]))}"
    message = await opened(letter(f"--b\n{each}--b\n{each}--b--\n", "multipart/mixed; boundary=b"), opener)
    assert message.protection is Protection.PARTIAL


async def test_a_third_part_of_an_encrypted_message_is_shown_apart(house: House, opener: HouseOpener) -> None:
    body = enveloped_body(encrypted(TEXT, to=[house.support_certificate])).removesuffix("--e--\n")
    message = await opened(letter(f"{body}--e\n\nclear\n--e--\n", ENCRYPTED), opener)
    assert message.protection is Protection.PARTIAL
    assert "clear" in message.text.reveal()


# --- failures: said, and nothing of the plaintext used


def failed(message: Opened, failure: Failure) -> None:
    assert message.failures == (failure,)
    assert "secret" not in message.text.reveal().lower()
    assert message.text.reveal().startswith(MARK)


async def test_sealed_to_somebody_else(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(TEXT, to=[house.people["bob"].certificate])
    message = await opened(enveloped(sealed), opener)
    failed(message, Failure.NO_KEY)
    assert message.protection is Protection.FULL


async def test_changed_on_the_way(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(TEXT * 50, to=[house.support_certificate], options=["--compress-algo", "none"], armor=False)
    failed(await opened(enveloped(armored(tampered(sealed, len(sealed) - 60))), opener), Failure.TAMPERED)


async def test_not_openpgp_at_all(house: House, opener: HouseOpener) -> None:
    message = await opened(enveloped(b"nonsense"), opener)
    failed(message, Failure.BAD_DATA)
    assert message.protection is Protection.NONE


async def test_an_armor_without_an_end(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(TEXT, to=[house.support_certificate]).decode().partition("-----END")[0]
    failed(await opened(letter(sealed), opener), Failure.BAD_DATA)


async def test_a_bomb(house: House, opener: HouseOpener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PLAINTEXT_BYTES", 1_000_000)
    sealed = encrypted(bytes(20_000_000), to=[house.support_certificate])
    assert len(sealed) < 100_000
    failed(await opened(enveloped(sealed), opener), Failure.TOO_LARGE)


async def test_layers_without_end(house: House, opener: HouseOpener) -> None:
    entity = TEXT
    for _ in range(limits.CRYPTO_LAYERS + 1):
        body = enveloped_body(encrypted(entity, to=[house.support_certificate]))
        entity = f"Content-Type: {ENCRYPTED}\n\n{body}".encode()
    failed(await opened(HEAD.encode() + entity.replace(b"\n", b"\r\n"), opener), Failure.TOO_DEEP)


async def test_more_ciphertexts_than_we_open(house: House, opener: HouseOpener) -> None:
    sealed = encrypted(TEXT, to=[house.people["bob"].certificate]).decode()
    message = await opened(letter(sealed * (limits.CRYPTO_OPERATIONS + 1)), opener)
    assert message.excess == "crypto"


@pytest.mark.parametrize(("error", "failure"), [(Unavailable, Failure.UNAVAILABLE), (TooSlow, Failure.TOO_SLOW)])
async def test_when_keys_are_away(house: House, error: type[Exception], failure: Failure) -> None:
    class Away(HouseOpener):
        async def open(self, sealed: Sealed, /, *, max_bytes: int, seconds: float) -> Unsealed:
            raise error

    sealed = encrypted(TEXT, to=[house.support_certificate])
    failed(await opened(enveloped(sealed), Away(house)), failure)


async def test_when_the_directory_is_away_nothing_is_verified(house: House) -> None:
    class Away(HouseOpener):
        async def bound(self, address: str, /) -> tuple[Fingerprint, ...]:
            raise Unavailable

    message = await opened(signed_letter(TEXT, signed(TEXT, house.people["alice"])), Away(house))
    assert only(message)[0] is SignerStatus.ERROR
    assert message.failures == (Failure.UNAVAILABLE,)

"""What the tests with heavy peers share: certificates of a real authority, and a gateway whose mail comes and goes
through foreign servers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from roles import Gateway


@dataclass(frozen=True)
class Pair:
    """A certificate chain and its key, in PEM files; `sha256` is the leaf's fingerprint."""

    certificate: Path
    key: Path
    sha256: str


class Authority:
    """A certificate authority of its own in `folder`; what it issues is good for 60 days."""

    def __init__(self, folder: Path, name: str = "Peers' Authority") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            self._begun(self._name, self._key, days=60)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .sign(self._key, SHA256())
        )
        self.file = folder / "authority.pem"
        self.file.write_bytes(made.public_bytes(Encoding.PEM))

    def issue(self, *names: str, days: int = 60, client: bool = False) -> Pair:
        """For these host names and addresses; the first is the subject. Negative `days`: it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        use = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        made = (
            self._begun(subject, key, days=days)
            .add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .sign(self._key, SHA256())
        )
        stem = self._folder / os.urandom(4).hex()
        files = stem.with_suffix(".pem"), stem.with_suffix(".key")
        files[0].write_bytes(made.public_bytes(Encoding.PEM))
        files[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        files[1].chmod(0o600)
        return Pair(*files, made.fingerprint(SHA256()).hex())

    def _begun(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *, days: int) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1 + abs(min(days, 0))))
            .not_valid_after(now + timedelta(days=days if days > 0 else -1, hours=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(authority, critical=False)
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not ca, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )  # fmt: skip


@dataclass
class PeerGateway(Gateway):
    """A gateway with a certificate of an authority, more of a configuration behind the usual one (`more`, TOML tables),
    and pieces of the usual one put another way (`instead`)."""

    pair: Pair | None = None
    more: str = ""
    instead: dict[str, str] = field(default_factory=dict)

    def prepare(self) -> None:
        super().prepare()
        if self.pair is not None:
            (self.folder / "certificate.pem").write_bytes(self.pair.certificate.read_bytes())
            (self.folder / "key.pem").write_bytes(self.pair.key.read_bytes())

    def _toml(self) -> str:
        text = super()._toml()
        for usual, other in self.instead.items():
            assert usual in text, usual
            text = text.replace(usual, other)
        return text + self.more

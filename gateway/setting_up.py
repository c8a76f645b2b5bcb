"""Setting up: a folder with a commented configuration, keys for every role and a self-signed certificate.

Rules: nothing is overwritten; files with secrets are readable by their owner alone; what is made works at once on this
machine, and what must change before customers come (certificate, host name, mailboxes) says so.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.config_example import example
from gateway.errors import ConfigError

CERTIFICATE_DAYS: Final = 397  # the longest that the CA/Browser Forum lets a server's certificate live


def set_up(folder: Path, *, address: str, company: str, host: str, container: bool = False) -> list[tuple[Path, str]]:
    """Makes what isn't there yet; returns what was made, each with a word about it. `container`: for
    docker/compose.yaml, where edge and desk have certificates of their own and the store is PostgreSQL. Raises
    ConfigError, KeysError."""
    from keys import keyring

    folder.mkdir(parents=True, exist_ok=True)
    made: list[tuple[Path, str]] = []
    config = folder / "vestibule.toml"
    if config.exists():
        raise ConfigError(str(config), "exists already", "edit it, or choose another folder")
    if not container:
        (folder / "var").mkdir(mode=0o700, exist_ok=True)
    keyring.generate(folder / "keys")
    made.append((folder / "keys", "keys, one folder per role"))
    for name in ("tls/edge", "tls/desk") if container else ("tls",):
        tls = folder / name
        tls.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (tls / "certificate.pem").exists():
            self_signed(tls / "certificate.pem", tls / "key.pem", host)
            made.append((tls, "a self-signed certificate; replace it before customers come"))
    config.write_text(first_config(address=address, company=company, host=host, container=container), "utf-8")
    made.insert(0, (config, "the configuration; every setting is explained in it"))
    return made


METRICS_PORTS: Final = 9464, 9465
"""Of edge and desk, on loopback: new installations can be watched from the start."""


def first_config(*, address: str, company: str, host: str, container: bool = False) -> str:
    """The commented example with the few settings that a start needs filled in."""
    mailbox = address.partition("@")[0].lower()
    name = "".join(letter if letter.isalnum() else "-" for letter in mailbox)[:40] or "support"
    edge, desk = ("tls/edge", "tls/desk") if container else ("tls", "tls")
    wanted: dict[tuple[str, str], str | int] = {
        ("company", "name"): company,
        ("mailboxes", "name"): name,
        ("mailboxes", "address"): address,
        ("mailboxes", "sender_name"): company,
        ("edge", "hostname"): host,
        ("edge.listeners", "certificate_file"): f"{edge}/certificate.pem",
        ("edge.listeners", "key_file"): f"{edge}/key.pem",
        ("desk", "certificate_file"): f"{desk}/certificate.pem",
        ("desk", "key_file"): f"{desk}/key.pem",
        ("metrics", "edge_port"): METRICS_PORTS[0],
        ("metrics", "desk_port"): METRICS_PORTS[1],
    }
    if container:
        wanted |= {
            ("store", "url"): "postgresql://database/vestibule",
            ("store", "password_file"): "/run/secrets/database",
            ("edge.listeners", "host"): "0.0.0.0",  # noqa: S104 - a container's own network; compose publishes the port
            ("desk", "host"): "0.0.0.0",  # noqa: S104
            ("desk", "public_url"): f"https://{host}:8443",
        }
    skipped = {"edge.trusted_hops"}
    lines: list[str] = []
    table = ""
    for line in example().splitlines():
        if line.startswith("["):
            table = line.strip("[]")
        setting = line.removeprefix("# ").partition(" = ")[0]
        value = wanted.pop((table, setting), None) if " = " in line else None
        if value is not None:
            line = f"{setting} = {value if isinstance(value, int) else _quoted(value)}"
        if table in skipped and line and not line.startswith("#"):
            line = f"# {line}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in value):
        raise ConfigError("the value", "holds control characters")
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def self_signed(certificate_file: Path, key_file: Path, host: str) -> None:
    """P-256 and ECDSA, for `host` and loopback."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    if host != "localhost":
        names.insert(0, x509.DNSName(host))
    usage = x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=False, crl_sign=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .sign(key, SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _write(key_file, secret, 0o600)
    _write(certificate_file, certificate.public_bytes(Encoding.PEM), 0o644)


def _write(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

"""TLS policy, seen from the other side by openssl."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from keys.tls import Profile, ServerTls, client_context, environment, server_context

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    (folder / "c.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "c.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder / "c.pem", folder / "c.key"


@contextmanager
def serving(context: ssl.SSLContext) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    raw, _ = listener.accept()
                except OSError:
                    return
                try:
                    raw.settimeout(5)
                    with context.wrap_socket(raw, server_side=True) as secured:
                        secured.recv(1)
                except OSError:
                    pass

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def handshake(port: int, *options: str) -> str:
    """What openssl says of it; "" where there is no handshake."""
    done = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-cipher", "ALL:@SECLEVEL=0", *options],
        input=b"x", capture_output=True, timeout=20, check=False,
    )  # fmt: skip
    text = done.stdout.decode("utf-8", "replace")
    return text if "Cipher is " in text and "Cipher is (NONE)" not in text else ""


def test_the_intermediate_profile_takes_tls_1_2_and_1_3_with_forward_secrecy(pair: tuple[Path, Path]) -> None:
    with serving(server_context(*pair)) as port:
        assert handshake(port, "-tls1_3")
        assert "ECDHE-ECDSA" in handshake(port, "-tls1_2")
        assert not handshake(port, "-tls1_1")
        assert not handshake(port, "-tls1")
        for suite in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384"):
            assert not handshake(port, "-tls1_2", "-cipher", suite + ":@SECLEVEL=0"), suite
        for group in ("X448", "P-521", "ffdhe2048"):
            assert not handshake(port, "-tls1_3", "-groups", group), group
        assert handshake(port, "-tls1_3", "-groups", "P-256")


def test_the_modern_profile_takes_tls_1_3_only(pair: tuple[Path, Path]) -> None:
    with serving(server_context(*pair, profile=Profile.MODERN)) as port:
        assert handshake(port, "-tls1_3")
        assert not handshake(port, "-tls1_2")


def test_no_ticket_is_given(pair: tuple[Path, Path]) -> None:
    with serving(server_context(*pair)) as port:
        assert "session ticket" not in handshake(port, "-tls1_2").lower().replace("ticket keys", "")


def test_a_process_with_the_groups_file_takes_all_three_groups(pair: tuple[Path, Path]) -> None:
    program = (
        "import socket, sys\nfrom pathlib import Path\nfrom keys.tls import server_context\n"
        "context = server_context(Path(sys.argv[1]), Path(sys.argv[2]))\n"
        "listener = socket.create_server(('127.0.0.1', 0))\nprint(listener.getsockname()[1], flush=True)\n"
        "while True:\n    raw, _ = listener.accept()\n    raw.settimeout(5)\n"
        "    try:\n        context.wrap_socket(raw, server_side=True).recv(1)\n    except OSError:\n        pass\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, *map(str, pair)], stdout=subprocess.PIPE, env={**os.environ, **environment()}
    )
    try:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        for group in ("X25519", "P-256", "P-384"):
            assert handshake(port, "-tls1_3", "-groups", group), group
        for group in ("X448", "P-521", "ffdhe2048"):
            assert not handshake(port, "-tls1_3", "-groups", group), group
    finally:
        child.kill()
        child.wait()
        child.stdout and child.stdout.close()


def test_a_client_verifies_unless_told_otherwise(pair: tuple[Path, Path]) -> None:
    def connect(port: int, context: ssl.SSLContext, name: str) -> None:
        with socket.create_connection(("127.0.0.1", port)) as raw:
            context.wrap_socket(raw, server_hostname=name).send(b"x")

    with serving(server_context(*pair)) as port:
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, client_context(), "localhost")
        with pytest.raises(ssl.SSLCertVerificationError):
            connect(port, client_context(ca_file=pair[0]), "elsewhere.example")
        connect(port, client_context(ca_file=pair[0]), "localhost")
        connect(port, client_context(verify=False), "elsewhere.example")


def test_a_key_with_a_password_fails_and_asks_nobody(pair: tuple[Path, Path], tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    with pytest.raises(OSError):
        ServerTls(pair[0], locked)

"""TLS policy: the one place that makes `ssl.SSLContext`s.

Rules:
1. TLS 1.2 is the least. SMTP follows Mozilla's intermediate profile, for a sender that can't do it would send in clear;
   HTTPS follows the modern one: TLS 1.3 only.
2. Key exchange is X25519, P-256 and P-384, nothing else. Python 3.11 can't name groups but through OpenSSL's own
   configuration file (`GROUPS_FILE`, given to a process by OPENSSL_CONF before it starts); in a process without it only
   P-256 is left on, which is narrower but as sound.
3. No tickets (their keys would live as long as the process), no compression, no renegotiation.
4. A certificate that was replaced on disk is used by the next handshake; one that can't be loaded leaves the old one.
"""

from __future__ import annotations

import os
import ssl
import threading
import time
from enum import StrEnum
from pathlib import Path
from typing import Final

GROUPS_FILE: Final = Path(__file__).with_name("openssl.cnf")
CIPHERS: Final = ":".join(
    f"ECDHE-{kind}-{suite}"
    for suite in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
    for kind in ("ECDSA", "RSA")
)
"""TLS 1.2's suites in Mozilla's intermediate profile; TLS 1.3's are all sound and stay as OpenSSL has them."""
LOOK_SECONDS: Final = 1.0
"""So often at most it is looked whether a certificate was replaced."""


class Profile(StrEnum):
    """Of Mozilla's Server Side TLS guidelines."""

    INTERMEDIATE = "intermediate"
    MODERN = "modern"


def environment() -> dict[str, str]:
    """What a process's environment needs, from its start on, for rule 2."""
    return {"OPENSSL_CONF": str(GROUPS_FILE)}


def server_context(
    certificate: Path, key: Path, *, profile: Profile = Profile.INTERMEDIATE, client_ca: Path | None = None
) -> ssl.SSLContext:
    """With `client_ca` a client may show a certificate; one that is neither in that file nor issued by one in it ends
    the handshake, so a listener with it is for relays of one's own. Raises OSError (ssl.SSLError is one)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context, profile)
    context.options |= ssl.OP_NO_TICKET
    context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    context.num_tickets = 0
    if client_ca is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(client_ca)
    context.load_cert_chain(certificate, key, password=_no_password)
    return context


def client_context(*, verify: bool = True, ca_file: Path | None = None) -> ssl.SSLContext:
    """For sending. Verified against the system's authorities and those in `ca_file`, and against the host's name.
    `verify=False` is opportunistic TLS (RFC 7435): better than clear, proof of nothing. Raises OSError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context, Profile.INTERMEDIATE)
    if verify:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
        if ca_file is not None:
            context.load_verify_locations(ca_file)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _harden(context: ssl.SSLContext, profile: Profile) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if profile is Profile.MODERN else ssl.TLSVersion.TLSv1_2
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if os.environ.get("OPENSSL_CONF") != str(GROUPS_FILE):
        context.set_ecdh_curve("prime256v1")


def _no_password() -> bytes:
    """A key with a password would ask on the terminal; it fails instead."""
    return b""


class ServerTls:
    """A server's side of TLS with a certificate that may be replaced at any time. `context` is good for as long as the
    object lives: each handshake takes the newest certificate. Raises OSError when made with files that don't load."""

    def __init__(
        self, certificate: Path, key: Path, *, profile: Profile = Profile.INTERMEDIATE, client_ca: Path | None = None
    ) -> None:
        self._files = tuple(file for file in (certificate, key, client_ca) if file is not None)
        self._certificate, self._key, self._profile, self._client_ca = certificate, key, profile, client_ca
        self._lock = threading.Lock()
        self._seen = self._look()
        self._looked = time.monotonic()
        self._newest = self._make()
        self.failures = 0
        self.context = self._make()
        self.context.sni_callback = self._swap

    def newest(self) -> ssl.SSLContext:
        """A context with the certificate as it is on disk now, or with the last one that could be loaded."""
        with self._lock:
            now = time.monotonic()
            if now - self._looked >= LOOK_SECONDS:
                self._looked = now
                seen = self._look()
                if seen != self._seen:
                    self._renew(seen)
            return self._newest

    def _make(self) -> ssl.SSLContext:
        return server_context(self._certificate, self._key, profile=self._profile, client_ca=self._client_ca)

    def _renew(self, seen: tuple[tuple[int, int], ...]) -> None:
        try:
            self._newest = self._make()
            self._seen = seen
        except OSError:  # half-way through being replaced, or broken: the next look tries again
            self.failures += 1

    def _look(self) -> tuple[tuple[int, int], ...]:
        try:
            found = [file.stat() for file in self._files]
        except OSError:
            return ()
        return tuple((stat.st_mtime_ns, stat.st_ino) for stat in found)

    def _swap(self, connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self.newest()

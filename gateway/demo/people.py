"""The sample customers, and what gpg does for them: each has a home of their own, as on a computer of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final


@dataclass(frozen=True, slots=True)
class Person:
    name: str
    address: str


PEOPLE: Final[dict[str, Person]] = {
    "alice": Person("Alice Moreno", "alice@example.org"),
    "bruno": Person("Bruno Castro", "bruno@example.net"),
    "chloe": Person("Chloe Whitfield", "chloe.whitfield@example.net"),
    "diego": Person("Diego Ferrer", "diego@example.net"),
    "emma": Person("Emma Lund", "emma@example.net"),
    "francisco": Person("Francisco Javier Ortega", "fj.ortega@example.net"),
    "grace": Person("News Shop", "news@news.example"),
    "henrik": Person("Henrik Olsen", "henrik@example.net"),
    "ines": Person("Inés Duarte", "ines@example.net"),
    "john": Person("John Barrow", "john.barrow@example.net"),
    "kenji": Person("Kenji Watanabe", "kenji@example.net"),
    "lucia": Person("Lucía Prieto", "lucia@example.net"),
    "mallory": Person("Alice Moreno", "alice@example.org"),
    "mary": Person("Mary O'Hara", "mary@example.net"),
    "noah": Person("Noah Clarke", "noah@example.net"),
    "olga": Person("Olga Brandt", "olga@example.net"),
    "pablo": Person("Pablo Nieto", "pablo@example.net"),
}
"""Mallory writes in Alice's name."""


class GpgError(Exception):
    """The sample customer's gpg failed."""


class Gpg:
    """gpg on a home of its own. The home must have a short path: gpg-agent's socket stands in it."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="gpg-"))
        (self.home / "gpg-agent.conf").write_text("auto-expand-secmem 0x30000\n")

    def run(self, *arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--no-tty", "--quiet", "--trust-model", "always"]
        return subprocess.run([*command, *arguments], input=data, capture_output=True, check=False, timeout=60)

    def do(self, *arguments: str, data: bytes = b"") -> bytes:
        """What gpg prints. Raises GpgError."""
        done = self.run(*arguments, data=data)
        if done.returncode:
            raise GpgError(f"gpg {arguments[0]} failed with status {done.returncode}")
        return done.stdout

    def make_key(self, person: Person) -> str:
        """An Ed25519 key with a Curve25519 subkey, without a passphrase; returns its fingerprint."""
        user = f"{person.name} <{person.address}>"
        self.do("--passphrase", "", "--quick-generate-key", user, "future-default", "default", "never")
        listed = self.do("--with-colons", "--list-secret-keys", person.address).decode().splitlines()
        return next(line.split(":")[9] for line in listed if line.startswith("fpr:"))

    def export(self, name: str) -> bytes:
        return self.do("--armor", "--export", name)

    def take(self, certificate: bytes) -> None:
        self.do("--import", data=certificate)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], capture_output=True, check=False)
        shutil.rmtree(self.home, ignore_errors=True)


def loopback_environment() -> dict[str, str]:
    """For child processes: nothing inherited that would send them elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}

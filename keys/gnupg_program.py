"""Running gpg (GnuPG 2.2.36 and later, 2.3.7 and later) on a GNUPGHOME of its own. Only this, and `keys.gnupg_keys` and
`keys.gnupg` on top of it, speak to gpg.

Rules:
1. Arguments never come from a message: options are ours, keys are named by fingerprints that match a pattern.
2. Input and output are memory files: nothing on disk, no output read before gpg has ended. `--max-output`,
   RLIMIT_FSIZE and a look at the size while it runs keep a compression bomb small.
3. Verdicts come from the status descriptor alone (`keys.status`); human text goes to /dev/null.
4. No network, no passphrase prompt, no agent started on the side: gpg runs with all three forbidden.
5. The time limit kills the whole process group.
6. Without its agent gpg says "no secret key": a listing or a failure is only believed while the agent lives.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from keys import home, running, status
from keys.errors import BadData, Unavailable
from keys.limits import Limits
from keys.openpgp import Fingerprint
from keys.process import Places

OPTIONS: Final = (
    "--no-options", "--batch", "--no-tty", "--no-greeting", "--quiet", "--no-verbose", "--no-autostart",
    "--disable-dirmngr", "--no-auto-key-retrieve", "--no-auto-key-locate", "--no-auto-check-trustdb",
    "--trust-model", "always", "--pinentry-mode", "error", "--no-symkey-cache", "--exit-on-status-write-error",
    "--no-emit-version", "--no-comments", "--no-random-seed-file", "--no-permission-warning",
    "--display-charset", "utf-8", "--charset", "utf-8",
    "--personal-cipher-preferences", "AES256 AES192 AES", "--personal-digest-preferences", "SHA512 SHA384 SHA256",
)  # fmt: skip

SLACK_BYTES: Final = 1_048_576  # --max-output lies this much above the limit, so that reaching the limit shows
_VERSION: Final = re.compile(rb"cfg:version:(\d+)\.(\d+)\.(\d+)")


def environment() -> dict[str, str]:
    """gpg's: where programs are, and no language but C."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}


@dataclass(frozen=True, slots=True)
class Finished:
    code: int
    output: bytes
    report: status.Report


class Program:
    """Blocking. `customers` is a keybox of certificates, made when the first is imported."""

    def __init__(
        self, folder: Path, *, customers: Path | None = None, limits: Limits | None = None,
        places: Places | None = None, own_group: bool = True,
    ) -> None:  # fmt: skip
        home.prepare(folder)
        self.home = folder
        self._customers = customers
        self._limits = limits or Limits()
        self._places = places or Places(self._limits.gpg_at_once)
        self._own_group = own_group
        self._socket: str | None = None

    def version(self) -> tuple[int, int, int]:
        """Raises Unavailable (no gpg, or one whose status lines can be forged: CVE-2022-34903)."""
        ran = self._call("--with-colons", "--list-config", "version", max_bytes=65_536, seconds=10.0)
        match = _VERSION.search(ran.output)
        if match is None:
            raise Unavailable
        found = (int(match[1]), int(match[2]), int(match[3]))
        if found < (2, 2, 36) or (2, 3, 0) <= found < (2, 3, 7):
            raise Unavailable
        return found

    def start_agent(self) -> None:
        """gpg-agent, outside any limit of one message. Raises Unavailable."""
        try:
            subprocess.run(
                ["gpg-connect-agent", "--homedir", str(self.home), "/bye"], env=environment(), timeout=10, check=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            raise Unavailable from None

    def stop_agent(self) -> None:
        subprocess.run(
            ["gpgconf", "--homedir", str(self.home), "--kill", "gpg-agent"], env=environment(), timeout=10, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def _call(
        self, *words: str, stdin: bytes = b"", files: tuple[int, ...] = (), max_bytes: int, seconds: float,
        ring: str = "both",
    ) -> Finished:  # fmt: skip
        """The agent is started outside the limits of this run; once more when it went in between."""
        rings: tuple[str, ...] = ()
        if self._customers is not None and (ring == "customers" or (ring == "both" and self._customers.exists())):
            rings = ("--keyring", str(self._customers))
            if ring == "customers":
                rings = ("--no-default-keyring", *rings)
        arguments = (
            "gpg", "--homedir", str(self.home), *OPTIONS, "--max-output", str(max_bytes + SLACK_BYTES), *rings, *words,
        )  # fmt: skip
        with self._places.taken(self._limits.gpg_wait_seconds):
            if not self._agent_lives():
                self.start_agent()
            ran = self._once(arguments, stdin, files, max_bytes, seconds)
            if ran.report.no_agent or ran.report.unexplained:
                self.start_agent()
                for file in files:
                    os.lseek(file, 0, os.SEEK_SET)
                ran = self._once(arguments, stdin, files, max_bytes, seconds)
            return ran

    def _agent_lives(self) -> bool:
        """Without its agent gpg says "no secret key", and lists none: that must not be believed."""
        if self._socket is None:
            self._socket = self._agent_socket()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.settimeout(5.0)
                probe.connect(self._socket)
        except OSError:
            return False
        return True

    def _agent_socket(self) -> str:
        try:
            told = subprocess.run(
                ["gpgconf", "--homedir", str(self.home), "--list-dirs", "agent-socket"], env=environment(), timeout=10,
                check=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            raise Unavailable from None
        return unquote(told.stdout.decode("utf-8", "surrogateescape").strip())

    def _once(
        self, arguments: Sequence[str], stdin: bytes, files: tuple[int, ...], max_bytes: int, seconds: float
    ) -> Finished:
        ran = running.run(
            arguments, stdin=stdin, files=files, max_bytes=max_bytes, seconds=seconds, own_group=self._own_group,
            environment=environment(),
        )  # fmt: skip
        return Finished(ran.code, ran.output, status.parse(ran.status))


def named(fingerprint: Fingerprint) -> str:
    """Raises BadData for anything but a fingerprint: it becomes an argument."""
    if not status.FINGERPRINT.fullmatch(fingerprint):
        raise BadData
    return fingerprint

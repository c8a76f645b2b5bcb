"""A Postfix of our own, in a folder of its own, for tests that need a foreign mail server. It takes root and a Postfix
that is installed; the system's own one is neither read nor touched."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

POSTFIX = shutil.which("postfix", path=os.environ.get("PATH", "") + ":/usr/sbin")
needs_postfix = pytest.mark.skipif(
    POSTFIX is None or os.getuid() != 0, reason="needs Postfix and root (tests/system.sh postfix)"
)

MASTER = """{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
tlsmgr unix - - n 1000? 1 tlsmgr
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
MAIN = """compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log/maillog
maillog_file_prefixes = {folder}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.acme.example
mydestination =
relay_domains = acme.example
default_transport = discard:
smtpd_relay_restrictions = permit_auth_destination, reject
smtpd_client_connection_count_limit = 0
smtpd_client_event_limit_exceptions = 127.0.0.0/8
default_process_limit = 200
alias_maps =
local_recipient_maps =
"""
DISCARDING = "relay_transport = discard:\n"


@contextmanager
def postfix(port: int, *before: str, settings: str = DISCARDING) -> Iterator[int]:
    """Listens on 127.0.0.1 and does with what is for acme.example as `settings` (lines of main.cf) say.
    `before`: words before its command, such as taskset's."""
    folder = Path(tempfile.mkdtemp(prefix="vpf"))
    folder.chmod(0o755)
    for name in ("queue", "data", "etc", "log"):
        (folder / name).mkdir()
    shutil.chown(folder / "data", "postfix")
    (folder / "etc" / "main.cf").write_text(MAIN.format(folder=folder) + settings)
    (folder / "etc" / "master.cf").write_text(MASTER.format(port=port))
    command = [*before, str(POSTFIX), "-c", str(folder / "etc")]
    subprocess.run([*command, "start"], check=True, capture_output=True, timeout=60)
    try:
        yield port
    finally:
        subprocess.run([*command, "stop"], check=False, capture_output=True, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])

"""The demonstration's gateway: a folder with a real configuration, keys, store, people and Alice's certificate."""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.cli.user import add_user
from gateway.config import Config, load
from gateway.setting_up import self_signed
from gateway.store import upgrade
from keys import keyring
from keys.agent_client import AgentClient
from keys.secret import Secret

MAILBOXES: Final = (
    ("support", "support@acme.example", "support", "en", "Acme Support", "Acme Support · weekdays 8 to 20"),
    ("soporte", "soporte@acme.example", "support", "es", "Acme Atención al Cliente", "Atención al Cliente de Acme"),
    ("billing", "billing@acme.example", "billing", "en", "Acme Billing", "Acme Billing"),
)
PEOPLE: Final = (("ann", "Ann Baker", "agent"), ("sam", "Sam Reyes", "supervisor"), ("ada", "Ada Novak", "admin"))


@dataclass(frozen=True, slots=True)
class Stage:
    """`logins`: login, role and password, made up for this one run."""

    config: Config
    file: Path
    smtp_port: int
    desk_url: str
    logins: tuple[tuple[str, str, str], ...]
    fingerprint: str


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def build(folder: Path, *, dns_port: int, postbox_port: int, postbox_ca: Path, desk_port: int) -> Stage:
    """Raises ConfigError, StoreError, KeysError."""
    smtp_port = free_port()
    desk_port = desk_port or free_port()
    (folder / "var").mkdir(mode=0o700)
    self_signed(folder / "certificate.pem", folder / "key.pem", "mx.acme.example")
    file = folder / "vestibule.toml"
    file.write_text(_toml(smtp_port, desk_port, dns_port, postbox_port, postbox_ca), "utf-8")
    config = load(file)
    keyring.generate(config.keys_folder)
    upgrade(config.store_url)
    logins = []
    for login, name, role in PEOPLE:
        password = "-".join(secrets.token_hex(2) for _ in range(4))
        add_user(config, login=login, name=name, role=role, password=Secret(password), queues=(), language="en")
        logins.append((login, role, password))
    with AgentClient(config.keys_folder) as agent:
        fingerprints = [agent.new_mailbox_key(sender, address) for _, address, _, _, sender, _ in MAILBOXES]
        (folder / "mailbox.pgp").write_bytes(b"".join(agent.export_mailbox(one) for one in fingerprints))
    return Stage(config, file, smtp_port, f"http://127.0.0.1:{desk_port}/", tuple(logins), fingerprints[0])


def _toml(smtp_port: int, desk_port: int, dns_port: int, postbox_port: int, postbox_ca: Path) -> str:
    boxes = "\n".join(
        f'''[[mailboxes]]
name = "{name}"
address = "{address}"
queue = "{queue}"
language = "{language}"
sender_name = "{sender}"
signature = "{signature}"
'''
        for name, address, queue, language, sender, signature in MAILBOXES
    )
    return f'''# The demonstration's configuration.
[company]
name = "Acme"
privacy_url = "https://www.acme.example/privacy"

[edge]
hostname = "mx.acme.example"

[[edge.listeners]]
port = {smtp_port}
certificate_file = "certificate.pem"
key_file = "key.pem"

[edge.dns]
servers = ["127.0.0.1"]
port = {dns_port}

[sending.smarthost]
host = "localhost"
port = {postbox_port}
ca_file = "{postbox_ca}"

[desk]
port = {desk_port}

{boxes}'''

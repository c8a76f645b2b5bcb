"""From the configuration to the SMTP side: what is loaded, and what an admin hears of what isn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from channels.contract import Demand
from channels.email.settings import Kind
from gateway import limits
from gateway.config import build
from gateway.email_settings import smtp_config
from gateway.errors import ConfigError

MAILBOX = {"name": "support", "address": "Support@ACME.example", "aliases": ["help@bücher.example"]}


def config(base: Path, **edge: Any) -> Any:
    edge.setdefault("listeners", [{"starttls": "none", "port": 0}])
    return build({"mailboxes": [MAILBOX], "edge": edge}, base=base)


def test_listeners_limits_and_domains_come_from_the_configuration(tmp_path: Path) -> None:
    found = smtp_config(config(tmp_path, hostname="mx.acme.example", limits={"connections": 7}))
    assert found.hostname == "mx.acme.example"
    assert found.domains == {"acme.example", "xn--bcher-kva.example"}
    (listen,) = found.listeners
    assert (listen.kind, listen.starttls, listen.tls, listen.users) == (Kind.MX, Demand.NONE, None, None)
    assert (found.limits.connections, found.limits.line_bytes) == (7, limits.LINE_BYTES_HARD)


def test_hops_are_loaded_with_their_secrets(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("new\nold\n")
    hops = [
        {"name": "cloud", "header": "X-Hop", "secret_file": "secret", "inside": ["10.0.0.0/8", "2001:db8::1"]},
        {"name": "front", "address": "192.0.2.1"},
        {"name": "relay", "certificate_sha256": "ab" * 32},
    ]
    cloud, front, relay = smtp_config(config(tmp_path, trusted_hops=hops)).hops
    assert cloud.secret is not None
    assert cloud.secret.matches(b"old")
    assert [str(network) for network in cloud.inside] == ["10.0.0.0/8", "2001:db8::1/128"]
    assert (front.address, relay.certificate) == ("192.0.2.1", "ab" * 32)


@pytest.mark.parametrize(
    ("edge", "field"),
    [
        ({"listeners": [{"certificate_file": "no.pem", "key_file": "no.key"}]}, "edge.listeners.2525"),
        ({"trusted_hops": [{"name": "h", "header": "X", "secret_file": "no"}]}, "edge.trusted_hops.h.secret_file"),
        ({"trusted_hops": [{"name": "h", "address": "192.0.2.1", "inside": ["x"]}]}, "edge.trusted_hops.h.inside"),
    ],
)
def test_what_does_not_load_names_its_field(tmp_path: Path, edge: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigError) as error:
        smtp_config(config(tmp_path, **edge))
    assert error.value.field == field

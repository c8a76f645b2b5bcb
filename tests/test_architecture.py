"""The laws that no type checker can hold by itself: who makes what, who reveals what, who knows whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "channels", "keys")


def sources() -> list[Path]:
    return [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]


def callers(name: str) -> set[str]:
    """Files in which something of this name is called."""
    found = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            if isinstance(called, ast.Subscript):
                called = called.value
            if (isinstance(called, ast.Attribute) and called.attr == name) or (
                isinstance(called, ast.Name) and called.id == name
            ):
                found.add(str(path.relative_to(ROOT)))
    return found


def test_who_may_make_a_passed() -> None:
    assert callers("Passed") == {"gateway/layers.py", "gateway/crossing.py"}


def test_who_may_import_the_mint() -> None:
    found = {str(path.relative_to(ROOT)) for path in sources() if re.search(r"\b_MINT\b", path.read_text("utf-8"))}
    assert found == {"gateway/layers.py", "gateway/crossing.py"}


def test_who_may_issue_a_clear_permit() -> None:
    assert callers("ClearPermit") == {"gateway/policy.py"}
    found = {str(path.relative_to(ROOT)) for path in sources() if re.search(r"\b_ISSUE\b", path.read_text("utf-8"))}
    assert found == {"gateway/reply.py", "gateway/policy.py"}


def test_who_may_make_what_an_agent_reads() -> None:
    """Law 2. (Rebuilt from bytes whose signature or stamp verified: `gateway.codec.unpack`, by its type.)"""
    assert callers("Sanitized") == {"gateway/sanitizing.py"}
    assert callers("SafeText") == {"gateway/sanitizing.py"}
    rebuilt = {"gateway/crossing.py", "gateway/store/reading.py", "gateway/store/filing.py", "gateway/held.py"}
    assert unpackers({"Sanitized", "_Frame", "HeldSight"}) == rebuilt


def test_who_may_make_an_unboxed() -> None:
    """From a box whose signature verified, from an opener's answer about one, or of our own to warm up with."""
    assert callers("Unboxed") == {"keys/unbox.py", "gateway/warming.py"}


def unpackers(names: set[str]) -> set[str]:
    """Files that make one of these types out of bytes."""
    found = set()
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "unpack" and node.args:
                kind = node.args[0]
                if isinstance(kind, ast.Name) and kind.id in names:
                    found.add(str(path.relative_to(ROOT)))
    return found


REVEALS = {
    "a key or credential goes into the library that uses it": {
        "channels/email/dkim_sign.py", "channels/keyed.py", "gateway/store/rates.py", "gateway/store/threads.py",
        "keys/atrest.py", "keys/box.py", "keys/credentials.py", "keys/keyring.py", "keys/unbox.py",
    },
    "a password or a token is hashed or compared": {
        "gateway/desk/passwords.py", "gateway/desk/queries.py", "gateway/desk/sessions.py", "gateway/store/people.py",
        "keys/lifecycle.py",
    },
    "sealed, boxed or framed at once, or just opened": {
        "gateway/crossing.py", "gateway/desk/idempotency.py", "gateway/held.py", "gateway/outbox.py",
        "gateway/store/contacts.py", "gateway/store/filing.py", "gateway/store/reading.py", "keys/agent_client.py",
        "keys/codec.py", "keys/gnupg.py",
    },
    "inside a parser worker, or the pipes to it": {
        "gateway/attached.py", "gateway/checks/downgrade.py", "gateway/checks/leak.py", "gateway/composing.py",
        "gateway/opening.py", "gateway/path_out.py", "gateway/sandbox.py", "gateway/sandbox_worker.py",
        "gateway/sanitizing.py", "gateway/serving.py", "gateway/walking.py", "gateway/warming.py",
        "gateway/workshop.py",
    },
    "an agent's own words, which they wrote or get back": {
        "gateway/desk/acting.py", "gateway/desk/pages.py", "gateway/desk/presenting.py", "gateway/desk/shaping.py",
    },
    "the last step to the customer's server": {"channels/email/smtp_out.py"},
    "no secret of anybody's: tests": {"keys/testing.py"},
}  # fmt: skip
"""Law 5: who looks into a `Secret`, and why it is right there. Whoever adds a file here says why."""


def test_who_may_look_into_a_secret() -> None:
    listed = {name for names in REVEALS.values() for name in names}
    assert callers("reveal") - {"keys/secret.py"} == listed


def test_nobody_looks_into_a_secret_by_another_way() -> None:
    """`Secret` keeps its value under a private name."""
    text = (ROOT / "keys" / "secret.py").read_text("utf-8")
    names = set(re.findall(r"self\.(_[a-z_]+)", text))
    assert names
    for path in sources():
        if path.name != "secret.py" and "Secret" in (content := path.read_text("utf-8")):
            assert not re.search(r"getattr\([^)]*_Secret__|\._Secret__", content), path


# --- who knows whom: the contracts in pyproject.toml, and that they are complete

CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
}


def modules(folder: str) -> set[str]:
    found = {path.stem if path.is_file() else path.name for path in (ROOT / folder).iterdir()
             if path.suffix == ".py" or (path / "__init__.py").exists()}  # fmt: skip
    return {f"{folder.replace('/', '.')}.{name}" for name in found - {"__init__"}}


def test_the_import_contracts_hold() -> None:
    run = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"], cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout
    assert f"{len(CONTRACTS)} kept, 0 broken" in run.stdout


def test_the_contracts_name_every_check_channel_and_key_module() -> None:
    assert set(CONTRACTS["checks"]["modules"]) == modules("gateway/checks")
    assert set(CONTRACTS["channels"]["modules"]) == modules("channels") - {
        "channels.contract", "channels.keyed", "channels.listener",
    }  # fmt: skip
    may = {"keys.secret", "keys.credentials", "keys.tls", "keys.errors"}
    assert set(CONTRACTS["channels-and-keys"]["forbidden_modules"]) == modules("keys") - may


def test_the_desk_imports_of_channels_and_keys_only_what_it_may() -> None:
    """Directly: the contract proper, and keys that verify, box, seal at rest or hold a secret."""
    may = {"channels.contract", "keys.secret", "keys.box", "keys.stamp", "keys.atrest", "keys.errors", "keys.tls"}
    found = {name for path in (ROOT / "gateway" / "desk").rglob("*.py") for name in imported(path)}
    assert {name for name in found if name.startswith(("channels.", "keys."))} <= may


def test_checks_import_nothing_that_acts() -> None:
    """Checks decide and change nothing: no store, no process, no engine, no clock."""
    for path in (ROOT / "gateway" / "checks").glob("*.py"):
        guilty = [
            name for name in imported(path)
            if name.startswith(("gateway.store", "gateway.app", "gateway.sandbox", "gateway.workshop", "keys.gnupg"))
            or name.split(".")[0] in ("os", "socket", "subprocess", "time", "datetime", "random", "logging")
        ]  # fmt: skip
        assert not guilty, (path.name, guilty)


def imported(path: Path) -> set[str]:
    """Modules that a file names, as `package.module`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module in ("gateway", "channels", "keys"):
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found - {"gateway", "channels", "keys"}


def test_no_file_prints_or_opens_a_debugger() -> None:
    """Law 6: logs are facts; what is printed is the CLI's and the demonstration's, to a person who asked."""
    told = {
        str(path.relative_to(ROOT))
        for path in sources()
        if re.search(r"(?m)^\s*(?:print|breakpoint)\(", path.read_text("utf-8"))
    }
    assert not {name for name in told if not name.startswith(("gateway/cli/", "gateway/demo/"))}


def test_every_wrong_program_is_a_type_error() -> None:
    file = ROOT / "tests" / "wrong" / "programs.py"
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-incremental", str(file)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    reported = {
        int(line.split(":")[1]) for line in run.stdout.splitlines() if "programs.py:" in line and "error" in line
    }
    marked = {
        number for number, line in enumerate(file.read_text("utf-8").splitlines(), 1) if re.search(r"  # \d+$", line)
    }
    assert reported == marked, run.stdout


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_begins_with_what_it_is_for(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    if tree.body:
        assert ast.get_docstring(tree), "no module docstring"


def test_no_setting_is_read_when_a_module_is_imported() -> None:
    """Design, section 10: `os.environ` at module level would make behaviour depend on who imported first."""
    guilty = []
    for path in sources():
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                continue
            if any(
                isinstance(inner, ast.Attribute) and inner.attr in ("environ", "getenv") for inner in ast.walk(node)
            ):
                guilty.append(str(path.relative_to(ROOT)))
    assert not [name for name in guilty if not name.endswith("__main__.py")]

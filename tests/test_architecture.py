"""The laws that no type checker can hold by itself: who makes what, who reveals what, who knows whom."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
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


def test_every_wrong_program_is_a_type_error() -> None:
    file = ROOT / "tests" / "wrong" / "programs.py"
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--no-incremental", str(file)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    reported = {int(line.split(":")[1]) for line in run.stdout.splitlines() if "programs.py:" in line and "error" in line}
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
            if any(isinstance(inner, ast.Attribute) and inner.attr in ("environ", "getenv") for inner in ast.walk(node)):
                guilty.append(str(path.relative_to(ROOT)))
    assert not [name for name in guilty if not name.endswith("__main__.py")]

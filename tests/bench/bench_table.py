"""The table at the end of `make bench`: lines that the measurements say, printed by conftest.py."""

from __future__ import annotations

from collections.abc import Callable

Say = Callable[..., None]
LINES: list[str] = []


def say(what: str, found: str, *, goal: str = "", met: bool | None = None) -> None:
    """One line, with its goal if it has one: `say("plain, strict", "152 /s", goal="150 /s", met=True)`."""
    word = "" if met is None else "  reached" if met else "  NOT reached"
    text = f"{what:44} {found:34} {f'goal {goal}' if goal else ''}{word}".rstrip()
    LINES.append(text)
    print(f"\n{text}", end="", flush=True)

"""What Dockerfile and compose file say, parsed: as much of their languages as ours use; anything else is an error."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"


@dataclass
class Stage:
    """`steps` are (instruction, the rest of its line) in order, without FROM."""

    base: str
    name: str = ""
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction: str) -> str:
        return [rest for name, rest in self.steps if name == instruction][-1]

    def words(self, instruction: str) -> list[str]:
        """Of the exec form."""
        rest = self.last(instruction)
        found: list[str] = json.loads(rest[rest.index("[") :])
        return found


def stages(text: str | None = None) -> list[Stage]:
    found: list[Stage] = []
    whole = ""
    for line in (text or (DOCKER / "Dockerfile").read_text("utf-8")).splitlines():
        if line.lstrip().startswith("#") or not line.strip():
            continue
        whole += line.strip()
        if whole.endswith("\\"):
            whole = whole[:-1]
            continue
        instruction, _, rest = whole.partition(" ")
        whole = ""
        if instruction == "FROM":
            words = rest.split()
            found.append(Stage(words[0], words[2] if len(words) == 3 and words[1] == "AS" else ""))
        else:
            found[-1].steps.append((instruction, rest))
    return found


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
    return loaded


def volumes(service: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Source, target, read-only."""
    found = []
    for line in service.get("volumes", []):
        source, target, *options = line.split(":")
        found.append((source, target, options == ["ro"]))
    return found


def secrets(service: dict[str, Any]) -> dict[str, str]:
    """Source by target."""
    named = [one if isinstance(one, dict) else {"source": one, "target": one} for one in service.get("secrets", [])]
    return {one["target"]: one["source"] for one in named}

"""The commented example configuration, made from the types in `gateway.config`."""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta, Struct

from gateway.config import Config


def example() -> str:
    """Every setting with its meaning and default, as TOML."""
    lines = ["# Vestibule's configuration. What is commented out is the default.", ""]
    _section(Config, (), lines)
    return "\n".join(lines).rstrip() + "\n"


def _section(kind: type[Struct], path: tuple[str, ...], lines: list[str], *, many: bool = False) -> None:
    hints = get_type_hints(kind, include_extras=True)
    tables: list[tuple[str, type[Struct], bool]] = []
    if path:
        mark = "[[{}]]" if many else "[{}]"
        lines.append(mark.format(".".join(path)))
    for info in msgspec.structs.fields(kind):
        hint = hints[info.name]
        inner, about = _unwrap(hint)
        table = _struct_of(inner)
        if table is not None:
            tables.append((info.name, *table))
            continue
        if info.name == "base":
            continue
        if about:
            lines.append(f"# {about}")
        lines.append(("" if info.required else "# ") + f"{info.name} = {_toml(info)}")
    if path:
        lines.append("")
    for name, inner_kind, several in tables:
        _section(inner_kind, (*path, name), lines, many=several)


def _unwrap(hint: Any) -> tuple[Any, str]:
    if get_origin(hint) is Annotated:
        inner, *extras = get_args(hint)
        return inner, next((meta.description or "" for meta in extras if isinstance(meta, Meta)), "")
    return hint, ""


def _struct_of(hint: Any) -> tuple[type[Struct], bool] | None:
    if isinstance(hint, type) and issubclass(hint, Struct):
        return hint, False
    if get_origin(hint) is tuple:
        first = get_args(hint)[0]
        if isinstance(first, type) and issubclass(first, Struct):
            return first, True
    if get_origin(hint) in (Union, types.UnionType):
        return None
    return None


def _toml(info: Any) -> str:
    value = info.default
    if value is msgspec.NODEFAULT:
        value = info.default_factory() if info.default_factory is not msgspec.NODEFAULT else ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(f'"{item}"' for item in value) + "]"
    if isinstance(value, dict):
        return "{}"
    return f'"{value}"'

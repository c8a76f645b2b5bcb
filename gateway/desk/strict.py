"""Reading a request body strictly: JSON into a type, or a Problem that names the field.

Refused: another media type, too large, not UTF-8, duplicate keys, NaN and Infinity, numbers longer than 20 digits,
nesting deeper than `DEPTH`, fields that the type doesn't have.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from aiohttp import web

from gateway import limits
from gateway.desk.problems import Problem

T = TypeVar("T")

DEPTH: Final = 20
DIGITS: Final = 20
FORM_FIELDS: Final = 50


async def read_bytes(request: web.Request, most: int = limits.REQUEST_BODY_BYTES) -> bytes:
    """The whole body. Raises Problem: too-large, malformed (too slow)."""
    if request.content_length is not None and request.content_length > most:
        raise Problem("too-large")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.DESK_BODY_SECONDS):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > most:
                    raise Problem("too-large")
                chunks.append(chunk)
    except TimeoutError:
        raise Problem("malformed", "The body came too slowly.") from None
    return b"".join(chunks)


async def read_json(request: web.Request, kind: type[T]) -> T:
    if request.content_type != "application/json":
        raise Problem("wrong-type")
    return parse(await read_bytes(request), kind)


def parse(body: bytes, kind: type[T]) -> T:
    """Raises Problem: malformed, invalid."""
    try:
        text = body.decode("utf-8")
        if _depth(text) > DEPTH:
            raise Problem("malformed", "The body is nested too deeply.")
        plain = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_int=_short_int, parse_float=_short_float
        )
        json.dumps(plain, ensure_ascii=False).encode()  # half a surrogate pair is no text
    except Problem:
        raise
    except (ValueError, RecursionError):
        raise Problem("malformed", "The body isn't JSON.") from None
    return convert(plain, kind)


def convert(plain: Any, kind: type[T]) -> T:
    """Into the type, unknown fields refused (the types say so). Raises Problem: invalid."""
    try:
        return msgspec.convert(plain, kind, strict=True)
    except msgspec.ValidationError as error:
        raise Problem("invalid", _plain(str(error)), field=_field(str(error))) from None


async def read_form(request: web.Request) -> dict[str, str]:
    """application/x-www-form-urlencoded, each field once. Raises Problem."""
    if request.content_type != "application/x-www-form-urlencoded":
        raise Problem("wrong-type", "The form must be URL-encoded.")
    try:
        text = (await read_bytes(request)).decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=FORM_FIELDS,
                          encoding="utf-8", errors="strict")  # fmt: skip
    except ValueError:
        raise Problem("malformed", "The form can't be read.") from None
    form: dict[str, str] = {}
    for name, value in pairs:
        if name == "waive" and name in form:
            form[name] += " " + value
        elif name in form:
            raise Problem("malformed", "A field stands twice.", field=name if name.isidentifier() else "")
        else:
            form[name] = value.replace("\r\n", "\n")
    return form


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Problem("malformed", "A field stands twice.")
    return found


def _no_constant(word: str) -> Any:
    raise Problem("malformed", "NaN and Infinity are no JSON.")


def _short_int(digits: str) -> int:
    if len(digits) > DIGITS:
        raise Problem("malformed", "A number is too long.")
    return int(digits)


def _short_float(digits: str) -> float:
    if len(digits) > 2 * DIGITS:
        raise Problem("malformed", "A number is too long.")
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise Problem("malformed", "A number is too large.")
    return number


def _depth(text: str) -> int:
    """How deep brackets nest, strings left out; before anything recursive sees the text."""
    depth = deepest = 0
    inside = escaped = False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


def _field(error: str) -> str:
    """msgspec's "… - at `$.field`", or the unknown field it names when that is a plain name."""
    _, _, where = error.partition(" - at `")
    path = where.rstrip("`").lstrip("$").lstrip(".")
    if not path and "required field `" in error:
        path = error.partition("required field `")[2].rstrip("`")
    parts = path.replace("[", ".").replace("]", "").split(".")
    return path if all(part.isidentifier() or part.isdigit() or part == "..." for part in parts if part) else ""


def _plain(error: str) -> str:
    """msgspec's sentence without what came from the request (it repeats the name of an unknown field)."""
    if "unknown field" in error:
        return "There is a field that isn't known here."
    return error.partition(" - at `")[0] + "."

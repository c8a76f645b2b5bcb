"""The API's description, OpenAPI 3.1, made from the route tables and the types: it can't tell of a route that isn't."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from gateway.desk.context import Route
from gateway.desk.problems import MEDIA_TYPE, TITLES
from gateway.desk.schemas import ProblemOut

PARAMETER = re.compile(r"\{(\w+)\}")
REF = "#/components/schemas/{name}"


def document(routes: Sequence[Route], version: str) -> dict[str, Any]:
    kinds = [kind for route in routes for kind in (route.body, route.answer) if kind is not None]
    _, schemas = msgspec.json.schema_components([*kinds, ProblemOut], ref_template=REF)
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Vestibule desk", "version": version,
            "description": "What the console uses. Sign in at /sign-in first; the session's cookie authenticates.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"session": {"type": "apiKey", "in": "cookie", "name": "__Host-vestibule"}},
            "responses": {
                "Problem": {
                    "description": "RFC 9457. `type` is `urn:vestibule:` and one of " + ", ".join(TITLES),
                    "content": {MEDIA_TYPE: {"schema": {"$ref": REF.format(name="ProblemOut")}}},
                }
            },
        },
        "security": [{"session": []}],
    }  # fmt: skip
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(whole))
    return plain


def _operation(route: Route) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Done" if route.answer is None else "As asked"}
    if route.answer is not None:
        success["content"] = {"application/json": {"schema": {"$ref": REF.format(name=route.answer.__name__)}}}
    elif route.stream:
        success["content"] = {"text/event-stream": {"schema": {"type": "string"}}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _name(route),
        "x-action": route.do.value,
        "parameters": _parameters(route),
        "responses": {str(route.status): success, "default": {"$ref": "#/components/responses/Problem"}},
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": REF.format(name=route.body.__name__)}}},
        }
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    text = {"type": "string"}
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in PARAMETER.findall(route.path)
    ]
    found += [{"name": name, "in": "query", "schema": text} for name in route.query]
    if route.paged:
        found.append({"name": "cursor", "in": "query", "schema": text, "description": "`next` of the page before"})
        found.append({"name": "limit", "in": "query", "schema": {"type": "integer", "minimum": 1, "maximum": 100}})
    if route.unsafe:
        found.append({"name": "X-CSRF-Token", "in": "header", "required": True, "schema": text})
    if route.once:
        found.append({"name": "Idempotency-Key", "in": "header", "required": True, "schema": text})
    if route.stream:
        found.append({"name": "Last-Event-ID", "in": "header", "schema": text})
    return found


def _name(route: Route) -> str:
    words = [word for word in re.split(r"\W+", route.path.removeprefix("/api")) if word]
    return "_".join((route.method.lower(), *words))

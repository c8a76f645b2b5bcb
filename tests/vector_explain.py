"""Vectors through `vestibule explain`'s own code, with the options that say how each came."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vector_format import Record, Vector
from vector_letters import TRUSTED, person, zone
from whole import Whole

from gateway.config import load
from gateway.explain_run import Asked, Explainer


@dataclass(frozen=True, slots=True)
class Explained:
    decision: str
    findings: frozenset[str]
    agent: dict[str, Any] | None
    redactions: dict[str, int]
    told: dict[str, Any]


def read(told: dict[str, Any]) -> Explained:
    codes = frozenset(str(one["code"]) for one in told["findings"])
    return Explained(told["decision"], codes, told["agent"], told["redactions"], told)


def zone_file(records: Mapping[str, Iterable[Record]], file: Path) -> Path:
    """In the openspf suites' form."""
    names = {
        name: ["TIMEOUT" if one.kind == "FAIL" else {one.kind: one.value} for one in lines]
        for name, lines in records.items()
    }  # fmt: skip
    file.write_text(json.dumps({"zonedata": names}))
    return file


async def explain_vectors(
    vectors: Iterable[Vector], raws: Mapping[str, bytes], whole: Whole, folder: Path
) -> dict[str, Explained]:
    """Those that a sender hands in as a message."""
    wanted = [vector for vector in vectors if vector.channel == "email"]
    certificates = tuple(person(name).certificate for name in TRUSTED)
    asked = Asked(
        client_ip="127.0.0.1", helo="", mail_from=None, rcpt=(), tls=None, at=None, certificates=certificates,
        dns=zone_file(zone(wanted), folder / "zone.json"),
    )  # fmt: skip
    async with Explainer(asked, load(whole.folder / "inspector.toml")) as explainer:
        return {
            vector.name: read(await explainer.explain(vector.name, raws[vector.name], came(vector, asked)))
            for vector in wanted
        }


def came(vector: Vector, asked: Asked) -> Asked:
    """How the vector comes, as options."""
    return replace(
        asked, client_ip=vector.peer, helo=vector.helo, mail_from="<>" if vector.sender is None else vector.sender,
        rcpt=vector.to, tls=None if vector.tls == "none" else f"TLSv{vector.tls}",
    )  # fmt: skip

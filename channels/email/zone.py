"""Zone data from a file instead of the network: tests, and `vestibule explain --dns`, which repeats any case offline.

Three forms are read, and may stand mixed, by name:
- openspf's test suites: `name: [{A: 1.2.3.4}, {MX: [10, host]}, {SPF: text}, TIMEOUT]`. SPF stands for TXT too where
  the name has no TXT of its own (`{TXT: NONE}` forbids that); TIMEOUT makes every other question of that name fail.
- the ARC suite's: `name: text`, a TXT record.
- `name: {TXT: [[string, string]], "!A": CODE}`; ENODATA says that there is none, ENOTFOUND that the name is missing,
  any other code is a failure.
Names that start with "error." fail. A name that isn't there is missing; one that has names below it is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from channels.email.resolver import EMPTY, FAILED, KINDS, MISSING, Answer, Status, within_bounds

_TTL: Final = 3600.0
_ALIASES: Final = 10


class ZoneError(ValueError):
    """Zone data in none of the forms."""


class ZoneResolver:
    """Answers from zone data; asks nobody."""

    def __init__(self, zone: Mapping[str, Any]) -> None:
        self._names: dict[str, _Name] = {}
        for name, data in zone.items():
            self._names[str(name).lower().rstrip(".")] = _Name(data)
        self._parents = {
            name.split(".", depth)[depth] for name in self._names for depth in range(1, name.count(".") + 1)
        }

    @classmethod
    def load(cls, path: Path) -> ZoneResolver:
        """A YAML or JSON file, also one with several documents, with `zonedata` or `txt-records`, or the bare mapping.
        Raises ZoneError; OSError where it can't be read."""
        return cls(parse(path.read_text("utf-8")))

    async def query(self, name: str, kind: str, /) -> Answer:
        name = name.lower().rstrip(".")
        seen: set[str] = set()
        while True:
            if name.startswith("error."):
                return FAILED
            data = self._names.get(name)
            if data is None:
                return EMPTY if name in self._parents else MISSING
            answer = data.answer(kind)
            if answer.status is not Status.EMPTY or data.alias is None or kind == "CNAME":
                return answer
            if name in seen or len(seen) >= _ALIASES:
                return FAILED  # what real resolvers answer to a loop
            seen.add(name)
            name = data.alias


def parse(text: str) -> dict[str, Any]:
    """Zone data as one mapping. Raises ZoneError."""
    try:
        documents = list(yaml.safe_load_all(text))
    except (yaml.YAMLError, ValueError, RecursionError):
        raise ZoneError("this is neither YAML nor JSON") from None
    zone: dict[str, Any] = {}
    for document in documents:
        if document is None:
            continue
        if not isinstance(document, Mapping):
            raise ZoneError("zone data is a mapping from names to records")
        for part in ("zonedata", "txt-records"):
            if part in document:
                zone.update(document[part] or {})
        if "zonedata" not in document and "txt-records" not in document:
            zone.update(document)
    return zone


class _Name:
    def __init__(self, data: Any) -> None:
        self._records: dict[str, list[bytes | str]] = {}
        self._codes: dict[str, str] = {}
        self._timeout = False
        self.alias: str | None = None
        if isinstance(data, str | bytes):
            data = [{"TXT": data}]
        if isinstance(data, Mapping):
            self._read_mapping(data)
        elif isinstance(data, list):
            self._read_list(data)
        else:
            raise ZoneError("a name has a text, a list or a mapping")

    def answer(self, kind: str) -> Answer:
        code = self._codes.get(kind)
        if code == "ENOTFOUND":
            return MISSING
        if code is not None and code != "ENODATA":
            return FAILED
        records = self._records.get(kind, [])
        if not records:
            return FAILED if self._timeout else EMPTY
        return Answer(Status.FOUND, tuple(records), ttl=_TTL) if within_bounds(records) else FAILED

    def _read_list(self, data: list[Any]) -> None:
        spf: list[bytes | str] = []
        bare = False
        for item in data:
            if item == "TIMEOUT":
                self._timeout = True
                continue
            if not isinstance(item, Mapping) or len(item) != 1:
                raise ZoneError("a record is a mapping from its type to its data")
            ((kind, value),) = item.items()
            kind = str(kind).upper()
            if kind == "SPF":
                spf.append(_text(value))
            elif kind == "TXT" and value == "NONE":
                bare = True
            elif value == "TIMEOUT":
                self._codes[kind] = "TIMEOUT"
            else:
                self._add(kind, value)
        if "TXT" not in self._records and spf and not bare:
            self._records["TXT"] = spf

    def _read_mapping(self, data: Mapping[Any, Any]) -> None:
        for kind, values in data.items():
            kind = str(kind).upper()
            if kind.startswith("!"):
                self._codes[kind[1:]] = str(values)
                continue
            for value in values if isinstance(values, list) else [values]:
                self._add(kind, value)

    def _add(self, kind: str, value: Any) -> None:
        if kind not in KINDS:
            return
        record: bytes | str
        if kind == "TXT":
            record = _text(value)
        elif kind == "MX":
            if isinstance(value, Mapping):
                value = [value.get("priority", value.get("preference", 0)), value.get("exchange", "")]
            if not isinstance(value, list) or len(value) != 2:
                raise ZoneError("MX is a list of preference and host")
            record = f"{int(value[0])} {str(value[1]).lower().rstrip('.')}"
        else:
            record = str(value).lower().rstrip(".")
        if kind == "CNAME":
            self.alias = str(record)
        self._records.setdefault(kind, []).append(record)


def _text(value: Any) -> bytes:
    if isinstance(value, list):
        return b"".join(_text(each) for each in value)
    if isinstance(value, bytes):
        return value
    text = str(value)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()

"""Authentication-Results fields (RFC 8601): ours written, foreign ones that bear our name taken off, any of them read.

Rules:
1. What we write holds results, domains and fixed tokens only, never a text that a sender chose.
2. A field on top of a message that claims to be by us, or from which no name can be read, is removed (section 5).
3. Reading is bounded in size, number and nesting, and linear; what doesn't fit is None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from channels.contract import Authentication, DkimResult, Result
from channels.email.headers import Field, read, without

FIELD_BYTES: Final = 8_192
RESULTS: Final = 100
COMMENT_DEPTH: Final = 20
_LINE: Final = 76
_TOKEN: Final = re.compile(r"[!#$%&'*+\-./0-9:@A-Z^_`a-z{|}~]+")
_PLAIN: Final = re.compile(r"[A-Za-z0-9._@+\-]{1,253}")
_METHOD: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9_\-]*)(?:[ \t]*/[ \t]*[0-9]+)?[ \t]*=[ \t]*([A-Za-z0-9_\-]+)")
_PROPERTY: Final = re.compile(r'[ \t]*([A-Za-z][A-Za-z0-9_.\-]*)[ \t]*=[ \t]*("(?:[^"\\]|\\.)*+"|[^ \t"]+)')


@dataclass(frozen=True, slots=True)
class Claim:
    """What some server says of one method: "spf", "pass", and properties as `ptype.property` → value."""

    method: str
    result: str
    properties: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class AuthenticationResults:
    """`server` is the authserv-id, lower-case; "" where the field is empty."""

    server: str
    claims: tuple[Claim, ...]


def write(server: str, facts: Authentication) -> bytes:
    """The field, with its CRLF, for the top of a message. `server` is our authserv-id."""
    claims = [_spf(facts), *(_dkim(each) for each in facts.dkim), _dmarc(facts), _arc(facts)]
    if not facts.dkim:
        claims.insert(1, "dkim=none")
    lines = [f"Authentication-Results: {server}"]
    for claim in claims:
        lines[-1] += ";"
        words = claim.split(" ")
        lines.append("\t" + words[0])
        for word in words[1:]:
            if len(lines[-1]) + 1 + len(word) > _LINE:
                lines.append("\t  " + word)
            else:
                lines[-1] += " " + word
    return "\r\n".join(lines).encode("ascii") + b"\r\n"


def without_ours(raw: bytes, server: str) -> bytes:
    """A message (lines ending in CRLF) without Authentication-Results fields that bear our name or none."""
    return without(raw, [each for each in read(raw, max_bytes=len(raw)).fields if _is_ours(each, server)])


def parse(value: bytes) -> AuthenticationResults | None:
    """A field's value, read with patience; None where it is too large, nested too deep or without a server."""
    if len(value) > FIELD_BYTES:
        return None
    text = _without_comments(value.decode("utf-8", "replace").replace("\r\n", ""))
    if text is None:
        return None
    parts = _split(text)
    head = parts[0].split()
    if not head:
        return AuthenticationResults("", ()) if len(parts) == 1 else None
    if len(head) > 2 or (len(head) == 2 and not head[1].isdigit()):
        return None
    server = head[0][1:-1] if head[0].startswith('"') and head[0].endswith('"') and len(head[0]) > 2 else head[0]
    if not _TOKEN.fullmatch(server) or len(parts) > RESULTS:
        return None
    claims = (_claim(part.strip()) for part in parts[1:])
    return AuthenticationResults(server.lower(), tuple(claim for claim in claims if claim is not None))


def _is_ours(field: Field, server: str) -> bool:
    if field.name != "authentication-results":
        return False
    claimed = parse(field.value)
    return claimed is None or claimed.server in ("", server.lower())


def _spf(facts: Authentication) -> str:
    claim = f"spf={facts.spf}"
    if facts.spf_domain:
        claim += f" smtp.{'helo' if facts.spf_identity == 'helo' else 'mailfrom'}={_value(facts.spf_domain)}"
    return claim


def _dkim(each: DkimResult) -> str:
    claim = f"dkim={each.result}"
    if each.reason:
        claim += f" reason={_value(each.reason)}"
    for name, value in (("d", each.domain), ("s", each.selector), ("a", each.algorithm)):
        if value:
            claim += f" header.{name}={_value(value)}"
    return claim


def _dmarc(facts: Authentication) -> str:
    claim = f"dmarc={facts.dmarc}"
    if facts.dmarc_reason and facts.dmarc is not Result.PASS:
        claim += f" reason={_value(facts.dmarc_reason)}"
    if facts.author_domain:
        claim += f" header.from={_value(facts.author_domain)}"
    if facts.dmarc_policy:
        claim += f" policy.dmarc={_value(facts.dmarc_policy)}"
    return claim


def _arc(facts: Authentication) -> str:
    return f"arc={facts.arc}" + (f" header.d={_value(facts.arc_domain)}" if facts.arc_domain else "")


def _value(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else '"invalid"'


def _without_comments(text: str) -> str | None:
    out: list[str] = []
    depth, at, quoted = 0, 0, False
    while at < len(text):
        char = text[at]
        if char == "\\":
            if not depth:
                out.append(text[at : at + 2])
            at += 2
            continue
        if quoted:
            quoted = char != '"'
            out.append(char)
        elif char == "(":
            depth += 1
            if depth > COMMENT_DEPTH:
                return None
        elif char == ")":
            depth -= 1
            if depth < 0:
                return None
            out.append(" ")
        elif not depth:
            quoted = char == '"'
            out.append(char)
        at += 1
    return None if depth or quoted else "".join(out)


def _split(text: str) -> list[str]:
    parts, start, quoted, at = [], 0, False, 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif char == '"':
            quoted = not quoted
        elif char == ";" and not quoted:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    return [*parts, text[start:]]


def _claim(text: str) -> Claim | None:
    match = _METHOD.match(text)
    if not match:
        return None
    properties: list[tuple[str, str]] = []
    at = match.end()
    while at < len(text):
        found = _PROPERTY.match(text, at)
        if not found:
            break
        value = found[2]
        properties.append((found[1].lower(), re.sub(r"\\(.)", r"\1", value[1:-1]) if value[0] == '"' else value))
        at = found.end()
    return Claim(match[1].lower(), match[2].lower(), tuple(properties))

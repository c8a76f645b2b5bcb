"""SPF records (RFC 7208): syntax and macros. Pure and linear in time; nothing here asks the DNS.

A record is read whole before any of it is evaluated (section 4.6): one fault makes it a permerror.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

TERM_CHARACTERS: Final = 1_024  # a domain has 253; macros need more, honest ones not much more
TERMS: Final = 500  # ten includes of the largest records seen have fewer, all together
EXPANDED_CHARACTERS: Final = 4_096
RECORDS_KEPT: Final = 256  # the same few senders write most mail

_VERSION: Final = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_MODIFIER: Final = re.compile(r"([A-Za-z][A-Za-z0-9_.\-]*)=(.*)")
_DIRECTIVE: Final = re.compile(r"([+\-?~]?)([A-Za-z][A-Za-z0-9_.\-]*)(:[^ ]*|/[^ ]*)?")
_DUAL_CIDR: Final = re.compile(r"(?:/(0|[1-9][0-9]{0,2}))?(?://(0|[1-9][0-9]{0,2}))?")
_MACRO: Final = re.compile(r"%(?:([%_\-])|\{([A-Za-z])([0-9]{0,4})([rR]?)([.\-+,/_=]*)\})")
_IP4: Final = re.compile(r"((?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3})(?:/(0|[1-9][0-9]?))?")
_IP6: Final = re.compile(r"([0-9A-Fa-f:.]{2,45})(?:/(0|[1-9][0-9]{0,2}))?")
_LETTERS: Final = frozenset("slodiphv")
_LETTERS_EXP: Final = _LETTERS | frozenset("crt")
_MECHANISMS: Final = frozenset({"all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists"})
_NEEDS_DOMAIN: Final = frozenset({"include", "exists"})
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class RecordError(ValueError):
    """A permerror. Its text is a fixed token, never part of a record."""


@dataclass(frozen=True, slots=True)
class Macro:
    """One macro-expand: its letter as written, how many right-hand parts, whether reversed, by what it is split."""

    letter: str
    digits: int
    reverse: bool
    delimiters: str


MacroString = tuple[str | Macro, ...]


@dataclass(frozen=True, slots=True)
class Directive:
    """`result` is the qualifier. `domain` empty: the current domain. `prefix4`, `prefix6`: of a and mx."""

    result: str
    mechanism: str
    domain: MacroString = ()
    network: Network | None = None
    prefix4: int = 32
    prefix6: int = 128


@dataclass(frozen=True, slots=True)
class SpfRecord:
    directives: tuple[Directive, ...]
    redirect: MacroString | None
    exp: MacroString | None


@dataclass(frozen=True, slots=True)
class MacroValues:
    """What the letters stand for; RFC 7208, section 7.3. `p` is looked up only where a record uses it."""

    sender: str
    local: str
    domain: str
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    helo: str
    receiver: str
    timestamp: int


def is_spf(text: bytes) -> bool:
    """Whether a TXT record is an SPF record (section 4.5)."""
    return _VERSION.match(text) is not None


@lru_cache(RECORDS_KEPT)
def parse(text: bytes) -> SpfRecord:
    """Raises RecordError."""
    try:
        terms = [term for term in text.decode("ascii").split(" ")[1:] if term]
    except UnicodeDecodeError:
        raise RecordError("not-ascii") from None
    if len(terms) > TERMS or any(len(term) > TERM_CHARACTERS for term in terms):
        raise RecordError("too-large")
    directives: list[Directive] = []
    modifiers: dict[str, MacroString] = {}
    for term in terms:
        match = _MODIFIER.fullmatch(term)
        if not match:
            directives.append(_directive(term))
            continue
        name, value = match[1].lower(), match[2]
        if name not in ("redirect", "exp"):
            macro_string(value)
        elif name in modifiers:
            raise RecordError("repeated-modifier")
        else:
            modifiers[name] = _domain_spec(value)
    return SpfRecord(tuple(directives), modifiers.get("redirect"), modifiers.get("exp"))


def macro_string(text: str, *, explaining: bool = False) -> MacroString:
    """Section 7.1. `explaining`: text of an explanation, which may hold spaces and the letters c, r, t."""
    parts: list[str | Macro] = []
    at = 0
    while at < len(text):
        percent = text.find("%", at)
        literal = text[at:] if percent < 0 else text[at:percent]
        if literal:
            lowest = 0x20 if explaining else 0x21
            if not all(lowest <= ord(each) <= 0x7E for each in literal):
                raise RecordError("character")
            parts.append(literal)
        if percent < 0:
            break
        match = _MACRO.match(text, percent)
        if not match:
            raise RecordError("macro")
        if match[1]:
            parts.append({"%": "%", "_": " ", "-": "%20"}[match[1]])
        else:
            if match[2].lower() not in (_LETTERS_EXP if explaining else _LETTERS):
                raise RecordError("macro-letter")
            digits = int(match[3]) if match[3] else 0
            if match[3] and digits == 0:
                raise RecordError("macro-digits")
            parts.append(Macro(match[2], digits, bool(match[4]), match[5] or "."))
        at = match.end()
    return tuple(parts)


def uses_p(spec: MacroString) -> bool:
    return any(isinstance(part, Macro) and part.letter in "pP" for part in spec)


def expand(spec: MacroString, values: MacroValues, *, validated: str = "unknown") -> str:
    """Section 7.3; `validated` is %{p}. Raises RecordError when the text grows without measure."""
    out: list[str] = []
    size = 0
    for part in spec:
        text = part if isinstance(part, str) else _expanded(part, values, validated)
        size += len(text)
        if size > EXPANDED_CHARACTERS:
            raise RecordError("too-large")
        out.append(text)
    return "".join(out)


def as_domain(text: str) -> str:
    """An expanded domain-spec as a name to ask for; left labels are dropped until it has 253 octets (section 7.3)."""
    text = text.removesuffix(".")
    while len(text) > 253:
        _, dot, text = text.partition(".")
        if not dot:
            return ""
    return text.lower()


def _directive(term: str) -> Directive:
    match = _DIRECTIVE.fullmatch(term)
    if not match:
        raise RecordError("term")
    result = {"": "pass", "+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}[match[1]]
    mechanism, argument = match[2].lower(), match[3] or ""
    if mechanism not in _MECHANISMS:
        raise RecordError("mechanism")
    if mechanism == "all":
        if argument:
            raise RecordError("argument")
        return Directive(result, mechanism)
    if mechanism in ("ip4", "ip6"):
        return Directive(result, mechanism, network=_network(mechanism, argument))
    prefix4, prefix6 = 32, 128
    if mechanism in ("a", "mx"):
        argument, prefix4, prefix6 = _without_cidr(argument)
    if not argument:
        if mechanism in _NEEDS_DOMAIN:
            raise RecordError("argument")
        return Directive(result, mechanism, prefix4=prefix4, prefix6=prefix6)
    if argument[0] != ":":
        raise RecordError("argument")
    return Directive(result, mechanism, _domain_spec(argument[1:]), prefix4=prefix4, prefix6=prefix6)


def _without_cidr(argument: str) -> tuple[str, int, int]:
    # a prefix length is short: only the tail can be one
    for start in range(max(0, len(argument) - 8), len(argument)):
        if argument[start] != "/" or (start and argument[start - 1] == "/"):
            continue
        match = _DUAL_CIDR.fullmatch(argument, start)
        if match:
            prefix4, prefix6 = int(match[1] or 32), int(match[2] or 128)
            if prefix4 > 32 or prefix6 > 128:
                raise RecordError("prefix")
            return argument[:start], prefix4, prefix6
    return argument, 32, 128


def _network(mechanism: str, argument: str) -> Network:
    match = (_IP4 if mechanism == "ip4" else _IP6).fullmatch(argument[1:])
    if not argument.startswith(":") or not match:
        raise RecordError("address")
    try:
        if mechanism == "ip4":
            return ipaddress.IPv4Network((match[1], int(match[2] or 32)), strict=False)
        return ipaddress.IPv6Network((match[1], int(match[2] or 128)), strict=False)
    except ValueError:
        raise RecordError("address") from None


def _domain_spec(text: str) -> MacroString:
    """Section 7.1: domain-spec ends in a macro or in a top label that isn't a number."""
    spec = macro_string(text)
    if not spec:
        raise RecordError("domain")
    tail = text.rpartition("}")[2] if text.endswith("}") else None
    ends_in_macro = tail == "" or text[-2:] in ("%%", "%_", "%-")
    if not ends_in_macro:
        last = spec[-1]
        if not isinstance(last, str):
            raise RecordError("domain")
        rest, dot, label = last.removesuffix(".").rpartition(".")
        if not dot or not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9\-]*[A-Za-z0-9])?", label) or label.isdigit():
            raise RecordError("domain")
        del rest
    return spec


def _expanded(macro: Macro, values: MacroValues, validated: str) -> str:
    ip6 = values.ip.version == 6
    text = {
        "s": values.sender,
        "l": values.local,
        "o": values.sender.rpartition("@")[2],
        "d": values.domain,
        "i": ".".join(values.ip.exploded.replace(":", "")) if ip6 else str(values.ip),
        "p": validated,
        "v": "ip6" if ip6 else "in-addr",
        "h": values.helo,
        "c": str(values.ip),
        "r": values.receiver,
        "t": str(values.timestamp),
    }[macro.letter.lower()]
    if macro.digits or macro.reverse or macro.delimiters != ".":
        parts = re.split("[" + re.escape(macro.delimiters) + "]", text)
        if macro.reverse:
            parts.reverse()
        if macro.digits:
            parts = parts[-macro.digits :]
        text = ".".join(parts)
    if macro.letter.isupper():
        text = "".join(c if c in _UNRESERVED else "".join(f"%{b:02X}" for b in c.encode()) for c in text)
    return text

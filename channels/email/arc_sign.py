"""Sealing a message that we pass on (RFC 8617, section 5.1): one more ARC set, by the key that also signs with DKIM.

Rules: a chain that has failed gets one last seal that says so and covers only its own set; after that, none. The
results that are sealed are those of Authentication-Results fields that bear our own name, word for word. `b=` stands
on one line: the next seal signs it with whatever blanks it has.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from channels.email import authres
from channels.email.arc import ARC_SETS, sealed_data
from channels.email.canonical import Body, canonical_field, signed_fields, tags
from channels.email.dkim_sign import OVERSIGNED, Signer, SigningError, folded
from channels.email.headers import Field, HeaderFault, read, unfold

_KINDS: Final = ("arc-authentication-results", "arc-message-signature", "arc-seal")


@dataclass(frozen=True, slots=True)
class NewSet:
    """The three fields of a new set, each with its CRLF; to be put on top in the order seal, message, results."""

    results: bytes
    message: bytes
    seal: bytes


def seal(raw: bytes, signer: Signer, *, server: str, now: int, names: Sequence[str] = OVERSIGNED) -> NewSet | None:
    """One more set for a message whose lines end in CRLF; None where the chain is closed. `server` is our authserv-id;
    `now` in seconds since 1970; `names` of the fields to sign, in order. Raises SigningError."""
    block = read(raw)
    if not block.fields or block.faults & {HeaderFault.TOO_LARGE, HeaderFault.NO_FIELD}:
        raise SigningError("message is malformed")
    older = _older(block.fields)
    if older is None or len(older) >= ARC_SETS:
        return None
    instance = len(older) + 1
    payload, validation = _results(block.values("authentication-results"), server)
    if (validation == "none") != (instance == 1):
        validation = "fail" if instance > 1 else "none"
    results = _field("ARC-Authentication-Results", f"i={instance}; {server}; {payload}")
    body_hash = base64.b64encode(Body(raw[block.body :]).sha256("relaxed")).decode()
    common = [f"i={instance}", f"s={signer.selector}", f"t={now}"]
    message = _signed(
        "ARC-Message-Signature",
        [
            f"a={signer.algorithm.value}", "b=", f"bh={body_hash}", "c=relaxed/relaxed", f"d={signer.domain}",
            f"h={':'.join(names)}", *common,
        ],
        b"".join(canonical_field(each, "relaxed") + b"\r\n" for each in signed_fields(block.fields, names)),
        signer,
    )  # fmt: skip
    tag_list = [f"a={signer.algorithm.value}", "b=", f"cv={validation}", f"d={signer.domain}", *common]
    unfinished = _field("ARC-Seal", folded(tag_list, "ARC-Seal: "))
    covered = [] if validation == "fail" else older
    data = sealed_data(covered, (results, message, unfinished)).removesuffix(canonical_field(unfinished, "relaxed"))
    sealed = _signed("ARC-Seal", tag_list, data, signer)
    return NewSet(*(each.raw + b"\r\n" for each in (results, message, sealed)))


def _signed(name: str, tag_list: Sequence[str], data: bytes, signer: Signer) -> Field:
    unsigned = _field(name, folded(tag_list, f"{name}: "))
    value = base64.b64encode(signer.signature(data + canonical_field(unsigned, "relaxed"))).decode()
    return _field(name, folded([tag + value if tag == "b=" else tag for tag in tag_list], f"{name}: "))


def _older(fields: Sequence[Field]) -> list[tuple[Field, Field, Field]] | None:
    """The sets that are there, oldest first; None where nothing may be added. Raises SigningError."""
    found: dict[str, dict[str, Field]] = {kind: {} for kind in _KINDS}
    try:
        for each in fields:
            if each.name in found:
                first = each.value.partition(b";")[0] + b";" if each.name == _KINDS[0] else each.value
                read_tags = tags(first)
                if each.name == "arc-seal" and read_tags.get("cv") == b"fail":
                    return None
                found[each.name][read_tags["i"].decode("ascii")] = each
    except (ValueError, KeyError):
        raise SigningError("chain is malformed") from None
    count = len(found["arc-seal"])
    try:
        return [
            (found[_KINDS[0]][str(i)], found[_KINDS[1]][str(i)], found[_KINDS[2]][str(i)]) for i in range(1, count + 1)
        ]
    except KeyError:
        raise SigningError("chain is malformed") from None


def _results(values: Sequence[bytes], server: str) -> tuple[str, str]:
    """What our own fields say, joined; and the chain's validation status among it. Raises SigningError."""
    texts: list[str] = []
    validation = "none"
    for value in values:
        parsed = authres.parse(value)
        if parsed is None or parsed.server != server.lower():
            continue
        try:
            texts.append(unfold(value).decode("ascii").partition(";")[2].strip(" \t;"))
        except UnicodeDecodeError:
            raise SigningError("results are not ASCII") from None
        validation = next((claim.result for claim in parsed.claims if claim.method == "arc"), validation)
    return "; ".join(texts) or "none", validation if validation in ("none", "pass", "fail") else "fail"


def _field(name: str, value: str) -> Field:
    raw = f"{name}: {value}".encode()
    return Field(name.lower(), raw, b" " + value.encode())

"""DMARC (RFC 9989): does what SPF and DKIM prove belong to the author's domain, and what does its owner ask for.

Rules:
1. Policy and organizational domain are found by RFC 9989's tree walk. RFC 7489's way, by the Public Suffix List, can be
   asked for.
2. Domains are compared label by label, never as text. A public suffix vouches for nobody below it, even where its
   record forgets to say psd=y: else customers of one hoster could speak for each other.
3. A question that fails leaves the result open ("temperror"); only an alignment that needs no answer passes without it.
4. The author's domain comes from `author.author` alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cache
from typing import Final

from publicsuffixlist import PublicSuffixList

from channels.contract import Result
from channels.email.dmarc_record import DmarcRecord, Grammar, Policy, RecordError, is_dmarc, parse
from channels.email.resolver import Resolver, Status

WALK_LABELS: Final = 8  # RFC 9989, section 4.10: at most eight questions


class Discovery(Enum):
    TREE_WALK = "tree-walk"
    PUBLIC_SUFFIX = "public-suffix"


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcResult:
    """`domain` is the author's organizational domain, `record_domain` where the policy was found. `policy` is what the
    owner asks for if it fails, testing mode taken into account; None without a record. `reason` is a fixed token."""

    result: Result
    domain: str = ""
    record_domain: str = ""
    policy: Policy | None = None
    record: DmarcRecord | None = None
    dkim_aligned: tuple[str, ...] = ()
    spf_aligned: tuple[str, ...] = ()
    reason: str = ""


class _Unknown(Exception):
    """A question failed."""


@dataclass(frozen=True, slots=True)
class _Found:
    """One name of a walk that has a record; `record` is None where it can't be used."""

    name: str
    record: DmarcRecord | None


async def evaluate(
    resolver: Resolver,
    *,
    author_domain: str,
    dkim_domains: Sequence[str] = (),
    spf_domains: Sequence[str] = (),
    discovery: Discovery = Discovery.TREE_WALK,
) -> DmarcResult:
    """All domains are lower-case A-labels; `dkim_domains` (d=) and `spf_domains` are those that passed. Never raises
    but for cancellation."""
    try:
        return await _Evaluation(resolver, discovery).evaluate(author_domain, dkim_domains, spf_domains)
    except _Unknown:
        return DmarcResult(result=Result.TEMPERROR, domain=author_domain, reason="dns")
    except Exception:  # noqa: BLE001 - hostile records must not reach further than this
        return DmarcResult(result=Result.PERMERROR, domain=author_domain, reason="unexpected")


class _Evaluation:
    def __init__(self, resolver: Resolver, discovery: Discovery) -> None:
        self._resolver = resolver
        self._discovery = discovery

    async def evaluate(self, author: str, dkim: Sequence[str], spf: Sequence[str]) -> DmarcResult:
        found = await self._policy(author)
        if found is None:
            return DmarcResult(result=Result.NONE, domain=author, reason="record.none")
        if found.record is None:
            return DmarcResult(result=Result.NONE, domain=author, record_domain=found.name, reason="record.invalid")
        record = found.record
        policy = await self._owner_policy(author, found.name, record)
        try:
            domain = await self._organization(author)
        except _Unknown:
            domain = author
        dkim_aligned, dkim_unknown = await self._aligned(author, dkim, strict=record.strict_dkim)
        spf_aligned, spf_unknown = await self._aligned(author, spf, strict=record.strict_spf)
        if dkim_aligned or spf_aligned:
            result, reason = Result.PASS, ""
        elif dkim_unknown or spf_unknown:
            result, reason = Result.TEMPERROR, "dns"
        else:
            result, reason = Result.FAIL, "not-aligned" if dkim or spf else "not-authenticated"
        return DmarcResult(
            result=result,
            domain=domain,
            record_domain=found.name,
            policy=policy.lowered() if record.testing else policy,
            record=record,
            dkim_aligned=dkim_aligned,
            spf_aligned=spf_aligned,
            reason=reason,
        )

    async def _policy(self, author: str) -> _Found | None:
        """Section 4.10.1: at the author's domain, else its organizational domain, else its public suffix."""
        own = await self._record(author)
        if own is not None:
            return own
        if self._discovery is Discovery.PUBLIC_SUFFIX:
            organization = _registered(author)
            return None if organization == author else await self._record(organization)
        walked = await self._walk(author)
        organization = _select(author, walked)
        at = {each.name: each for each in walked}
        if organization in at:
            return at[organization]
        return walked[-1] if walked else None

    async def _owner_policy(self, author: str, at: str, record: DmarcRecord) -> Policy:
        if author == at:
            return record.p
        below = record.sp or record.p
        if record.np is None or record.np is below:
            return below
        exists = (await self._resolver.query(author, "A")).status is not Status.MISSING
        return below if exists else record.np

    async def _aligned(self, author: str, domains: Sequence[str], *, strict: bool) -> tuple[tuple[str, ...], bool]:
        """Those in alignment, and whether it remained unknown for some."""
        aligned: list[str] = []
        unknown = False
        for domain in dict.fromkeys(domains):
            if domain == author:
                aligned.append(domain)
            elif not strict and domain:
                try:
                    if await self._same_organization(author, domain):
                        aligned.append(domain)
                except _Unknown:
                    unknown = True
        return tuple(aligned), unknown

    async def _same_organization(self, author: str, domain: str) -> bool:
        # an organization stands above both; what is not above the author is not asked for, for a forger owns it
        common = _common(author, domain)
        for at in range(len(common)):
            if await self._vouches(".".join(common[at:])):
                break
        else:
            return False
        organization = await self._organization(author)
        return organization == await self._organization(domain) and await self._vouches(organization)

    async def _vouches(self, organization: str) -> bool:
        if not _is_public_suffix(organization):
            return True
        found = await self._record(organization)
        return found is not None and found.record is not None and found.record.psd == "n"

    async def _organization(self, domain: str) -> str:
        if self._discovery is Discovery.PUBLIC_SUFFIX:
            return _registered(domain)
        return _select(domain, await self._walk(domain))

    async def _walk(self, start: str) -> list[_Found]:
        """Section 4.10, longest name first."""
        found: list[_Found] = []
        for name in names_of_walk(start):
            each = await self._record(name)
            if each is None:
                continue
            found.append(each)
            if each.record is not None and each.record.psd in ("y", "n"):
                break
        return found

    async def _record(self, name: str) -> _Found | None:
        answer = await self._resolver.query(f"_dmarc.{name}", "TXT")
        if answer.status is Status.FAILED:
            raise _Unknown
        texts = [text for text in answer.texts if is_dmarc(text)]
        if len(texts) > 1 and self._discovery is Discovery.PUBLIC_SUFFIX:
            return _Found(name, None)  # RFC 7489, section 6.6.3: discovery ends; RFC 9989 goes on
        if len(texts) != 1:
            return None
        try:
            return _Found(name, parse(texts[0], grammar=Grammar.RFC9989))
        except RecordError:
            return _Found(name, None)


def names_of_walk(start: str) -> list[str]:
    """The name itself and those above it that a walk asks for."""
    labels = start.split(".")
    longest = min(len(labels) - 1, WALK_LABELS - 1)
    return [start, *(".".join(labels[-count:]) for count in range(longest, 0, -1))]


def _select(start: str, walked: Sequence[_Found]) -> str:
    """The organizational domain; section 4.10.2."""
    usable = [(each.name, each.record.psd) for each in walked if each.record is not None]
    for name, psd in usable:
        if psd == "n":
            return name
        if psd == "y" and name != start:
            depth = name.count(".") + 2
            return ".".join(start.split(".")[-depth:])
    return usable[-1][0] if usable else start


def _common(one: str, other: str) -> list[str]:
    """The labels that both names end in."""
    common: list[str] = []
    for mine, theirs in zip(reversed(one.split(".")), reversed(other.split(".")), strict=False):
        if mine != theirs:
            break
        common.insert(0, mine)
    return common


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def _is_public_suffix(domain: str) -> bool:
    return _suffixes().publicsuffix(domain) == domain


def _registered(domain: str) -> str:
    """RFC 7489's organizational domain."""
    return _suffixes().privatesuffix(domain) or domain

"""Where a domain's mail goes: RFC 5321, section 5.1; RFC 7505 for the domain that takes none.

Rule: what isn't known is never taken for "there is none": a failed look-up is tried again later, and no message is
refused on its word.
"""

from __future__ import annotations

from channels.email.resolver import Lookups, Resolver, Status
from channels.email.smtp_out import Unroutable


class DnsExchangers:
    """`smtp_out.Exchangers` over a resolver."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def exchangers(self, domain: str, /) -> tuple[str, ...]:
        """Best first; the domain itself where it has addresses but no MX. Raises Unroutable."""
        lookups = Lookups(self._resolver)
        answer = await lookups.query(domain, "MX")
        if answer.status is Status.FAILED:
            raise Unroutable("domain.unanswered", permanent=False)
        if answer.status is Status.MISSING:
            raise Unroutable("domain.unknown", permanent=True)
        if answer.status is Status.FOUND:
            found = answer.exchanges
            if all(host in ("", ".") for _, host in found):
                raise Unroutable("domain.takes-no-mail", permanent=True)
            return tuple(host.rstrip(".") for _, host in found if host not in ("", "."))
        for kind in ("A", "AAAA"):
            address = await lookups.query(domain, kind)
            if address.status is Status.FOUND:
                return (domain,)
            if address.status is Status.FAILED:
                raise Unroutable("domain.unanswered", permanent=False)
        raise Unroutable("domain.takes-no-mail", permanent=True)

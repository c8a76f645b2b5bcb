"""Name service on loopback for the demonstration's domains, so that SPF and DMARC have something to say."""

from __future__ import annotations

import asyncio
from typing import Final, cast

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.rrset

HONEST: Final = "127.0.0.1"
STRANGER: Final = "127.0.0.66"
"""Where the forged letter comes from."""

_TEXTS: Final[dict[str, str]] = {
    "example.org.": f"v=spf1 ip4:{HONEST} -all",
    "_dmarc.example.org.": "v=DMARC1; p=reject; adkim=s; aspf=s",
    "example.net.": f"v=spf1 ip4:{HONEST} ~all",
    "_dmarc.example.net.": "v=DMARC1; p=none",
    "news.example.": f"v=spf1 ip4:{HONEST} ~all",
}


class _Server(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        try:
            question = dns.message.from_wire(data)
            answer = dns.message.make_response(question)
        except dns.exception.DNSException:
            return
        answer.flags |= dns.flags.RA | dns.flags.AA
        asked = question.question[0] if question.question else None
        if asked is not None:
            name = asked.name.to_text().lower()
            if asked.rdtype == dns.rdatatype.TXT and name in _TEXTS:
                answer.answer.append(
                    dns.rrset.from_text(asked.name, 60, dns.rdataclass.IN, dns.rdatatype.TXT, f'"{_TEXTS[name]}"')
                )
            elif name not in _TEXTS and name != "example.":
                answer.set_rcode(dns.rcode.NXDOMAIN)
        if self._transport is not None:
            self._transport.sendto(answer.to_wire(), addr)


async def serve() -> tuple[asyncio.DatagramTransport, int]:
    """The server, and its port on 127.0.0.1."""
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(_Server, local_addr=("127.0.0.1", 0))
    return transport, int(transport.get_extra_info("sockname")[1])

"""A name server for tests: on loopback, UDP, answers what it is given and NXDOMAIN to all else."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Self

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset


class NameServer:
    """`zone` maps (name, type) to records in presentation form: {("example.org", "TXT"): ['"v=spf1 -all"']}. `silent`
    answers nothing at all, `failing` SERVFAIL."""

    def __init__(self, zone: dict[tuple[str, str], list[str]] | None = None, *, port: int = 0) -> None:
        self.zone = zone or {}
        self.silent = self.failing = False
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                data, peer = self._socket.recvfrom(4_096)
                if not self.silent:
                    self._socket.sendto(self._answer(data), peer)
            except OSError:
                return

    def _answer(self, data: bytes) -> bytes:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name, kind = question.name.to_text(omit_final_dot=True).lower(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        answer = dns.message.make_response(query, recursion_available=True)
        records = self.zone.get((name, kind))
        if self.failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records:
            answer.answer.append(dns.rrset.from_text(question.name, 300, "IN", kind, *records))
        elif not any(there == name for there, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        return answer.to_wire()

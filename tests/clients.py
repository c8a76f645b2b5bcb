"""Clients that do exactly what they are told: SMTP, octet by octet; the desk over HTTPS, like a browser."""

from __future__ import annotations

import http.client
import json
import re
import socket
import ssl
import urllib.parse
import uuid
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any


class Client:
    """An SMTP client that sends exactly what it is told."""

    def __init__(self, port: int, seconds: float = 60) -> None:
        self._socket: socket.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self._buffer = b""

    @cached_property
    def greeting(self) -> str:
        return self.hear()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def say(self, line: str) -> str:
        self.send(line.encode("utf-8") + b"\r\n")
        return self.hear()

    def hear(self) -> str:
        """One reply, its lines joined by "\\n"; "" when the connection is closed."""
        lines = []
        while True:
            while b"\n" not in self._buffer:
                try:
                    more = self._socket.recv(65_536)
                except (ConnectionError, ssl.SSLError):
                    more = b""
                if not more:
                    return "\n".join(lines)
                self._buffer += more
            line, _, self._buffer = self._buffer.partition(b"\n")
            lines.append(line.decode("utf-8", "replace").rstrip("\r"))
            if lines[-1][3:4] != "-":
                return "\n".join(lines)

    def start_tls(self, version: str = "1.3") -> None:
        answer = self.say("STARTTLS")
        assert answer.startswith("220"), answer
        self.wrap(version)

    def wrap(self, version: str = "1.3") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = {
            "1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3,
        }[version]  # fmt: skip
        self._socket = context.wrap_socket(self._socket)

    def deliver(self, message: bytes, sender: str | None, to: Sequence[str]) -> str:
        """The reply to the last command that was needed."""
        wide = not "".join([sender or "", *to]).isascii() or not message.partition(b"\r\n\r\n")[0].isascii()
        answer = self.say(f"MAIL FROM:<{sender or ''}> BODY=8BITMIME{' SMTPUTF8' if wide else ''}")
        for recipient in to:
            if answer.startswith("2"):
                answer = self.say(f"RCPT TO:<{recipient}>")
        if not answer.startswith("2"):
            self.say("RSET")
            return answer
        answer = self.say("DATA")
        if not answer.startswith("354"):
            return answer
        stuffed = (b"\r\n" + message).replace(b"\r\n.", b"\r\n..")[2:]
        with suppress(ConnectionError, ssl.SSLError):
            self.send(stuffed + (b".\r\n" if not stuffed or stuffed.endswith(b"\r\n") else b"\r\n.\r\n"))
        return self.hear()


class DeskClient:
    """Signed in over HTTPS. Keeps every byte that the desk answers, for the sweep."""

    def __init__(self, port: int, login: str, password: str) -> None:
        self.port, self.cookie, self.token = port, "", ""
        self.heard: list[bytes] = []
        door = self.page("/sign-in")
        self.token = self._token(door)
        form = urllib.parse.urlencode({"csrf": self.token, "name": login, "password": password})
        status, headers, _ = self._ask("POST", "/sign-in", form.encode(), "application/x-www-form-urlencoded")
        assert status == 303, status
        self.cookie = headers["Set-Cookie"].split(";")[0]
        self.token = self._token(self.page("/settings"))

    def get(self, path: str) -> Any:
        status, _, body = self._ask("GET", path)
        assert status == 200, (path, status, body[:500])
        return json.loads(body)

    def page(self, path: str) -> str:
        status, _, body = self._ask("GET", path)
        assert status == 200, (path, status)
        return body.decode()

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        status, _, answer = self._ask("POST", path, json.dumps(body).encode(), "application/json")
        return status, json.loads(answer) if answer else None

    def all(self, path: str) -> list[Any]:
        """Every item of a paged list."""
        items: list[Any] = []
        cursor = ""
        while True:
            found = self.get(f"{path}{'&' if '?' in path else '?'}limit=100&cursor={urllib.parse.quote(cursor)}")
            items += found["items"]
            cursor = found["next"]
            if not cursor:
                return items

    def _ask(self, method: str, path: str, body: bytes = b"", kind: str = "") -> tuple[int, Any, bytes]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        line = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=30)
        headers = {"Cookie": self.cookie, "Accept": "application/json" if path.startswith("/api") else "text/html"}
        if method == "POST":
            headers |= {
                "Origin": f"https://127.0.0.1:{self.port}", "Content-Type": kind, "X-CSRF-Token": self.token,
                "Idempotency-Key": str(uuid.uuid4()),
            }  # fmt: skip
            if kind != "application/json":
                del headers["X-CSRF-Token"]
        try:
            line.request(method, path, body or None, headers)
            answer = line.getresponse()
            content = answer.read()
        finally:
            line.close()
        self.heard.append(content)
        return answer.status, answer.headers, content

    @staticmethod
    def _token(page: str) -> str:
        found = re.search(r'name="csrf" (?:value|content)="([0-9a-f]{64})"', page)
        assert found is not None
        return found[1]

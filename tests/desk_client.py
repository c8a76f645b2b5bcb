"""A client of the desk, as a browser without scripts would be, and as a script of the console would be."""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

import aiohttp
from desk_seed import PASSWORD, Office

TOKEN = re.compile(r'name="csrf" (?:value|content)="([0-9a-f]{64})"')


class Visitor:
    def __init__(self, office: Office) -> None:
        self.office = office
        self.http = aiohttp.ClientSession(office.base, cookie_jar=aiohttp.CookieJar(unsafe=True))
        self.origin = {"Origin": office.base}
        self.token = ""

    async def close(self) -> None:
        await self.http.close()

    async def get(self, path: str, **headers: str) -> tuple[int, str]:
        async with self.http.get(path, headers=headers, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def page(self, path: str) -> str:
        status, text = await self.get(path)
        assert status == 200, (path, status)
        return text

    async def form(self, path: str, fields: dict[str, str], **headers: str) -> aiohttp.ClientResponse:
        fields = {"csrf": self.token, **fields}
        return await self.http.post(path, data=fields, headers={**self.origin, **headers}, allow_redirects=False)

    async def sign_in(self, login: str, password: str = PASSWORD) -> aiohttp.ClientResponse:
        door = await self.page("/sign-in")
        match = TOKEN.search(door)
        assert match is not None
        self.token = match[1]
        answer = await self.form("/sign-in", {"name": login, "password": password})
        if answer.status == 303:
            text = await self.page("/settings")
            match = TOKEN.search(text)
            assert match is not None
            self.token = match[1]
        return answer

    async def read(self, path: str) -> dict[str, Any]:
        async with self.http.get(path) as answer:
            assert answer.status == 200, (path, answer.status, await answer.text())
            found: dict[str, Any] = await answer.json()
            return found

    async def send(
        self, method: str, path: str, body: Any = None, *, key: str = "", **headers: str
    ) -> tuple[int, dict[str, Any]]:
        """With everything that the console's scripts send."""
        sent = {**self.origin, "X-CSRF-Token": self.token, "Content-Type": "application/json"}
        if method == "POST":
            sent["Idempotency-Key"] = key or str(uuid.uuid4())
        sent |= headers
        data = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
        async with self.http.request(method, path, data=data, headers=sent) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text else {}

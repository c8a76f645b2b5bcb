"""Each POST counts once: the first answer under a person's Idempotency-Key is kept, sealed, and given again.

Rules: the key belongs to one request (method, path, body); another one under it is refused. While the first is still at
work, a repeat is told to come back. A failure of ours gives the key back; an answer, also a refusal, is kept.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from aiohttp import web

from gateway import limits
from gateway.desk.context import Call
from gateway.desk.problems import Problem
from keys.secret import Secret

T = TypeVar("T")

KEY: Final = re.compile(rf"[A-Za-z0-9._:/+=-]{{8,{limits.IDEMPOTENCY_KEY_CHARACTERS}}}")


async def once(
    call: Call, request: web.Request, body: bytes, work: Callable[[], Awaitable[tuple[int, bytes]]]
) -> tuple[int, bytes]:
    """Status and JSON of the answer. Raises Problem."""
    keys = request.headers.getall("Idempotency-Key", [])
    if len(keys) != 1 or not KEY.fullmatch(keys[0]):
        raise Problem("no-key", f"8 to {limits.IDEMPOTENCY_KEY_CHARACTERS} letters, digits or . _ : / + = -")
    digest = hashlib.sha256(b"\x00".join((request.method.encode(), request.raw_path.encode(), body))).digest()
    return await _once(call, keys[0], digest, work)


async def once_for_form(call: Call, key: str, body: bytes, work: Callable[[], Awaitable[object]]) -> None:
    """For forms, whose key stands in a hidden field. A repeat does nothing."""
    if not KEY.fullmatch(key):
        raise Problem("stale-form")

    async def worked() -> tuple[int, bytes]:
        await work()
        return 303, b""

    await _once(call, key, hashlib.sha256(body).digest(), worked)


async def _once(
    call: Call, key: str, digest: bytes, work: Callable[[], Awaitable[tuple[int, bytes]]]
) -> tuple[int, bytes]:
    people, me = call.desk.people, call.me.id
    kept = await people.begin(me, key, digest)
    if kept is not None:
        if not kept.same_request:
            raise Problem("other-request")
        if kept.status is None or kept.answer is None:
            raise Problem("conflict", "The first request with this key is still at work.", retry_after=1)
        return kept.status, kept.answer.reveal()

    async def whole() -> tuple[int, bytes]:
        try:
            status, answer = await work()
        except BaseException:
            await people.abandon(me, key)
            raise
        await people.finish(me, key, status, Secret(answer))
        return status, answer

    return await asyncio.shield(whole())  # what was begun is finished, also when its asker is cancelled

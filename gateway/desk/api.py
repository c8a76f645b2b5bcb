"""The JSON API for agents: me, queues, conversations, claims, replies, drafts.

Every answer is one of `gateway.desk.schemas`; the OpenAPI document is made from the route tables here and in
`gateway.desk.api_review`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec
from aiohttp import web

from gateway import limits
from gateway.desk import acting, idempotency, schemas, shaping
from gateway.desk.access import Do, Thing, allowed
from gateway.desk.context import Call, Route
from gateway.desk.pages import VIEWS, names_of
from gateway.desk.presenting import who_is_named
from gateway.desk.problems import Problem
from gateway.desk.strict import parse, read_bytes, read_json
from gateway.desk.texts import languages
from gateway.ids import from_micros
from gateway.store.reading import View
from keys.secret import Secret

T = TypeVar("T")


def answered(value: msgspec.Struct, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


def paging(request: web.Request) -> tuple[str, int]:
    """`cursor` and `limit` of the query. Raises Problem: invalid."""
    given = request.query.get("limit", "50")
    if not given.isdecimal() or not 1 <= int(given[:6]) <= limits.PAGE_ROWS:
        raise Problem("invalid", f"From 1 to {limits.PAGE_ROWS}.", field="limit")
    cursor = request.query.get("cursor", "")
    if len(cursor) > 500:
        raise Problem("invalid", "That is no cursor of ours.", field="cursor")
    return cursor, int(given)


async def me(request: web.Request, call: Call) -> web.StreamResponse:
    user = call.me
    may = tuple(do.value for do in Do if do is not Do.ENTER and allowed(call.actor, do))
    return answered(
        schemas.Me(id=user.id, name=user.name, role=user.role, queues=user.queues, language=user.language, may=may)
    )


async def save_me(request: web.Request, call: Call) -> web.StreamResponse:
    body = await read_json(request, schemas.Settings)
    if body.language and body.language not in languages():
        raise Problem("invalid", "There is no such language here.", field="language")
    await call.desk.people.change_user(call.me.id, by=call.me.id, language=body.language)
    return web.Response(status=204)


async def queues(request: web.Request, call: Call) -> web.StreamResponse:
    counts = await call.desk.reading.counts(call.me.id, acting.queues_of(call))
    names = sorted({*counts.open, *counts.claimed})
    lines = tuple(
        schemas.QueueLine(name=name, open=counts.open.get(name, 0), claimed=counts.claimed.get(name, 0))
        for name in names
    )
    return answered(schemas.Queues(queues=lines, mine=counts.mine, held=counts.held))


async def conversations(request: web.Request, call: Call) -> web.StreamResponse:
    cursor, limit = paging(request)
    view = request.query.get("view", "open")
    if view not in VIEWS:
        raise Problem("invalid", f"One of {', '.join(VIEWS)}.", field="view")
    queue = request.query.get("queue", "")
    if queue and not allowed(call.actor, Do.READ, Thing(queue=queue)):
        raise Problem("not-found")
    asked = View(
        queues=(queue,) if queue else acting.queues_of(call), states=VIEWS[view],
        mine=call.me.id if view == "mine" else None,
    )  # fmt: skip
    try:
        rows, following = await call.desk.reading.page(asked, cursor, limit)
    except ValueError:
        raise Problem("invalid", "That is no cursor of ours.", field="cursor") from None
    names = await names_of(call, who_is_named([row.conversation for row in rows], (), ()))
    return answered(schemas.ListPage(items=tuple(shaping.listed(row, names, call) for row in rows), next=following))


async def conversation(request: web.Request, call: Call) -> web.StreamResponse:
    found = await acting.opened(call, request.match_info["id"])
    draft = await call.desk.people.draft(call.me.id, found.conversation.id)
    name = await acting.name_of(call, found.conversation.claimed_by)
    return answered(shaping.opened(found, draft, name, call))


async def claim(request: web.Request, call: Call) -> web.StreamResponse:
    async def work(_: schemas.Nothing) -> msgspec.Struct:
        lease = await acting.claim(call, request.match_info["id"])
        return schemas.ClaimOut(person=call.me.id, name=call.me.name, until=from_micros(lease.until))

    return await run_once(request, call, schemas.Nothing, 200, work)


async def release(request: web.Request, call: Call) -> web.StreamResponse:
    async def work(_: schemas.Nothing) -> None:
        await acting.release(call, request.match_info["id"])

    return await run_once(request, call, schemas.Nothing, 204, work)


async def close(request: web.Request, call: Call) -> web.StreamResponse:
    async def work(_: schemas.Nothing) -> None:
        await acting.close(call, request.match_info["id"])

    return await run_once(request, call, schemas.Nothing, 204, work)


async def replies(request: web.Request, call: Call) -> web.StreamResponse:
    found = await acting.opened(call, request.match_info["id"])
    return answered(schemas.RepliesOut(items=tuple(shaping.reply(one, call) for one in found.replies)))


async def reply(request: web.Request, call: Call) -> web.StreamResponse:
    async def work(body: schemas.NewReply) -> msgspec.Struct:
        key = request.headers["Idempotency-Key"]
        id = await acting.reply(call, request.match_info["id"], Secret(body.text), body.seen, body.promised, key)
        return schemas.Made(id=id)

    return await run_once(request, call, schemas.NewReply, 202, work)


async def resend(request: web.Request, call: Call) -> web.StreamResponse:
    async def work(_: schemas.Nothing) -> msgspec.Struct:
        return schemas.Made(id=await acting.resend(call, request.match_info["id"], request.match_info["reply"]))

    return await run_once(request, call, schemas.Nothing, 202, work)


async def draft(request: web.Request, call: Call) -> web.StreamResponse:
    found = await acting.opened(call, request.match_info["id"])
    return answered(shaping.draft(await call.desk.people.draft(call.me.id, found.conversation.id)))


async def keep_draft(request: web.Request, call: Call) -> web.StreamResponse:
    body = await read_json(request, schemas.NewDraft)
    id = request.match_info["id"]
    await acting.opened(call, id)
    if not allowed(call.actor, Do.DRAFT, Thing(owner=call.me.id)):
        raise Problem("not-found")
    await call.desk.people.save_draft(call.me.id, id, Secret(body.text))
    return web.Response(status=204)


async def run_once(
    request: web.Request, call: Call, kind: type[T], status: int, work: Callable[[T], Awaitable[msgspec.Struct | None]]
) -> web.Response:
    """Reads the body, does the work unless it was done under this Idempotency-Key, and answers."""
    if request.content_type != "application/json":
        raise Problem("wrong-type")
    raw = await read_bytes(request)
    body = parse(raw, kind)

    async def worked() -> tuple[int, bytes]:
        made = await work(body)
        return status, b"" if made is None else msgspec.json.encode(made)

    code, answer = await idempotency.once(call, request, raw, worked)
    return web.Response(status=code, body=answer or None, content_type="application/json" if answer else None)


API: Final = (
    Route(
        method="GET", path="/api/me", do=Do.SELF, handler=me, summary="Who I am and what I may do", answer=schemas.Me
    ),
    Route(
        method="PUT",
        path="/api/me",
        do=Do.SELF,
        handler=save_me,
        summary="Change my settings",
        body=schemas.Settings,
        status=204,
    ),
    Route(
        method="GET",
        path="/api/queues",
        do=Do.READ,
        handler=queues,
        summary="Queues and how much stands in them",
        answer=schemas.Queues,
    ),
    Route(
        method="GET",
        path="/api/conversations",
        do=Do.READ,
        handler=conversations,
        summary="Conversations, newest change first",
        answer=schemas.ListPage,
        paged=True,
        query=("view", "queue"),
    ),
    Route(
        method="GET",
        path="/api/conversations/{id}",
        do=Do.READ,
        handler=conversation,
        summary="One conversation, verified",
        answer=schemas.OpenedOut,
    ),
    Route(
        method="POST",
        path="/api/conversations/{id}/claim",
        do=Do.CLAIM,
        handler=claim,
        summary="Claim it, or make my claim longer",
        body=schemas.Nothing,
        answer=schemas.ClaimOut,
        once=True,
    ),
    Route(
        method="POST",
        path="/api/conversations/{id}/release",
        do=Do.RELEASE,
        handler=release,
        summary="Give it back",
        body=schemas.Nothing,
        status=204,
        once=True,
    ),
    Route(
        method="POST",
        path="/api/conversations/{id}/close",
        do=Do.CLOSE,
        handler=close,
        summary="Close it",
        body=schemas.Nothing,
        status=204,
        once=True,
    ),
    Route(
        method="GET",
        path="/api/conversations/{id}/replies",
        do=Do.READ,
        handler=replies,
        summary="Replies and how far they are",
        answer=schemas.RepliesOut,
    ),
    Route(
        method="POST",
        path="/api/conversations/{id}/replies",
        do=Do.REPLY,
        handler=reply,
        summary="Reply; it is checked, sealed and sent",
        body=schemas.NewReply,
        answer=schemas.Made,
        status=202,
        once=True,
    ),
    Route(
        method="POST",
        path="/api/conversations/{id}/replies/{reply}/resend",
        do=Do.RESEND,
        handler=resend,
        summary="Send a reply in doubt again",
        body=schemas.Nothing,
        answer=schemas.Made,
        status=202,
        once=True,
    ),
    Route(
        method="GET",
        path="/api/conversations/{id}/draft",
        do=Do.DRAFT,
        handler=draft,
        summary="My draft",
        answer=schemas.DraftOut,
    ),
    Route(
        method="PUT",
        path="/api/conversations/{id}/draft",
        do=Do.DRAFT,
        handler=keep_draft,
        summary="Keep my draft, sealed",
        body=schemas.NewDraft,
        status=204,
    ),
)

"""The JSON API for reviewers and admins: held messages by facts alone, people, the audit's tail."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web
from sqlalchemy import Connection

from gateway import audit
from gateway.desk import acting, schemas, shaping
from gateway.desk.access import Do
from gateway.desk.api import answered, paging, run_once
from gateway.desk.context import Call, Route
from gateway.desk.problems import Problem
from gateway.ids import from_micros
from gateway.requests import Verb
from gateway.rules import Code


async def asked(call: Call, id: str) -> str:
    """What a reviewer has asked for already, "" for nothing."""
    pending = await call.desk.requests.pending(id)
    return next((one.kind for one in pending if one.kind in (Verb.RELEASE, Verb.REJECT)), "")


async def held(request: web.Request, call: Call) -> web.StreamResponse:
    cursor, limit = paging(request)
    try:
        rows, following = await call.desk.reading.held(acting.queues_of(call), cursor, limit)
    except ValueError:
        raise Problem("invalid", "That is no cursor of ours.", field="cursor") from None
    items = tuple([shaping.held(row, await asked(call, row.id), call) for row in rows])
    return answered(schemas.HeldPage(items=items, next=following))


async def held_one(request: web.Request, call: Call) -> web.StreamResponse:
    row = await acting.held(call, request.match_info["id"])
    return answered(shaping.held(row, await asked(call, row.id), call))


async def release(request: web.Request, call: Call) -> web.StreamResponse:
    async def work(body: schemas.Release) -> msgspec.Struct:
        waived = tuple(Code(code) for code in body.waived)
        done = await acting.decide(call, request.match_info["id"], Verb.RELEASE, body.reason, waived)
        return schemas.Made(id=done.request)

    return await run_once(request, call, schemas.Release, 202, work)


async def reject(request: web.Request, call: Call) -> web.StreamResponse:
    async def work(body: schemas.Reject) -> msgspec.Struct:
        done = await acting.decide(call, request.match_info["id"], Verb.REJECT, body.reason, ())
        return schemas.Made(id=done.request)

    return await run_once(request, call, schemas.Reject, 202, work)


async def people(request: web.Request, call: Call) -> web.StreamResponse:
    users = await call.desk.people.users()
    items = tuple(
        schemas.PersonOut(
            id=one.id, login=one.login, name=one.name, role=one.role, queues=one.queues, permissions=one.permissions,
            disabled=one.disabled,
        )
        for one in users
    )  # fmt: skip
    return answered(schemas.PeopleOut(items=items))


async def tail(call: Call, cursor: str, limit: int) -> schemas.AuditPage:
    """Newest first. Raises Problem: invalid."""
    if cursor and not (cursor.isdecimal() and len(cursor) < 20):
        raise Problem("invalid", "That is no cursor of ours.", field="cursor")
    before = int(cursor) if cursor else None

    def job(conn: Connection) -> list[schemas.AuditLine]:
        return [
            schemas.AuditLine(
                chain=leaf["chain"], number=leaf["seq"], at=from_micros(leaf["at"]), event=leaf["event"],
                facts=dict(leaf["facts"]),
            )
            for leaf in audit.read(conn, before=before, limit=limit)
        ]  # fmt: skip

    items = tuple(await call.desk.db.read(job))
    following = ""
    if len(items) == limit:
        following = str(int(items[-1].at.timestamp() * 1_000_000))
    return schemas.AuditPage(items=items, next=following)


async def audit_tail(request: web.Request, call: Call) -> web.StreamResponse:
    cursor, limit = paging(request)
    return answered(await tail(call, cursor, limit))


REVIEW_API: Final = (
    Route(
        method="GET",
        path="/api/held",
        do=Do.SEE_HELD,
        handler=held,
        summary="Held messages, oldest first; facts only",
        answer=schemas.HeldPage,
        paged=True,
    ),
    Route(
        method="GET",
        path="/api/held/{id}",
        do=Do.SEE_HELD,
        handler=held_one,
        summary="One held message; facts only",
        answer=schemas.HeldOut,
    ),
    Route(
        method="POST",
        path="/api/held/{id}/release",
        do=Do.DECIDE_HELD,
        handler=release,
        summary="Ask the inspector to let it through the checks again",
        body=schemas.Release,
        answer=schemas.Made,
        status=202,
        once=True,
    ),
    Route(
        method="POST",
        path="/api/held/{id}/reject",
        do=Do.DECIDE_HELD,
        handler=reject,
        summary="Ask the inspector to destroy it",
        body=schemas.Reject,
        answer=schemas.Made,
        status=202,
        once=True,
    ),
    Route(
        method="GET",
        path="/api/people",
        do=Do.SEE_PEOPLE,
        handler=people,
        summary="Who may sign in",
        answer=schemas.PeopleOut,
    ),
    Route(
        method="GET",
        path="/api/audit",
        do=Do.SEE_AUDIT,
        handler=audit_tail,
        summary="The newest events of the audit",
        answer=schemas.AuditPage,
        paged=True,
    ),
)

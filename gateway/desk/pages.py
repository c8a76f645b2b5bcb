"""The console's pages: server-rendered, complete without scripts; forms answer with a redirect.

Rule: a handler reads, asks `gateway.desk.acting` to do, and renders. It decides nothing.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from gateway.desk import acting, presenting, sessions
from gateway.desk.access import Do, Thing, allowed
from gateway.desk.assets import PREFIX, assets
from gateway.desk.context import Call, Route
from gateway.desk.guard import FORM
from gateway.desk.idempotency import once_for_form
from gateway.desk.problems import Problem
from gateway.desk.rendering import bare, framed
from gateway.desk.texts import chosen, languages
from gateway.states import Talk
from gateway.store.reading import View
from keys.secret import Secret

VIEWS: Final = {
    "mine": (Talk.CLAIMED,), "open": (Talk.OPEN, Talk.CLAIMED), "closed": (Talk.CLOSED,), "all": tuple(Talk),
}  # fmt: skip


def see_other(where: str) -> web.Response:
    return web.Response(status=303, headers={"Location": where})


async def home(request: web.Request, call: Call) -> web.StreamResponse:
    if allowed(call.actor, Do.READ):
        return see_other("/queue/open")
    return see_other("/held" if allowed(call.actor, Do.SEE_HELD) else "/settings")


async def door(request: web.Request, call: Call) -> web.StreamResponse:
    if call.user is not None:
        return see_other("/")
    notes = {"expired": "sign_in.expired", "out": "sign_in.signed_out"}
    note = notes.get(request.query.get("why", ""))
    return _door(call, note=call.texts.t(note) if note else "")


def _door(call: Call, *, status: int = 200, wrong: str = "", note: str = "", name: str = "") -> web.Response:
    return bare(
        "door.html", call.texts, call.desk, status=status, csrf=sessions.form_token(call.desk, call.token), wrong=wrong,
        note=note, name=name,
    )  # fmt: skip


async def enter(request: web.Request, call: Call) -> web.StreamResponse:
    form = request[FORM]
    language = form.get("lang", "")
    texts = chosen(language, request.headers.get("Accept-Language", ""))
    name, password = form.get("name", ""), Secret(form.get("password", ""))
    call = Call(desk=call.desk, actor=call.actor, user=None, texts=texts, csrf=call.csrf, token=call.token)
    try:
        signed_in = await sessions.sign_in(request, call.desk, name, password)
    except Problem as problem:
        if problem.kind == "too-many":
            wrong = texts.t("sign_in.too_many", minutes=problem.retry_after // 60)
        elif problem.kind == "wrong-credentials":
            wrong = texts.t("sign_in.wrong")
        else:
            raise
        response = _door(call, status=problem.status, wrong=wrong, name=name[:120])
        response.headers.update(problem.headers())
        return response
    answer = see_other("/")
    sessions.set_cookie(answer, call.desk, signed_in.token)
    return answer


async def leave(request: web.Request, call: Call) -> web.StreamResponse:
    if call.token is not None:
        await sessions.sign_out(call.desk, sessions.SignedIn(call.me, call.token))
    answer = see_other("/sign-in?why=out")
    sessions.drop_cookie(answer, call.desk)
    return answer


async def leave_everywhere(request: web.Request, call: Call) -> web.StreamResponse:
    await call.desk.people.end_sessions(call.me.id)
    answer = see_other("/sign-in?why=out")
    sessions.drop_cookie(answer, call.desk)
    return answer


# --- the queue


def _place(request: web.Request, call: Call) -> tuple[str, str, View]:
    here = request.match_info["view"]
    if here not in VIEWS:
        raise Problem("not-found")
    team = request.query.get("team", "")
    if team and not allowed(call.actor, Do.READ, Thing(queue=team)):
        raise Problem("not-found")
    queues = (team,) if team else acting.queues_of(call)
    return here, team, View(queues=queues, states=VIEWS[here], mine=call.me.id if here == "mine" else None)


async def _list(request: web.Request, call: Call) -> tuple[str, str, dict[str, Any]]:
    here, team, view = _place(request, call)
    try:
        rows, following = await call.desk.reading.page(view, request.query.get("cursor", ""), presenting.PAGE)
    except ValueError:
        raise Problem("not-found") from None
    names = await names_of(call, presenting.who_is_named([row.conversation for row in rows], (), ()))
    more = ""
    if following:
        more = f"/queue/{here}?cursor={quote(following)}" + (f"&team={quote(team)}" if team else "")
    lines = [presenting.line(row, here, team, names, call) for row in rows]
    return here, team, {"lines": lines, "more": more}


async def names_of(call: Call, people: set[str]) -> dict[str, str]:
    names = {call.me.id: call.me.name}
    for person in people - {call.me.id}:
        names[person] = await acting.name_of(call, person)
    return names


async def queue(request: web.Request, call: Call) -> web.StreamResponse:
    here, team, listed = await _list(request, call)
    return await framed("queue.html", call, here, team=team, open=None, **listed)


async def conversation(request: web.Request, call: Call) -> web.StreamResponse:
    found = await acting.opened(call, request.match_info["id"])
    here, team, listed = await _list(request, call)
    draft = await call.desk.people.draft(call.me.id, found.conversation.id)
    names = await names_of(call, presenting.who_is_named([found.conversation], found.replies, found.messages))
    words = await acting.own_words(call, found)
    shown = presenting.talk(found, draft, words, here, team, names, call)
    return await framed("queue.html", call, here, team=team, open=shown, **listed)


def _back(request: web.Request) -> web.Response:
    view, id = request.match_info["view"], request.match_info["id"]
    if view not in VIEWS:
        raise Problem("not-found")
    return see_other(f"/queue/{view}/{quote(id)}")


async def claim(request: web.Request, call: Call) -> web.StreamResponse:
    await acting.claim(call, request.match_info["id"])
    return _back(request)


async def give_back(request: web.Request, call: Call) -> web.StreamResponse:
    await acting.release(call, request.match_info["id"])
    return _back(request)


async def close(request: web.Request, call: Call) -> web.StreamResponse:
    await acting.close(call, request.match_info["id"])
    view = request.match_info["view"]
    return see_other(f"/queue/{view if view in VIEWS else 'open'}")


async def reply(request: web.Request, call: Call) -> web.StreamResponse:
    """Without scripts; with them the composer uses the API. The form's key makes a double click one reply."""
    form = request[FORM]
    seen = form.get("seen", "")
    id = request.match_info["id"]
    text, key, promised = Secret(form.get("text", "")), form.get("key", ""), form.get("promised", "")
    await once_for_form(
        call, key, f"{id}\x00".encode() + text.reveal().encode("utf-8", "replace"),
        lambda: acting.reply(call, id, text, int(seen) if seen.isdecimal() and len(seen) < 16 else 0, promised, key),
    )  # fmt: skip
    return _back(request)


async def resend(request: web.Request, call: Call) -> web.StreamResponse:
    await acting.resend(call, request.match_info["id"], request[FORM].get("reply", ""))
    return _back(request)


async def reuse(request: web.Request, call: Call) -> web.StreamResponse:
    await acting.reuse(call, request.match_info["id"], request[FORM].get("reply", ""))
    return _back(request)


# --- the person's own


async def settings(request: web.Request, call: Call) -> web.StreamResponse:
    return await framed("settings.html", call, "settings", saved="saved" in request.query)


async def save_settings(request: web.Request, call: Call) -> web.StreamResponse:
    language = request[FORM].get("language", "")
    if language and language not in languages():
        raise Problem("invalid", field="language")
    await call.desk.people.change_user(call.me.id, by=call.me.id, language=language)
    return see_other("/settings?saved")


async def static(request: web.Request, call: Call) -> web.StreamResponse:
    asset = assets().by_name.get(request.match_info["name"])
    if asset is None:
        raise Problem("not-found")
    charset = None if asset.media_type == "image/svg+xml" else "utf-8"
    return web.Response(
        body=asset.body, content_type=asset.media_type, charset=charset,
        headers={"Cache-Control": "public, max-age=31536000, immutable"},
    )  # fmt: skip


QUEUE: Final = (
    Route(method="GET", path="/", do=Do.SELF, handler=home),
    Route(method="GET", path="/sign-in", do=Do.ENTER, handler=door, quiet=True),
    Route(method="POST", path="/sign-in", do=Do.ENTER, handler=enter, quiet=True),
    Route(method="POST", path="/sign-out", do=Do.SELF, handler=leave),
    Route(method="POST", path="/sign-out-everywhere", do=Do.SELF, handler=leave_everywhere),
    Route(method="GET", path="/queue/{view}", do=Do.READ, handler=queue),
    Route(method="GET", path="/queue/{view}/{id}", do=Do.READ, handler=conversation),
    Route(method="POST", path="/queue/{view}/{id}/claim", do=Do.CLAIM, handler=claim),
    Route(method="POST", path="/queue/{view}/{id}/give-back", do=Do.RELEASE, handler=give_back),
    Route(method="POST", path="/queue/{view}/{id}/close", do=Do.CLOSE, handler=close),
    Route(method="POST", path="/queue/{view}/{id}/reply", do=Do.REPLY, handler=reply),
    Route(method="POST", path="/queue/{view}/{id}/resend", do=Do.RESEND, handler=resend),
    Route(method="POST", path="/queue/{view}/{id}/reuse", do=Do.DRAFT, handler=reuse),
    Route(method="GET", path="/settings", do=Do.SELF, handler=settings),
    Route(method="POST", path="/settings", do=Do.SELF, handler=save_settings),
    Route(method="GET", path=PREFIX + "{name}", do=Do.ENTER, handler=static, quiet=True),
)

"""What a person sees when something can't be: what happened, what is safe, what to do. Never a text from inside."""

from __future__ import annotations

from aiohttp import web

from gateway.desk import access
from gateway.desk.context import Desk
from gateway.desk.problems import Problem
from gateway.desk.rendering import bare
from gateway.desk.texts import chosen

KINDS = {
    "not-found": ("error.not_found", "error.not_found_help"),
    "wrong-method": ("error.not_found", "error.not_found_help"),
    "away": ("error.away", "error.away_help"),
    "stale-form": ("error.stale", "error.stale_help"),
    "foreign-origin": ("error.stale", "error.stale_help"),
    "too-many": ("error.too_many", ""),
    "fault": ("error.fault", "error.fault_help"),
}


def page(request: web.Request, desk: Desk, problem: Problem) -> web.StreamResponse:
    if problem.kind == "signed-out":
        why = "?why=expired" if desk.site.cookie in request.cookies else ""
        return web.Response(status=303, headers={"Location": f"/sign-in{why}"})
    texts = chosen("", request.headers.get("Accept-Language", ""))
    title, help_key = KINDS.get(problem.kind, ("error.malformed", ""))
    what, help_text = problem.detail, texts.t(help_key) if help_key else ""
    shown = texts.t(title)
    if problem.kind == "fault":
        shown, what = texts.t("error.title"), texts.t("error.fault")
    if problem.kind == "forbidden":
        who = access.who_may(access.Do(str(problem.facts.get("action", "enter"))))
        shown = texts.t("error.forbidden")
        what = texts.t("error.forbidden_who", roles=", ".join(texts.t(f"role.{role}") for role in who))
    response = bare("error.html", texts, desk, status=problem.status, title=shown, what=what, help=help_text)
    response.headers.update(problem.headers())
    return response

"""Pages from templates: jinja2, escaping on, undefined names an error.

Rule: everything a page says is in `texts/`; everything it shows of a customer came as `Sanitized` and is escaped again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from gateway import limits
from gateway.desk.access import Do, allowed
from gateway.desk.assets import assets
from gateway.desk.context import Call, Desk
from gateway.desk.masks import pieces
from gateway.desk.texts import Texts, languages
from gateway.store.reading import Counts

SCRIPT_WORDS: Final = {
    "kept": "reply.draft_kept", "unkept": "reply.draft_failed", "keeping": "reply.draft_waiting",
    "empty": "reply.empty", "sending": "reply.sending", "queued": "reply.queued", "failed": "reply.failed",
    "offline": "live.offline", "back": "live.back", "reconnecting": "live.reconnecting",
}  # fmt: skip

SHORTCUTS: Final = (
    (("J", "↓"), "next"), (("K", "↑"), "previous"), (("⏎",), "open"), (("R",), "reply"), (("⌘⏎", "Ctrl ⏎"), "send"),
    (("A",), "claim"), (("E",), "close"), (("G", "M"), "go_mine"), (("G", "O"), "go_open"), (("G", "H"), "go_held"),
    (("?",), "help"), (("Esc",), "back"),
)  # fmt: skip


@cache
def environment() -> Environment:
    env = Environment(
        loader=PackageLoader("gateway.desk"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True, auto_reload=False,
    )  # fmt: skip
    env.globals.update(asset=assets().url, iso=iso, exact=exact, pieces=pieces, max_reply=limits.REPLY_CHARACTERS)
    return env


def iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def bare(template: str, texts: Texts, desk: Desk, *, status: int = 200, **values: Any) -> web.Response:
    """A page outside the frame: sign-in, errors."""
    body = environment().get_template(template).render(
        texts=texts, t=texts.t, now=desk.clock.now(), company=desk.site.company, tongues=list(languages().values()),
        **values,
    )  # fmt: skip
    return web.Response(text=body, status=status, content_type="text/html", charset="utf-8")


async def framed(
    template: str, call: Call, here: str, *, status: int = 200, team: str = "", **values: Any
) -> web.Response:
    """A page inside the frame, with the places the person may go to."""
    desk, me = call.desk, call.me
    can = {do.name: allowed(call.actor, do) for do in Do}
    counts = Counts(open={}, claimed={}, mine=0, held=0)
    if can["READ"] or can["SEE_HELD"]:
        counts = await desk.reading.counts(me.id, tuple(sorted(call.actor.queues)) or None)
    waiting = sum(counts.open.values())
    places = (("mine", "person", counts.mine), ("open", "inbox", waiting), ("closed", "check", 0), ("all", "stack", 0))
    body = environment().get_template(template).render(
        texts=call.texts, t=call.texts.t, now=desk.clock.now(), csrf=call.csrf, me=me, can=can, counts=counts,
        places=places, here=here, team=team, teams=teams(call, counts), shortcuts=SHORTCUTS,
        words_for_scripts=words(call.texts), tongues=list(languages().values()), **values,
    )  # fmt: skip
    return web.Response(text=body, status=status, content_type="text/html", charset="utf-8")


def teams(call: Call, counts: Counts) -> list[str]:
    known = {*call.desk.site.queues, *counts.open, *counts.claimed}
    return sorted(known & call.actor.queues if call.actor.queues else known)


def words(texts: Texts) -> str:
    found: Mapping[str, str] = {name: texts.t(key) for name, key in SCRIPT_WORDS.items()}
    return json.dumps(found, ensure_ascii=False)

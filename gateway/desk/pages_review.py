"""Pages for reviewers and admins: held messages, people, the audit's tail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from gateway import audit as audit_log
from gateway.codec import BadFrame
from gateway.desk import acting, api_review, presenting, schemas, trust
from gateway.desk.access import Do, allowed
from gateway.desk.context import Call, Route
from gateway.desk.guard import FORM
from gateway.desk.pages import see_other
from gateway.desk.problems import Problem
from gateway.desk.rendering import framed
from gateway.held import HeldSight, open_sight
from gateway.ids import from_micros
from gateway.requests import Reason, Verb
from gateway.rules import Code
from gateway.store.spool import HeldRow
from keys.errors import KeysError

REASONS: Final = tuple(reason.value for reason in Reason if reason is not Reason.IN_DOUBT)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldLine:
    id: str
    what: str
    mailbox: str
    layer: str
    held_at: datetime
    expires: str
    asked: str


@dataclass(frozen=True, slots=True)
class FindingShown:
    code: str
    plain: str
    waivable: bool


@dataclass(frozen=True, slots=True)
class FactShown:
    text: str
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditShown:
    line: schemas.AuditLine
    facts: Mapping[str, FactShown]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    id: str
    title: str
    mailbox: str
    expires: str
    findings: tuple[FindingShown, ...]
    facts: tuple[tuple[str, str, datetime | None], ...]
    trust: tuple[trust.Item, ...]
    asked: str


def _sentence(text: str) -> str:
    """The first sentence, for a list."""
    return text.partition(". ")[0].rstrip(".")


def _what(row: HeldRow, call: Call) -> str:
    first = next(iter(row.decision.findings), None)
    if first is None:
        return call.texts.t("held.one")
    return _sentence(call.texts.finding(first.rule.code, first.rule.plain or first.rule.code))


def _layer(row: HeldRow, call: Call) -> str:
    name = row.decision.layer.lower() or "gateway"
    return call.texts.t(f"layer.{name}") if call.texts.has(f"layer.{name}") else row.decision.layer


async def _lines(request: web.Request, call: Call) -> dict[str, Any]:
    try:
        rows, following = await call.desk.reading.held(
            acting.queues_of(call), request.query.get("cursor", ""), presenting.PAGE
        )
    except ValueError:
        raise Problem("not-found") from None
    now = call.desk.clock.now()
    lines = [
        HeldLine(
            id=row.id, what=_what(row, call), mailbox=row.mailbox, layer=_layer(row, call),
            held_at=from_micros(row.held_at), expires=call.texts.until(from_micros(row.expires_at), now),
            asked=call.texts.t("held.pending") if await api_review.asked(call, row.id) else "",
        )
        for row in rows
    ]  # fmt: skip
    return {"lines": lines, "more": f"/held?cursor={quote(following)}" if following else "", "reasons": REASONS}


def _sight(row: HeldRow, call: Call) -> HeldSight | None:
    """Who wrote and how it came, for reviewers who may read customers; others decide by the findings alone."""
    if row.for_desk is None or not allowed(call.actor, Do.READ):
        return None
    try:
        return open_sight(call.desk.atrest, row.id, row.for_desk)
    except (KeysError, BadFrame):
        return None


async def held_list(request: web.Request, call: Call) -> web.StreamResponse:
    return await framed("held.html", call, "held", case=None, **await _lines(request, call))


async def held_case(request: web.Request, call: Call) -> web.StreamResponse:
    row = await acting.held(call, request.match_info["id"])
    texts, sight = call.texts, _sight(row, call)
    facts: list[tuple[str, str, datetime | None]] = []
    if sight is not None:
        facts += [(texts.t("held.sender"), sight.author, None), (texts.t("held.subject"), sight.subject, None)]
    facts += [
        (texts.t("held.received"), "", from_micros(row.received_at)),
        (texts.t("held.since"), "", from_micros(row.held_at)),
        (texts.t("held.mailbox"), row.mailbox, None),
        (texts.t("held.channel"), presenting.channel(row.channel, texts), None),
        (texts.t("held.layer"), _layer(row, call), None),
        (texts.t("held.size"), presenting.size(row.octets, texts), None),
        (texts.t("held.attempts"), texts.number(row.attempts), None),
        (texts.t("held.expires"), "", from_micros(row.expires_at)),
    ]
    case = Case(
        id=row.id, title=_what(row, call), mailbox=row.mailbox,
        expires=texts.until(from_micros(row.expires_at), call.desk.clock.now()),
        findings=tuple(
            FindingShown(
                one.rule.code, texts.finding(one.rule.code, one.rule.plain), one.rule.code in acting.waivable(row)
            ) for one in row.decision.findings
        ),
        facts=tuple((label, value, at) for label, value, at in facts if value or at),
        trust=trust.strip_of(sight.trust, sight.author, texts) if sight else (),
        asked=await api_review.asked(call, row.id),
    )  # fmt: skip
    return await framed("held.html", call, "held", case=case, **await _lines(request, call))


async def _decide(request: web.Request, call: Call, verb: Verb) -> web.StreamResponse:
    form = request[FORM]
    if form.get("reason", "") not in REASONS:
        raise Problem("invalid", call.texts.t("held.choose_reason"), field="reason")
    waived = tuple(Code(code) for code in form.get("waive", "").split())
    id = request.match_info["id"]
    await acting.decide(call, id, verb, Reason(form["reason"]), waived)
    return see_other(f"/held/{quote(id)}")


async def release(request: web.Request, call: Call) -> web.StreamResponse:
    return await _decide(request, call, Verb.RELEASE)


async def reject(request: web.Request, call: Call) -> web.StreamResponse:
    return await _decide(request, call, Verb.REJECT)


async def people(request: web.Request, call: Call) -> web.StreamResponse:
    return await framed("people.html", call, "people", people=await call.desk.people.users())


async def audit(request: web.Request, call: Call) -> web.StreamResponse:
    page = await api_review.tail(call, request.query.get("cursor", ""), 50)
    more = f"/audit?cursor={quote(page.next)}" if page.next else ""
    lines = [
        AuditShown(line, {name: _fact(name, value, call) for name, value in line.facts.items()}) for line in page.items
    ]
    return await framed("audit.html", call, "audit", lines=lines, more=more)


def _fact(name: str, value: str | int | bool | list[str], call: Call) -> FactShown:
    if audit_log.FACTS.get(name) is audit_log.Kind.TIME and isinstance(value, int):
        return FactShown("", from_micros(value))
    if isinstance(value, bool):
        return FactShown(call.texts.t("audit.yes" if value else "audit.no"))
    if isinstance(value, list):
        return FactShown(", ".join(value) or "–")
    return FactShown(str(value))


REVIEW: Final = (
    Route(method="GET", path="/held", do=Do.SEE_HELD, handler=held_list),
    Route(method="GET", path="/held/{id}", do=Do.SEE_HELD, handler=held_case),
    Route(method="POST", path="/held/{id}/release", do=Do.DECIDE_HELD, handler=release),
    Route(method="POST", path="/held/{id}/reject", do=Do.DECIDE_HELD, handler=reject),
    Route(method="GET", path="/people", do=Do.SEE_PEOPLE, handler=people),
    Route(method="GET", path="/audit", do=Do.SEE_AUDIT, handler=audit),
)

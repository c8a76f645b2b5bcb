"""Problems: what the desk answers when it can't (RFC 9457, problem+json).

Rules: `type` is a fixed token that programs branch on; `detail` is a sentence of ours; `field` names the input that is
wrong, by its path. Nothing of the input is ever repeated.
"""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

MEDIA_TYPE: Final = "application/problem+json"

TITLES: Final = {
    "malformed": (400, "The request can't be read"),
    "invalid": (422, "A field is wrong"),
    "signed-out": (401, "Sign in first"),
    "wrong-credentials": (401, "Name or password is wrong"),
    "forbidden": (403, "You may not do this"),
    "foreign-origin": (403, "The request came from another site"),
    "stale-form": (403, "The form is too old"),
    "not-found": (404, "There is no such thing"),
    "wrong-method": (405, "This can't be done here"),
    "wrong-type": (415, "The body must be JSON"),
    "conflict": (409, "Somebody was faster"),
    "claimed": (409, "Somebody else has claimed it"),
    "blocked": (409, "A reply can't leave as things stand"),
    "other-request": (422, "This idempotency key belongs to another request"),
    "no-key": (400, "An Idempotency-Key is needed"),
    "too-large": (413, "The request is too large"),
    "too-many": (429, "Too many attempts"),
    "misdirected": (421, "This host isn't served here"),
    "away": (503, "The store is away"),
    "fault": (500, "Something is wrong on our side"),
}


class Problem(Exception):
    """Ends a request. `kind` is a key of TITLES."""

    def __init__(
        self, kind: str, detail: str = "", *, field: str = "", retry_after: int = 0, **facts: str | int
    ) -> None:
        super().__init__(kind)
        self.kind, self.detail, self.field, self.retry_after, self.facts = kind, detail, field, retry_after, facts

    @property
    def status(self) -> int:
        return TITLES[self.kind][0]

    def document(self) -> dict[str, Any]:
        status, title = TITLES[self.kind]
        body: dict[str, Any] = {"type": f"urn:vestibule:{self.kind}", "title": title, "status": status}
        if self.detail:
            body["detail"] = self.detail
        if self.field:
            body["field"] = self.field
        return body | self.facts

    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(self.retry_after)} if self.retry_after else {}


def of_status(status: int) -> Problem:
    """For what aiohttp itself refuses."""
    kinds = {404: "not-found", 405: "wrong-method", 413: "too-large", 400: "malformed", 415: "wrong-type"}
    return Problem(kinds.get(status, "malformed" if status < 500 else "fault"))


def wants_problem(request: web.Request) -> bool:
    """Programs get problem+json, people get a page."""
    return request.path.startswith("/api/")

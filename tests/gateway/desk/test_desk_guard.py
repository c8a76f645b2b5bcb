"""The way to a handler: hosts, headers, sessions, origins, tokens, roles, sizes. H1–H3, H6, H8, H12–H15."""

from __future__ import annotations

import asyncio
import re

import pytest
from aiohttp import web
from desk_client import Visitor
from desk_seed import FORGED, Office, letter
from yarl import URL

from gateway import limits
from gateway.desk.access import Do, Role, allowed
from gateway.desk.application import ROUTES, application
from gateway.desk.listening import bind, runner
from gateway.desk.sessions import actor
from gateway.store import schema

NEEDED = {
    "content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy", "cache-control",
    "cross-origin-opener-policy", "cross-origin-resource-policy", "cross-origin-embedder-policy", "permissions-policy",
}  # fmt: skip


async def raw(office: Office, data: bytes, seconds: float = 3.0) -> bytes:
    host, _, port = office.base.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(data)
    await writer.drain()
    try:
        async with asyncio.timeout(seconds):
            return await reader.read()
    except TimeoutError:
        return b"(open)"
    finally:
        writer.close()


async def test_every_answer_bears_the_security_headers(lite: Office, enter) -> None:
    visitor = await enter(lite, "ann")
    static = re.search(r'src="(/static/[^"]+)"', await visitor.page("/queue/open"))
    assert static is not None
    for path in ("/sign-in", "/queue/open", "/api/me", "/nowhere", "/api/nowhere", "/people", static[1]):
        async with visitor.http.get(path, allow_redirects=False) as answer:
            assert {name.lower() for name in answer.headers} >= NEEDED, path
            assert "Server" not in answer.headers
            csp = answer.headers["Content-Security-Policy"]
            for part in ("default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'",
                         "require-trusted-types-for 'script'", "trusted-types 'none'"):  # fmt: skip
                assert part in csp
            assert "unsafe" not in csp
            assert "http" not in csp
            immutable = path.startswith("/static/")
            assert ("immutable" if immutable else "no-store") in answer.headers["Cache-Control"], path


@pytest.mark.parametrize(
    "host", [b"evil.example", b"127.0.0.1", b"localhost:1", b"LOCALHOST.evil:%d", b"", b"127.0.0.1:%d\r\nHost: evil"]
)
async def test_another_host_is_not_served_here(lite: Office, host: bytes) -> None:
    port = int(lite.base.rpartition(":")[2])
    host = host.replace(b"%d", str(port).encode())
    answer = await raw(lite, b"GET /sign-in HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] in (b"421", b"400"), answer[:40]
    assert b"<form" not in answer


async def test_an_absolute_uri_or_forwarded_header_changes_nothing(lite: Office) -> None:
    host = lite.base.removeprefix("http://").encode()
    answer = await raw(
        lite, b"GET http://evil.example/sign-in HTTP/1.1\r\nHost: " + host + b"\r\nX-Forwarded-Host: evil.example\r\n"
        b"X-Forwarded-For: 1.2.3.4\r\nForwarded: host=evil.example\r\nConnection: close\r\n\r\n",
    )  # fmt: skip
    assert b"evil.example" not in answer


@pytest.mark.parametrize(
    "path",
    ["/static/../access.py", "/static/..%2faccess.py", "/static/%2e%2e/access.py", "/static//etc/passwd",
     "/static/desk.css", "/static/....//x", "/static/%00", "/static/\\..\\x"],
)  # fmt: skip
async def test_no_path_reaches_the_file_system(lite: Office, path: str) -> None:
    host = lite.base.removeprefix("http://")
    answer = await raw(lite, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.split(b" ")[1] in (b"404", b"400", b"303")


@pytest.mark.parametrize(
    "request_",
    [
        b"POST /sign-in HTTP/1.1\r\nHost: %h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: %h\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcde",
        b"POST /sign-in HTTP/1.1\r\nHost: %h\r\nContent-Length: +5\r\n\r\nabcde",
        b"POST /sign-in HTTP/1.1\r\nHost: %h\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        b"POST /sign-in HTTP/1.1\r\nHost: %h\r\nTransfer-Encoding: chunked\r\n\r\nZ\r\n\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost : %h\r\n\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost: %h\r\n X-Folded: a\r\n\r\n",
        b"GET /sign-in HTTP/9.9\r\nHost: %h\r\n\r\n",
        b"G@T /sign-in HTTP/1.1\r\nHost: %h\r\n\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost: %h\r\n" + b"X-A: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET /sign-in HTTP/1.1\r\nHost: %h\r\n" + b"X-A: a\r\n" * (limits.DESK_HEADERS + 1) + b"\r\n",
    ],
)
async def test_a_request_with_two_readings_is_refused_and_the_connection_closed(lite: Office, request_: bytes) -> None:
    answer = await raw(lite, request_.replace(b"%h", lite.base.removeprefix("http://").encode()))
    assert answer.split(b" ")[1].startswith(b"4"), answer[:60]
    assert answer.split(b"\r\n")[0].count(b"HTTP/1.") == 1
    assert b"sign-in" not in answer
    assert b"aiohttp" not in answer


async def test_slow_headers_do_not_hold_a_socket(lite: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "DESK_HEADER_SECONDS", 1.0)
    second = runner(application(lite.desk))
    await second.setup()
    socket = bind("127.0.0.1", 0)
    await web.SockSite(second, socket).start()
    reader, writer = await asyncio.open_connection(*socket.getsockname())
    writer.write(b"GET /sign-in HTTP/1.1\r\n")
    started = asyncio.get_running_loop().time()
    async with asyncio.timeout(5):
        while True:
            try:
                async with asyncio.timeout(0.2):
                    if await reader.read(1) == b"":
                        break
            except TimeoutError:
                writer.write(b"X: y\r\n")
            except ConnectionError:
                break
    assert asyncio.get_running_loop().time() - started < 3
    await second.cleanup()


async def test_a_body_beyond_the_limit_is_refused_unread(lite: Office, enter) -> None:
    ann = await enter(lite, "ann")
    filed = await lite.message(letter())
    path = f"/api/conversations/{filed.conversation}/draft"
    status, _ = await ann.send("PUT", path, b'{"text": "' + b"a" * limits.REQUEST_BODY_BYTES + b'"}')
    assert status == 413
    status, problem = await ann.send("PUT", path, {"text": "a" * (limits.REPLY_CHARACTERS + 1)})
    assert (status, problem["field"]) == (422, "text")
    status, _ = await ann.send("PUT", path, b"a=b", **{"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 415


# --- sessions


async def test_the_cookie_is_hardened_and_new_at_each_sign_in(lite: Office, enter) -> None:
    visitor: Visitor = await enter(lite)
    answer = await visitor.sign_in("ann")
    cookie = answer.headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path=/" in cookie
    assert cookie.startswith("vestibule=")
    first = visitor.http.cookie_jar.filter_cookies(URL(lite.base))["vestibule"].value
    door = await visitor.get("/sign-in")
    assert door[0] == 303
    other: Visitor = await enter(lite)
    other.http.cookie_jar.update_cookies({"vestibule": first})
    assert (await other.get("/api/me"))[0] == 200
    await other.form("/sign-out", {"csrf": visitor.token})
    assert (await visitor.get("/api/me"))[0] == 401


async def test_over_tls_the_cookie_is_host_bound_and_hsts_is_sent(lite: Office, enter) -> None:
    from gateway.desk.role import site

    config = replace_desk(lite, public_url="https://desk.acme.example")
    found = site(config, 8443)
    assert found.cookie == "__Host-vestibule"
    assert found.secure
    assert "desk.acme.example" in found.hosts
    assert "https://desk.acme.example" in found.origins
    assert "http://desk.acme.example" not in found.origins


def replace_desk(office: Office, **changes: object):  # type: ignore[no-untyped-def]
    import msgspec

    return msgspec.structs.replace(office.config, desk=msgspec.structs.replace(office.config.desk, **changes))


async def test_a_planted_session_is_not_taken_over(lite: Office, enter) -> None:
    visitor: Visitor = await enter(lite)
    planted = "A" * 43
    visitor.http.cookie_jar.update_cookies({"vestibule": planted})
    door = await visitor.page("/sign-in")
    visitor.token = re.findall(r'name="csrf" value="([0-9a-f]+)"', door)[0]
    answer = await visitor.form("/sign-in", {"name": "ann", "password": "a long walk by the sea"})
    # the form token is bound to no session that exists, so the planted cookie gains nothing either way
    cookies = visitor.http.cookie_jar.filter_cookies(URL(lite.base))
    assert answer.status == 303
    assert cookies["vestibule"].value != planted


async def test_signing_out_everywhere_ends_every_session(lite: Office, enter) -> None:
    here, there = await enter(lite, "ann"), await enter(lite, "ann")
    assert (await here.form("/sign-out-everywhere", {})).status == 303
    assert (await here.get("/api/me"))[0] == 401
    assert (await there.get("/api/me"))[0] == 401


async def test_a_changed_role_or_a_disabled_account_ends_sessions_at_once(lite: Office, enter) -> None:
    ann, sam = await enter(lite, "ann"), await enter(lite, "sam")
    await lite.people.change_user(lite.ids["sam"], by="test", role="agent")
    assert (await sam.get("/api/held"))[0] == 401
    await lite.people.change_user(lite.ids["ann"], by="test", disabled=True)
    assert (await ann.get("/api/me"))[0] == 401
    assert (await (await enter(lite)).sign_in("ann")).status == 401


async def test_live_updates_do_not_keep_a_session_alive(lite: Office, enter) -> None:
    ann: Visitor = await enter(lite, "ann")

    async def seen() -> int:
        value = await lite.desk.db.read(lambda conn: conn.execute(schema.sessions.select()).mappings().one())
        return int(value["seen_at"])

    def back(conn) -> None:  # type: ignore[no-untyped-def]
        conn.execute(schema.sessions.update().values(seen_at=schema.sessions.c.seen_at - 120_000_000))

    await lite.desk.db.write(back)
    before = await seen()
    assert (await ann.get("/queue/open", **{"X-Live": "1"}))[0] == 200
    assert await seen() == before
    assert (await ann.get("/queue/open"))[0] == 200
    assert await seen() > before

    def idle(conn) -> None:  # type: ignore[no-untyped-def]
        gone = int(limits.SESSION_IDLE_SECONDS * 1_000_000) + 1_000_000
        conn.execute(schema.sessions.update().values(seen_at=schema.sessions.c.seen_at - gone))

    await lite.desk.db.write(idle)
    status, _ = await ann.get("/queue/open", **{"X-Live": "1"})
    assert status == 303
    assert (await ann.get("/api/me"))[0] == 401


async def test_wrong_names_and_wrong_passwords_look_the_same_and_are_limited(lite: Office, enter) -> None:
    answers = set()
    for name in ("ann", "nobody-of-that-name"):
        visitor: Visitor = await enter(lite)
        answer = await visitor.sign_in(name, "wrong wrong wrong wrong")
        text = re.sub(r'value="[^"]*"|autofocus', "", await answer.text())
        answers.add((answer.status, re.sub(r"\s+", " ", text)))
    assert len(answers) == 1
    visitor = await enter(lite)
    statuses = [
        (await visitor.sign_in("ann", "wrong wrong wrong wrong")).status for _ in range(limits.SIGN_IN_ATTEMPTS)
    ]
    assert statuses[-1] == 429
    good = await visitor.sign_in("ann")
    assert good.status == 429
    assert int(good.headers["Retry-After"]) > 0
    assert (await (await enter(lite)).sign_in("sam")).status == 303


# --- where a request comes from


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Sec-Fetch-Site": "cross-site"},
     {"Sec-Fetch-Site": "same-site"}, {}],
)  # fmt: skip
async def test_a_request_from_elsewhere_changes_nothing(lite: Office, enter, headers: dict[str, str]) -> None:
    ann: Visitor = await enter(lite, "ann")
    filed = await lite.message(letter())
    ann.origin = {}
    for path in (f"/api/conversations/{filed.conversation}/claim",):
        status, problem = await ann.send("POST", path, **headers)
        assert (status, problem["type"]) == (403, "urn:vestibule:foreign-origin")
    answer = await ann.form(f"/queue/open/{filed.conversation}/claim", {}, **headers)
    assert answer.status == 403


async def test_without_the_sessions_own_form_token_nothing_changes(lite: Office, enter) -> None:
    ann, sam = await enter(lite, "ann"), await enter(lite, "sam")
    filed = await lite.message(letter())
    path = f"/api/conversations/{filed.conversation}/claim"
    for wrong in (sam.token, "", "0" * 64, "ü"):
        ann_token, ann.token = ann.token, wrong
        if wrong != "ü":
            assert (await ann.send("POST", path))[0] == 403
        assert (await ann.form(f"/queue/open/{filed.conversation}/claim", {})).status == 403
        ann.token = ann_token
    assert (await ann.send("POST", path))[0] == 200


# --- every route against every role


async def test_every_route_answers_every_role_as_the_table_says(lite: Office, enter) -> None:
    filed = await lite.message(letter())
    held = await lite.hold(FORGED)
    visitors = {None: await enter(lite)}
    for login in ("ann", "sam", "ada"):
        visitors[login] = await enter(lite, login)  # type: ignore[index]
    for route in ROUTES:
        if route.path in ("/sign-out", "/sign-out-everywhere", "/api/events"):
            continue
        id = held if "held" in route.path else filed.conversation
        path = (
            route.path.replace("{id}", id).replace("{view}", "open").replace("{name}", "none").replace("{reply}", "x")
        )
        for login, visitor in visitors.items():
            if route.do is Do.ENTER and route.unsafe:
                continue
            if route.path.startswith("/api/") or not route.unsafe:
                status, _ = await status_of(visitor, route.method, path)
            else:
                status = (await visitor.form(path, {"key": "a-key-for-a-form", "text": "x"})).status
            user = await lite.people.by_login(login) if login else None
            may = allowed(actor(user), route.do)
            if user is None and route.do is not Do.ENTER:
                assert status == (401 if route.path.startswith("/api/") else 303), (route.path, login, status)
            elif may:
                assert status not in (401, 403), (route.path, login, status)
            else:
                assert status == 403, (route.path, login, status)


async def status_of(visitor: Visitor, method: str, path: str) -> tuple[int, str]:
    headers = {**visitor.origin, "X-CSRF-Token": visitor.token, "Content-Type": "application/json",
               "Idempotency-Key": "a-key-for-" + path[-12:].replace("/", "-")}  # fmt: skip
    data = b"{}" if method in ("POST", "PUT") else None
    async with visitor.http.request(method, path, headers=headers, data=data, allow_redirects=False) as answer:
        return answer.status, ""


async def test_refusals_are_written_down(lite: Office, enter) -> None:
    ann: Visitor = await enter(lite, "ann")
    assert (await ann.get("/api/audit"))[0] == 403
    assert "Who may: Admin." in (await ann.get("/audit"))[1]
    ada = await enter(lite, "ada")
    tail = await ada.read("/api/audit?limit=100")
    denied = [line for line in tail["items"] if line["event"] == "access.denied"]
    assert denied[0]["facts"] == {"person": lite.ids["ann"], "permission": "audit.see"}


async def test_an_unexpected_fault_says_nothing_from_inside(lite: Office, enter, monkeypatch) -> None:
    ann: Visitor = await enter(lite, "ann")

    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the customer's secret words")

    monkeypatch.setattr(type(lite.desk.reading), "page", broken)
    for path in ("/queue/open", "/api/conversations"):
        status, text = await ann.get(path)
        assert status == 500
        assert "secret" not in text
        assert "Runtime" not in text


def test_roles_are_those_that_people_can_be_given() -> None:
    from gateway.cli.user import ROLES as CLI_ROLES

    assert {role.value for role in Role} == set(CLI_ROLES)

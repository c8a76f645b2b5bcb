"""Signing in, staying signed in, and signing out.

Rules:
1. The cookie is 256 random bits; the store has its SHA-256. Every sign-in makes a new one and ends the one before.
2. Idle for 15 minutes or older than 12 hours: over (limits). A changed role or password, or a disabled account, ends
   all sessions at once (`People.change_user`).
3. Attempts are counted before the password is looked at, per account and per address; a wrong name takes as long and
   says the same as a wrong password.
4. The form token is an HMAC over the session's token: it can't be had from another site and dies with the session.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from gateway import limits
from gateway.audit import Event
from gateway.desk.access import NOBODY, Actor, Role
from gateway.desk.context import Desk
from gateway.desk.problems import Problem
from gateway.desk.queries import glance
from gateway.store.people import User
from keys.secret import Secret

TOKEN_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SignedIn:
    user: User
    token: Secret[str]


def cookie_token(request: web.Request, desk: Desk) -> Secret[str] | None:
    value = request.cookies.get(desk.site.cookie, "")
    return Secret(value) if 40 <= len(value) <= 64 and value.isascii() else None


async def find(request: web.Request, desk: Desk, *, quiet: bool) -> SignedIn | None:
    """Who this is. `quiet` looks without counting it as activity: live updates must not keep a session alive."""
    token = cookie_token(request, desk)
    if token is None:
        return None
    session = await (glance(desk.db, token, desk.clock) if quiet else desk.people.session(token))
    return SignedIn(session.user, token) if session else None


def actor(user: User | None) -> Actor:
    if user is None or user.disabled:
        return NOBODY
    role = next((role for role in Role if role.value == user.role), None)
    return Actor(person=user.id, role=role, queues=frozenset(user.queues), permissions=frozenset(user.permissions))


def form_token(desk: Desk, token: Secret[str] | None) -> str:
    """For forms and scripts of this session; before a sign-in, of this site."""
    of = b"door" if token is None else token.reveal().encode()
    return hmac.digest(desk.session_key.reveal(), b"form\x00" + of, "sha256").hex()


def form_token_fits(desk: Desk, token: Secret[str] | None, given: str) -> bool:
    return hmac.compare_digest(form_token(desk, token).encode(), given.encode("utf-8", "replace"))


async def sign_in(request: web.Request, desk: Desk, login: str, password: Secret[str]) -> SignedIn:
    """Raises Problem: wrong-credentials, too-many."""
    login = login.strip().casefold()[:120]
    peer = request.remote or "unknown"
    account = _count_key(desk, "account", login)
    tries = await desk.attempts.count(account)
    from_there = await desk.attempts.count(_count_key(desk, "address", peer))
    if tries > limits.SIGN_IN_ATTEMPTS or from_there > limits.SIGN_IN_ATTEMPTS_PER_PEER:
        await desk.recorder.write(Event.SIGN_IN_LIMITED, peer=peer)
        raise Problem("too-many", retry_after=int(limits.SIGN_IN_WINDOW_SECONDS))
    user = await desk.people.by_login(login)
    usable = user is not None and not user.disabled
    good = await desk.passwords.check(user.password if user and usable else None, password)
    if not good or user is None:
        facts = {"person": user.id} if user else {}
        await desk.recorder.write(Event.SIGN_IN_FAILED, peer=peer, **facts)
        raise Problem("wrong-credentials")
    before = cookie_token(request, desk)
    if before is not None:
        await desk.people.end_session(before)
    token = Secret(secrets.token_urlsafe(TOKEN_BYTES))
    await desk.people.start_session(user.id, token)
    await desk.attempts.clear(account)
    await desk.recorder.write(Event.SIGNED_IN, person=user.id, peer=peer)
    return SignedIn(user, token)


async def sign_out(desk: Desk, signed_in: SignedIn) -> None:
    await desk.people.end_session(signed_in.token)
    await desk.recorder.write(Event.SIGNED_OUT, person=signed_in.user.id)


def set_cookie(response: web.StreamResponse, desk: Desk, token: Secret[str]) -> None:
    response.set_cookie(
        desk.site.cookie, token.reveal(), path="/", httponly=True, secure=desk.site.secure, samesite="Strict",
        max_age=int(limits.SESSION_ABSOLUTE_SECONDS),
    )  # fmt: skip


def drop_cookie(response: web.StreamResponse, desk: Desk) -> None:
    response.del_cookie(desk.site.cookie, path="/", httponly=True, secure=desk.site.secure, samesite="Strict")


def _count_key(desk: Desk, kind: str, value: str) -> bytes:
    message = f"{kind}\x00{value}".encode("utf-8", "surrogatepass")
    return hmac.digest(desk.session_key.reveal(), hashlib.sha256(message).digest(), "sha256")

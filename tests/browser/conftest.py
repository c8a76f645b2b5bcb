"""A real browser in front of a real desk."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from desk_seed import CLEAR, FORGED, PASSWORD, TAMPERED, Office, letter
from playwright.async_api import Browser, Page, async_playwright

from gateway.sanitized import SafeAttachment, SafeText

CHROMIUM = Path(os.environ.get("VESTIBULE_CHROMIUM", "/usr/bin/chromium"))
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
SHOTS = Path(__file__).parent.parent / "shots"


@pytest.fixture
async def office(sqlite_url: str, tmp_path: Path) -> AsyncIterator[Office]:
    opened = await Office.open(tmp_path, sqlite_url)
    await opened.staff()
    yield opened
    await opened.close()


@pytest.fixture
async def busy(office: Office) -> Office:
    """With the mail of a morning in it; `office.ids["alice"]` is alice's conversation."""
    for number in range(12):
        content = letter(
            "When will it arrive?", author=f"c{number}@example.net", name=f"Customer {number}",
            subject=f"Delivery {number}", trust=CLEAR,
        )  # fmt: skip
        await office.message(content, queue="billing" if number % 3 else "support", protect="clear", why="mailbox")
    blocked = await office.message(
        letter("I wrote this encrypted.", author="bob@example.net", name="Bob Whitfield", subject="Change of address"),
        protect="blocked", why="came-encrypted-no-certificate",
    )  # fmt: skip
    alice = await office.message(
        letter(
            "Hello,\n\nmy card [card ···· 1111] was charged twice for order 5521, once on Monday and once on Tuesday. "
            "Could you please return one of the two payments to [IBAN ···· 1332]?\n\nKind regards,\nAlice",
            redactions={"card": 2, "iban": 1},
            attachments=(
                SafeAttachment(
                    name=SafeText("invoice.pdf"), media_type="application/pdf", octets=48_213, text=None, reason="type"
                ),
                SafeAttachment(
                    name=SafeText("notes.txt"), media_type="text/plain", octets=1_213,
                    text=SafeText("Order 5521\nPaid with [card ···· 1111]"),
                ),
            ),
        )
    )  # fmt: skip
    office.ids |= {"alice": alice.conversation, "blocked": blocked.conversation}
    office.ids["held"] = await office.hold(FORGED, TAMPERED)
    await office.hold(TAMPERED, queue="billing")
    return office


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    if not CHROMIUM.exists():
        pytest.skip("no Chromium here; set VESTIBULE_CHROMIUM")
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield started
        await started.close()


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Callable[..., Awaitable[Page]]]:
    """`await visit(office, "ann", "/queue/open", color_scheme="dark", …)`: a page of a browser of its own. It fails the
    test at its end if anything went to the console, was thrown, or asked for something outside."""
    troubles: list[str] = []

    async def open_(office: Office, login: str = "", path: str = "/", **more: Any) -> Page:
        more.setdefault("viewport", {"width": 1440, "height": 900})
        context = await browser.new_context(base_url=office.base, **more)
        page = await context.new_page()
        page.set_default_timeout(8_000)
        page.on("pageerror", lambda error: troubles.append(f"thrown: {error}"))
        page.on("console", lambda line: troubles.append(f"{line.type}: {line.text}") if line.type == "error" else None)
        page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
        context.on(
            "request",
            lambda one: None if one.url.startswith((office.base, "data:")) else troubles.append(f"outside: {one.url}"),
        )
        page.troubles = troubles  # type: ignore[attr-defined]
        if login:
            await page.goto("/sign-in")
            await page.fill("#name", login)
            await page.fill("#password", PASSWORD)
            await page.press("#password", "Enter")
            await page.wait_for_url(lambda url: "/sign-in" not in url)
        if not login or path != "/":
            await page.goto(path)
        return page

    yield open_
    assert troubles == []

"""People at the console, in Chromium: reading, replying, reviewing, by keyboard, live, and in a bad connection."""

from __future__ import annotations

import asyncio

import pytest
from desk_seed import Office, letter
from playwright.async_api import expect
from sqlalchemy import select

from gateway.codec import unpack
from gateway.requests import HeldRequest, ReplyRequest, reply_binding, request_binding
from gateway.store import schema
from keys.box import PublicKeys, Purpose
from keys.keyring import BoxKeys, senders
from keys.unbox import open_box

pytestmark = pytest.mark.browser


async def only_box(office: Office, table, purpose: Purpose, binding, kind):  # type: ignore[no-untyped-def]
    rows = await office.inspector.read(lambda conn: conn.execute(select(table.c.id, table.c.box)).all())
    assert len(rows) == 1
    keys = office.folder / "keys"
    opened = open_box(
        rows[0].box, binding=binding(rows[0].id), keys=BoxKeys(keys, purpose),
        senders=senders(PublicKeys(keys / "public"), purpose),
    )  # fmt: skip
    return unpack(kind, opened.payload.reveal())


async def test_an_agent_signs_in_reads_and_replies(busy: Office, visit) -> None:
    page = await visit(busy, "ann")
    await page.get_by_role("link", name="Alice Moreno").click()
    await expect(page.get_by_role("heading", name="Refund for order 5521")).to_be_visible()
    await expect(page.locator(".mask").first).to_contain_text("card ···· 1111")
    fact = page.get_by_role("button", name="Signed by alice@example.org")
    await fact.focus()
    await expect(page.get_by_role("tooltip").filter(has_text="its key is known to belong")).to_be_visible()
    await expect(page.locator(".composer .how")).to_have_text("Encrypted and signed, to alice@example.org")
    await page.keyboard.press("r")
    await page.keyboard.type("Dear Alice,\nboth payments were found; one is on its way back.\nAnn")
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("button", name="Being checked and sealed")).to_be_visible()
    await expect(page.locator("#reply")).to_have_value("")
    request = await only_box(busy, schema.replies, Purpose.REPLY, reply_binding, ReplyRequest)
    assert request.text.reveal().startswith("Dear Alice,\nboth payments")
    assert (request.author, request.seen) == (busy.ids["ann"], 1)
    # the inspector files the copy: it appears by itself
    await busy.sent(busy.ids["alice"], request.id, busy.ids["ann"], "Dear Alice, one is on its way back.")
    await expect(page.locator("article.out .words")).to_have_text("Dear Alice, one is on its way back.")


async def test_a_reviewer_releases_a_held_message_with_a_reason(busy: Office, visit) -> None:
    page = await visit(busy, "sam", "/held")
    await page.get_by_role("link", name="The sender's domain says").click()
    await expect(page.get_by_role("heading", name="What was found")).to_be_visible()
    await page.get_by_label("Waive").first.check()
    await page.locator("#why-release").select_option("confirmed-elsewhere")
    await page.get_by_role("button", name="Release").click()
    await expect(page.get_by_role("status").filter(has_text="Release is asked for")).to_be_visible()
    request = await only_box(busy, schema.requests, Purpose.REQUEST, request_binding, HeldRequest)
    assert (request.held, request.verb, request.reason) == (busy.ids["held"], "release", "confirmed-elsewhere")
    assert request.waived == ("sender.forged",)


async def test_everything_works_by_keyboard_and_focus_is_seen(busy: Office, visit) -> None:
    page = await visit(busy, "sam")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await expect(page.locator("a.row").nth(1)).to_be_focused()
    outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    await page.keyboard.press("k")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Refund for order 5521")).to_be_visible()
    await page.keyboard.press("?")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    await page.keyboard.press("a")
    await expect(page.locator(".bar .under")).to_contain_text("Yours until")
    await page.keyboard.press("r")
    await expect(page.locator("#reply")).to_be_focused()
    await page.keyboard.type("j?a")
    await expect(page.locator("#reply")).to_have_value("j?a")
    await page.keyboard.press("Escape")
    await expect(page.locator("#reply")).not_to_be_focused()
    await page.keyboard.press("g")
    await page.keyboard.press("h")
    await page.wait_for_url("**/held")
    await page.keyboard.press("g")
    await page.keyboard.press("m")
    await expect(page.locator("a.row")).to_have_count(1)


async def test_every_control_is_reached_by_tab_and_has_a_name(busy: Office, visit) -> None:
    page = await visit(busy, "sam", f"/queue/open/{busy.ids['alice']}")
    names = set()
    for _ in range(80):
        await page.keyboard.press("Tab")
        name = await page.evaluate(
            "(e => e.ariaLabel || e.innerText || e.labels?.[0]?.innerText || e.title || '')(document.activeElement)"
        )
        assert name.strip()
        names.add(name.strip().split("\n")[0])
        if name.startswith("Send"):
            break
    assert {"Mine", "Held", "Claim", "Close", "TLS 1.3", "Encrypted", "card ···· 1111", "Your reply"} <= names


async def test_a_blocked_reply_says_why_and_what_would_help(busy: Office, visit) -> None:
    page = await visit(busy, "ann", f"/queue/open/{busy.ids['blocked']}")
    await expect(page.locator(".composer")).to_contain_text("This conversation is encrypted")
    await expect(page.locator(".composer")).to_contain_text("Ask an admin to import")
    await expect(page.locator("#reply")).to_have_count(0)
    # the inspector learns a key: writing becomes possible by itself
    await busy.queue.set_protection(busy.ids["blocked"], "sealed", "certificate")
    await expect(page.locator("#reply")).to_be_visible()


async def test_a_typed_reply_is_never_lost(busy: Office, visit) -> None:
    page = await visit(busy, "ann", f"/queue/open/{busy.ids['alice']}")
    await page.locator("#reply").fill("A half-written thought")
    await expect(page.locator("[data-say]")).to_have_text("Draft kept")
    await page.reload()
    await expect(page.locator("#reply")).to_have_value("A half-written thought")
    # while somebody types, what arrives doesn't touch the field
    await page.locator("#reply").focus()
    await page.keyboard.press("Control+End")
    await page.keyboard.type(", and more")
    await busy.message(letter("Still there?", author="carla@example.net", name="Carla"))
    await expect(page.locator("a.row").filter(has_text="Carla")).to_be_visible()
    assert (await page.locator("#reply").input_value()).endswith(", and more")
    await expect(page.locator("#reply")).to_be_focused()


async def test_offline_is_said_and_sending_waits_for_a_person(busy: Office, visit) -> None:
    page = await visit(busy, "ann", f"/queue/open/{busy.ids['alice']}")
    await page.context.set_offline(True)
    await expect(page.locator("[data-banner]")).to_contain_text("You are offline")
    await page.locator("#reply").fill("Written in a tunnel")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("[data-say]")).to_contain_text("didn't go out")
    await expect(page.locator("#reply")).to_have_value("Written in a tunnel")
    await page.context.set_offline(False)
    await expect(page.locator("[data-banner]")).to_be_hidden(timeout=15_000)
    await page.locator("#reply").focus()
    await page.keyboard.press("Control+Enter")
    await expect(page.get_by_role("button", name="Being checked and sealed")).to_be_visible()
    page.troubles[:] = [one for one in page.troubles if "ERR_INTERNET_DISCONNECTED" not in one]


async def test_the_list_does_not_move_under_the_pointer_and_nothing_shifts(busy: Office, visit) -> None:
    page = await visit(busy, "ann", f"/queue/open/{busy.ids['alice']}")
    await page.evaluate(
        "() => { window.shifts = 0; new PerformanceObserver(list => { for (const one of list.getEntries())"
        " window.shifts += one.value; }).observe({ type: 'layout-shift', buffered: false }); }"
    )
    third = page.locator("a.row").nth(2)
    text = await third.inner_text()
    await third.hover()
    await busy.message(letter("New here", author="dora@example.net", name="Dora"))
    await expect(page.get_by_role("button", name="New messages: show")).to_be_visible()
    assert (await page.locator("a.row").nth(2).inner_text()).split("\n")[0] == text.split("\n")[0]
    await page.get_by_role("button", name="New messages: show").click()
    await expect(page.locator("a.row").first).to_contain_text("Dora")
    await page.mouse.move(900, 500)
    await busy.message(letter("And me", author="emil@example.net", name="Emil"))
    await expect(page.locator("a.row").filter(has_text="Emil")).to_be_visible()
    await asyncio.sleep(0.2)
    assert await page.evaluate("window.shifts") < 0.1


async def test_without_scripts_the_console_still_works(busy: Office, visit) -> None:
    page = await visit(busy, "ann", f"/queue/open/{busy.ids['alice']}", java_script_enabled=False)
    await page.fill("#reply", "Plain and simple")
    await page.click("form[data-compose] button[type=submit]")
    request = await only_box(busy, schema.replies, Purpose.REPLY, reply_binding, ReplyRequest)
    assert request.text.reveal() == "Plain and simple"
    await page.get_by_role("button", name="Close").first.click()
    await page.wait_for_url("**/queue/open")


async def test_a_narrow_screen_shows_one_pane_and_leads_back(busy: Office, visit) -> None:
    page = await visit(busy, "ann", viewport={"width": 390, "height": 844}, has_touch=True)
    await expect(page.locator(".list")).to_be_visible()
    await page.get_by_role("link", name="Alice Moreno").click()
    await expect(page.locator(".list")).to_be_hidden()
    await expect(page.locator("#reply")).to_be_visible()
    await page.get_by_role("link", name="Back").click()
    await expect(page.locator(".list")).to_be_visible()
    wide = await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not wide


async def test_a_session_that_ended_leads_to_the_door_with_a_word(busy: Office, visit) -> None:
    page = await visit(busy, "ann")
    await busy.people.end_sessions(busy.ids["ann"])
    await page.locator("a.row").first.click()
    await page.wait_for_url("**/sign-in?why=expired")
    page.troubles[:] = [one for one in page.troubles if "401" not in one]
    await expect(page.get_by_role("status")).to_contain_text("nothing happened for a while")

"""Each page, in light and dark, wide and narrow, in both languages: axe finds nothing, and a person can look at it."""

from __future__ import annotations

import pytest
from axe_playwright_python.async_playwright import Axe
from conftest import SHOTS
from desk_seed import Office
from playwright.async_api import Page

pytestmark = pytest.mark.browser

PAGES = {
    "door": ("", "/sign-in"),
    "queue": ("sam", "/queue/open"),
    "empty": ("ann", "/queue/mine"),
    "talk": ("sam", "/queue/open/{alice}"),
    "blocked": ("ann", "/queue/open/{blocked}"),
    "held": ("sam", "/held"),
    "case": ("sam", "/held/{held}"),
    "people": ("ada", "/people"),
    "audit": ("ada", "/audit"),
    "settings": ("ann", "/settings"),
    "forbidden": ("ann", "/people"),
    "nothing": ("ann", "/nowhere"),
}
LOOKS = {
    "light": {},
    "dark": {"color_scheme": "dark"},
    "narrow": {"viewport": {"width": 390, "height": 844}},
    "zoom": {"viewport": {"width": 720, "height": 450}, "device_scale_factor": 2},
    "spanish": {"locale": "es-ES"},
}
COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "color-contrast-enhanced"]}}
WITH_AXE = ("light", "dark", "narrow")
"""Dark differs from light in its colours alone, the others in size and words alone."""
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_fits_and_axe_finds_nothing(busy: Office, visit, look: str) -> None:
    SHOTS.mkdir(exist_ok=True)
    pages: dict[str, Page] = {}
    found: list[str] = []
    for name, (login, path) in PAGES.items():
        path = path.format(**busy.ids)
        if login not in pages:
            pages[login] = await visit(busy, login, path, **LOOKS[look])
        else:
            await pages[login].goto(path)
        page = pages[login]
        await page.wait_for_load_state("load")
        await page.screenshot(path=SHOTS / f"{name}-{look}.png")
        sideways = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert sideways <= 0, (name, look)
        if look not in WITH_AXE:
            continue
        results = await Axe().run(page, options=COLOURS if look == "dark" else RULES)
        found += [
            f"{name}: {one['id']} {node['target']} {node['failureSummary'][:200]}"
            for one in results.response["violations"]
            for node in one["nodes"]
        ]
    page = next(iter(pages.values()))
    page.troubles[:] = [one for one in page.troubles if "403" not in one and "404" not in one]  # type: ignore[attr-defined]
    assert found == [], "\n".join(found)


async def test_the_page_speaks_the_persons_language(busy: Office, visit) -> None:
    page = await visit(busy, "ann", "/queue/open", locale="es-ES")
    assert await page.evaluate("document.documentElement.lang") == "es"
    await page.goto("/settings")
    await page.select_option("#language", "en")
    await page.get_by_role("button", name="Guardar").click()
    await page.get_by_role("status").filter(has_text="Saved").wait_for()
    assert await page.evaluate("document.documentElement.lang") == "en"


async def test_motion_is_reduced_on_request(busy: Office, visit) -> None:
    page = await visit(busy, "ann", f"/queue/open/{busy.ids['alice']}", reduced_motion="reduce")
    moving = await page.evaluate(
        "[...document.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0).length"
    )
    assert moving == 0

"""Whatever stands in any field that a customer fills: no script runs, nothing is fetched, nothing breaks out (H7)."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from desk_seed import CLEAR, Office, letter
from testdata import email_suite

from gateway.sanitized import SafeAttachment, SafeText, Sanitized, Trust, TrustFinding, TrustSignature

pytestmark = pytest.mark.browser

NAUGHTY = (
    "<script>window.pwned=1</script>", "'\"><img src=x onerror=window.pwned=1>",
    "</title><script>window.pwned=1</script>",
    "</textarea><script>window.pwned=1</script>", "javascript:window.pwned=1", "{{7*7}}${7*7}<%=7*7%>#{7*7}",
    "<svg onload=window.pwned=1>", "<iframe src=//evil.example>", "<base href=//evil.example>",
    "<form id=desk><input name=querySelector>", "<a id=content name=documentElement>", "&lt;script&gt;&amp;#x3c;",
    "\u202egpj.exe", "\u2028\u2029\ufeff\u200b", "Ω≈ç√∫˜µ≤≥÷", "田中さんにあげて下さい", "ﷺ" * 20, "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮",
    "A" * 3000, "<style>*{display:none}</style>", "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<link rel=stylesheet href=//evil.example/x.css>", "<math><mtext><table><mglyph><style><!--</style>",
    "\"'`;--", "../../etc/passwd", "%00%0d%0aSet-Cookie:x=1", "[card ···· 1111]", "-->]]>", "\\u003cscript\\u003e",
)  # fmt: skip


LOOK = """() => ({
    scripts: document.scripts.length, frames: frames.length,
    base: document.querySelectorAll('base, meta[http-equiv]').length,
    handlers: [...document.querySelectorAll('*')].filter(e => [...e.attributes].some(a => /^on/i.test(a.name))).length,
    inside: document.querySelectorAll('.words *:not(.fact, .fact *)').length,
    texts: [...document.querySelectorAll('.message > .words')].map(e => e.textContent),
    wide: document.documentElement.scrollWidth > innerWidth, pwned: window.pwned ?? null,
})"""


def hostile(payload: str, author: str, before: str = "") -> Sanitized:
    """A message with the payload in each of its fields."""
    safe = SafeText(payload)
    trust = Trust(
        tls=payload[:40], encrypted=payload[:20], subject_encrypted=False,
        signatures=(TrustSignature(status="verified", fingerprint=payload[:64], signer=safe, covers="all"),),
        spf=payload[:20], dkim="pass", dmarc="pass", authenticated_domain=safe,
        findings=(TrustFinding(code=payload[:30], action="accept", layer="x", plain=payload),),
    )  # fmt: skip
    attachment = SafeAttachment(name=safe, media_type=payload[:40], octets=1, text=safe)
    content = letter(payload, author=author, name=payload, subject=payload, trust=trust, attachments=(attachment,))
    return replace(content, references=(SafeText(before),) if before else ())


async def look_at(office: Office, visit, groups: list[list[str]]) -> None:
    ids = []
    for number, payloads in enumerate(groups):
        before, conversation = "", ""
        for payload in payloads:
            content = hostile(payload, f"x{number}@example.net", before)
            conversation, before = (await office.message(content)).conversation, content.message_id
        ids.append(conversation)
    page = await visit(office, "ann")
    for id, payloads in zip(ids, groups, strict=True):
        await page.goto(f"/queue/open/{id}")
        state = await page.evaluate(LOOK)
        assert state.pop("texts") == [payload.strip("\n") for payload in payloads]
        assert state == {
            "scripts": 1, "frames": 0, "base": 0, "handlers": 0, "inside": 0, "wide": False, "pwned": None,
        }, payloads  # fmt: skip
    # and by swapping, as clicks and live updates do
    for row in range(min(5, len(ids))):
        await page.locator("a.row").nth(row).click()
        await page.wait_for_url("**/queue/open/*")
    assert await page.evaluate("window.pwned ?? null") is None


async def test_naughty_strings_in_every_field_stay_text(office: Office, visit) -> None:
    await look_at(office, visit, [[payload] for payload in NAUGHTY])


async def test_the_payloads_of_a_sanitizers_own_suite_stay_text(office: Office, visit) -> None:
    cases = json.loads((email_suite("html-dompurify-a") / "cases.json").read_text())
    payloads = [re.sub(r"\r\n?", "\n", case["payload"]).replace("\x00", "") for case in cases]
    payloads = [payload for payload in payloads if payload.strip() and len(payload) < 20_000]
    assert len(payloads) > 100
    await look_at(office, visit, [payloads[start : start + 8] for start in range(0, len(payloads), 8)])


async def test_an_injected_script_is_refused_by_the_page_itself(office: Office, visit) -> None:
    """Were a page ever to let markup through, the policy would still hold."""
    filed = await office.message(letter("Hello", trust=CLEAR))
    page = await visit(office, "ann", f"/queue/open/{filed.conversation}")
    result = await page.evaluate(
        """() => {
            const tries = {};
            const attempt = (name, act) => {
                try { act(); tries[name] = 'done'; } catch (error) { tries[name] = error.name; }
            };
            attempt('html', () => { document.body.innerHTML += '<b>x</b>'; });
            attempt('script', () => { const one = document.createElement('script'); one.text = 'window.pwned=1';
                                      document.body.append(one); });
            attempt('policy', () => { trustedTypes.createPolicy('x', { createHTML: text => text }); });
            return { tries, pwned: window.pwned ?? null };
        }"""
    )
    assert result == {
        "tries": {"html": "TypeError", "script": "TypeError", "policy": "TypeError"}, "pwned": None,
    }  # fmt: skip
    page.troubles.clear()

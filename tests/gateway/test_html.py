"""HTML to text: what a reader sees, and nothing that acts."""

from __future__ import annotations

import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from letters import corpus
from selectolax.lexbor import LexborHTMLParser

from gateway.html import to_text
from gateway.links import destination
from gateway.opened import Active
from gateway.reading import TooMuch


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>Hello <b>world</b></p>", "Hello world"),
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("<div>one</div><div>two</div>", "one\ntwo"),
        ("one<br>two<br/>three", "one\ntwo\nthree"),
        ("<ul><li>one<li>two</ul>", "- one\n- two"),
        ("<p>4111 <span>1111</span>&nbsp;<i>1111</i> 11<b>11</b></p>", "4111 1111\xa01111 1111"),
        ("41<b>11</b>11<!-- x -->11", "41111111"),
        ("<table><tr><td>4111</td><td>1111</td></tr><tr><td>x</td></tr></table>", "4111 1111\nx"),
        ("<blockquote>said<blockquote>before</blockquote></blockquote>now", "> said\n>\n> > before\n\nnow"),
        ("<pre>a  b\n c</pre>", "a  b\n c"),
        ("a &amp; b &lt; c &eacute;&#241;", "a & b < c éñ"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "‹script>alert(1)‹/script>"),
        ('<a href="https://shop.example/x?y=1">Order</a>', "Order [→ shop.example]"),
        ('<a href="https://www.shop.example/">shop.example</a>', "shop.example"),
        (
            '<a href="https://evil.example/">https://bank.example/login</a>',
            "https://bank.example/login [→ evil.example]",
        ),
        ('<a href="https://bank.example@evil.example/">x</a>', "x [→ evil.example]"),
        ('<a href="https://раypal.example/">x</a>', "x [→ xn--ypal-43d9g.example]"),
        ('<a href="mailto:bob@example.net?subject=x">write</a>', "write [→ bob@example.net]"),
        ('<a href="java\tscript:alert(1)">x</a>', "x"),
        ('<a href="#top">x</a>', "x"),
        ('<img src="cid:1" alt="A cat">', "[image: A cat]"),
        ("<title>t</title><style>p{}</style><script>x</script>y", "y"),
        ('<p>seen</p><p style="display : none">unseen</p>', "seen"),
        ("<svg><text>drawn</text></svg>plain", "plain"),
        ("<textarea><img src=x onerror=alert(1)></textarea>", "‹img src=x onerror=alert(1)>"),
        ("", ""),
    ],
)
def test_what_a_reader_sees(html: str, text: str) -> None:
    assert to_text(html).text == text


@pytest.mark.parametrize(
    "style",
    ["display:none", "DISPLAY: NONE !important", "visibility:hidden", "font-size:0", "font-size: 0px;", "opacity:0",
     "max-height:0;overflow:hidden", "mso-hide:all", "position:absolute; left:-9999px", "text-indent:-5000px"],
)  # fmt: skip
def test_hidden_text_is_left_out_and_told(style: str) -> None:
    rendered = to_text(f'a<div style="{style}">b<p>c</p></div>d')
    assert rendered.text == "ad"  # as a reader sees it; and a number can't be split by it
    assert rendered.hidden


def test_a_newsletters_padding_is_no_hidden_text() -> None:
    assert not to_text('x<div style="display:none">&zwnj;&nbsp;&#847; </div>').hidden
    assert not to_text('<p style="font-size:0.9em;opacity:0.5;left:-5px">x</p>').hidden
    assert not to_text("<head><title>t</title><style>x</style></head><script>y</script>").hidden


@pytest.mark.parametrize(
    ("html", "active"),
    [
        ("<script>x</script>", Active.SCRIPT),
        ("<svg><script>x</script></svg>", Active.SCRIPT),
        ("<form action=/x><input></form>", Active.FORM),
        ("<iframe src=//x></iframe>", Active.FRAME),
        ("<object data=x></object>", Active.OBJECT),
        ("<b ONCLICK=x>y</b>", Active.EVENT_HANDLER),
        ("<div style=display:none><b onclick=x>y</b></div>", Active.EVENT_HANDLER),
        ("<a href=' java&#10;script:x'>y</a>", Active.SCRIPT_LINK),
        ("<a href='data:text/html,x'>y</a>", Active.SCRIPT_LINK),
        ("<img src=http://track.example/1.gif>", Active.REMOTE_CONTENT),
        ("<table background=//x/y>", Active.REMOTE_CONTENT),
        ("<p style='background:url(http://x)'>y</p>", Active.REMOTE_CONTENT),
        ("<link rel=stylesheet href=http://x>", Active.REMOTE_CONTENT),
        ("<meta http-equiv=refresh content='0;url=x'>", Active.META_REFRESH),
    ],
)
def test_what_would_act_is_told(html: str, active: Active) -> None:
    assert active in to_text(html).active


def test_an_ordinary_page_is_not_active() -> None:
    assert to_text('<p style="color:red">x <a href="https://x.example">y</a><img src="cid:1"></p>').active == ()


def test_the_header_repeated_for_old_readers_is_left_out_when_asked() -> None:
    html = '<div class="header-protection-legacy-display"><pre>Subject: s</pre></div><p>x</p>'
    assert to_text(html, legacy_display=True).text == "x"
    assert "Subject" in to_text(html).text


@pytest.mark.parametrize(
    ("html", "reason"),
    [
        ("<div>" * 200_000, "html-tags"),
        ("<div>" * 5_000, "html-depth"),
        ("<b><i>" * 5_000, "html-depth"),
        ("x" * 2_000_000, "html-size"),
        ("<a " + " ".join(f"a{n}=1" for n in range(100_000)) + ">", "html-attributes"),
        ("<a " + "b " * 100_000 + ">", "html-attributes"),
        ("<a" * 300_000, "html-tags"),
        ("<" * 1_000_000, "html-tags"),
        ("<!--" * 200_000, "html-tags"),
        ('<a x="' * 100_000, "html-tags"),
        ("<" + "a" * 500_000 + ">", "html-attributes"),
    ],
)
def test_hostile_documents_are_refused_in_no_time(html: str, reason: str) -> None:
    start = time.process_time()
    with pytest.raises(TooMuch) as caught:
        to_text(html)
    assert time.process_time() - start < 0.5
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "html",
    [
        "<p>" * 19_000,
        "<table><tr>" + "<td>" * 19_000,
        "<div>" * 510 + "x",
        ("<a " + " ".join(f"a{n}" for n in range(490)) + ">x</a>") * 300,
        "<b><i><u>" * 100 + "<p>" * 19_000,
        "<blockquote>x" * 500,
        "<table>" * 500 + "x" * 100_000,
        "<select>" + "<option>" * 19_000,
        "&amp;" * 200_000,
        " " * 1_000_000,
        "<p style='" + "a:b;" * 200_000 + "'>",
        "<img alt='" + "x" * 1_000_000 + "'>",
        "<a href='//" + "x" * 1_000_000 + "'>y</a>",
        "<a>" + "<a href=//x>" * 500 + "y",
    ],
)
def test_the_largest_documents_that_are_read_take_little_time(html: str) -> None:
    start = time.process_time()
    to_text(html)
    assert time.process_time() - start < 2


def test_nothing_of_dompurifys_payloads_survives_as_markup() -> None:
    for case in json.loads((corpus("html-dompurify-a") / "cases.json").read_text()):
        text = to_text(case["payload"]).text
        tags = {node.tag for node in LexborHTMLParser(text).root.traverse()}
        assert tags <= {"html", "head", "body"}, case["payload"]


@given(
    st.text(max_size=500), st.lists(st.sampled_from(["<div>", "</div>", "<a href='", "'>", "<!--", "<b", "&#", "</"]))
)
def test_no_text_breaks_it_or_leaves_a_tag(text: str, pieces: list[str]) -> None:
    html = text.join(pieces) if pieces else text
    assert re.search(r"<[A-Za-z/!?]", to_text(html).text) is None


@given(st.text(max_size=300))
def test_no_link_breaks_the_host(href: str) -> None:
    assert "\n" not in destination(href, "x")
    destination("https://" + href, "x")

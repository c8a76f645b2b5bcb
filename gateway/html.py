"""HTML to text: what a reader would see, as plain lines, and what the document would do if it were let.

Rules:
1. Size, tags, depth and attributes are counted in linear time before the parser (lexbor) sees the document: it is
   quadratic in depth and in the attributes of one element. What passes a limit raises `TooMuch`.
2. Nothing is fetched, run, or kept as markup: the result holds no "<" that a parser would take for a tag.
3. Links show where they lead: "text [→ host]". Hidden text is left out and noted; so is everything active.
4. Inline elements join without a blank, so that a number split by tags is whole again for the recognizers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from selectolax.lexbor import LexborHTMLParser, LexborNode

from gateway import limits
from gateway.fields import one_line
from gateway.links import destination
from gateway.opened import Active
from gateway.reading import TooMuch


@dataclass(frozen=True, slots=True)
class Rendered:
    """`hidden`: there was text that a reader would not see."""

    text: str
    active: tuple[Active, ...]
    hidden: bool


_TAG: Final = re.compile(r"<(/?)([A-Za-z][^\s/>]*)([^>]*)")
_ATTRIBUTE: Final = re.compile(r"""[^\s"'>/=]+(?:\s*+=\s*+(?:"[^"]*"|'[^']*'|[^\s>"']*))?""")
_CLOSES_ITSELF: Final = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
    "p", "li", "td", "th", "tr", "dt", "dd", "option", "tbody", "thead", "tfoot", "html", "head", "body",
})  # fmt: skip

_DROPPED: Final = frozenset({
    "head", "script", "style", "template", "noscript", "iframe", "frame", "frameset", "noframes", "object", "embed",
    "applet", "noembed", "title", "svg", "math", "audio", "video", "canvas", "select", "datalist",
})  # fmt: skip
_BLOCKS: Final = frozenset({
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dir", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "html",
    "li", "main", "menu", "nav", "ol", "p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul",
})  # fmt: skip
_SPACED: Final = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "pre", "ul", "ol", "dl", "table"})
_ACTIVE_TAGS: Final = {
    "script": Active.SCRIPT, "iframe": Active.FRAME, "frame": Active.FRAME, "frameset": Active.FRAME,
    "object": Active.OBJECT, "embed": Active.OBJECT, "applet": Active.OBJECT, "form": Active.FORM,
    "input": Active.FORM, "button": Active.FORM, "textarea": Active.FORM, "select": Active.FORM,
}  # fmt: skip
_ADDRESSED: Final = ("href", "src", "action", "formaction", "data", "xlink:href", "background", "poster", "srcset",
                     "lowsrc", "dynsrc", "code", "codebase", "cite", "longdesc", "usemap", "manifest", "from", "to",
                     "values", "srcdoc")  # fmt: skip
_LOADED: Final = frozenset({"src", "background", "poster", "srcset", "lowsrc", "dynsrc", "data", "code", "codebase"})
_SCRIPTED: Final = re.compile(r"(?:javascript|vbscript|livescript|mocha|data:(?:text/(?!plain)|image/svg|application))")
_REMOTE: Final = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)
_JUNK: Final = re.compile(r"[\x00-\x20\x7f-\x9f]+")
_INVISIBLE: Final = re.compile(
    r"display:none|visibility:(?:hidden|collapse)|mso-hide:all|font-size:0(?:\.0*)?(?:px|pt|em|rem|%)?(?:;|!|$)"
    r"|opacity:0(?:\.0*)?(?:;|!|$)|(?:max-height|max-width):0(?:px|em)?(?:;|!|$)"
    r"|(?:left|top|text-indent|margin-left):-\d{3,}"
)
_PADDING: Final = "\u200c\u200b\u034f\u00ad\u2007\ufeff\xa0 \t\r\n"  # what newsletters fill previews with
_BLANKS: Final = re.compile(r"[ \t\n\r\f]+")
_EMPTY_LINES: Final = re.compile(r"\n{3,}")
_OPENS_TAG: Final = re.compile(r"<(?=[A-Za-z/!?])")
_LEGACY: Final = "header-protection-legacy-display"


def to_text(html: str, *, legacy_display: bool = False) -> Rendered:
    """`legacy_display`: also leave out what RFC 9788, section 4.10, repeats of the header. Raises TooMuch."""
    _measure(html)
    body = LexborHTMLParser(html).root
    if body is None:
        return Rendered("", (), hidden=False)
    return _Writer(legacy_display).write(body)


def _measure(html: str) -> None:
    if len(html) > limits.HTML_BYTES:
        raise TooMuch("html-size")
    if html.count("<") > limits.HTML_TAGS * 2:
        raise TooMuch("html-tags")
    depth = deepest = tags = attributes = 0
    opened: dict[str, int] = {}
    for tag in _TAG.finditer(html):
        tags += 1
        name = tag[2].lower()
        if len(name) > limits.HTML_NAME:
            raise TooMuch("html-attributes")
        if len(tag[3]) > 400:
            here = sum(1 for _ in _ATTRIBUTE.finditer(tag[3]))
            attributes += here
            if here > limits.HTML_TAG_ATTRIBUTES or attributes > limits.HTML_ATTRIBUTES:
                raise TooMuch("html-attributes")
        if name in _CLOSES_ITSELF:
            continue
        if not tag[1]:
            opened[name] = opened.get(name, 0) + 1
            depth += 1
            deepest = max(deepest, depth)
        elif opened.get(name):
            opened[name] -= 1
            depth -= 1
    if tags > limits.HTML_TAGS:
        raise TooMuch("html-tags")
    if deepest > limits.HTML_DEPTH:
        raise TooMuch("html-depth")


def _events(root: LexborNode) -> Iterator[tuple[bool, LexborNode]]:
    """Opening (True) and closing of every node, in order, without recursion. (Nodes are never compared: selectolax
    compares them by their HTML.)"""
    node, depth = root, 0
    while True:
        yield True, node
        child = node.first_child
        if child is not None:
            node, depth = child, depth + 1
            continue
        yield False, node
        after = node.next if depth else None
        while after is None:
            parent = node.parent
            if depth == 0 or parent is None:
                return
            node, depth = parent, depth - 1
            yield False, node
            after = node.next if depth else None
        node = after


class _Writer:
    def __init__(self, legacy_display: bool) -> None:
        self._legacy = legacy_display
        self._out: list[str] = []
        self._active: dict[Active, None] = {}
        self._hidden = False
        self._quoted = 0
        self._pre = 0
        self._links: list[tuple[int, str]] = []

    def write(self, root: LexborNode) -> Rendered:
        inside, noted = 0, False  # how deep in an element that isn't shown; whether its text counts as hidden
        for opening, node in _events(root):
            tag = node.tag or ""
            if tag == "-text":
                if opening:
                    self._text(node.text_content or "", hidden=bool(inside), noted=noted)
            elif tag.startswith(("-", "!", "_")):
                continue
            elif opening:
                attributes = {name.lower(): value or "" for name, value in node.attributes.items()}
                self._look(tag, attributes)
                if inside:
                    inside += 1
                elif tag in _DROPPED or self._invisible(tag, attributes):
                    inside, noted = 1, tag not in _DROPPED
                else:
                    self._open(tag, attributes)
            elif inside:
                inside -= 1
            else:
                self._close(tag)
        return Rendered(self._finished(), tuple(self._active), self._hidden)

    def _look(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in _ACTIVE_TAGS:
            self._active[_ACTIVE_TAGS[tag]] = None
        if tag == "meta" and attributes.get("http-equiv", "").strip().lower() == "refresh":
            self._active[Active.META_REFRESH] = None
        if tag in ("link", "base") and attributes.get("href"):
            self._active[Active.REMOTE_CONTENT] = None
        for name, value in attributes.items():
            if name.startswith("on") and len(name) > 2:
                self._active[Active.EVENT_HANDLER] = None
            elif name == "style":
                if "url(" in value.lower() or "@import" in value.lower():
                    self._active[Active.REMOTE_CONTENT] = None
            elif name in _ADDRESSED:
                packed = _JUNK.sub("", value).lower()
                if _SCRIPTED.match(packed) or name == "srcdoc":
                    self._active[Active.SCRIPT_LINK] = None
                elif name in _LOADED and _REMOTE.match(packed):
                    self._active[Active.REMOTE_CONTENT] = None

    def _invisible(self, tag: str, attributes: dict[str, str]) -> bool:
        if self._legacy and tag == "div" and _LEGACY in attributes.get("class", "").split():
            return True
        style = attributes.get("style", "")
        return "hidden" in attributes or (bool(style) and _INVISIBLE.search(_JUNK.sub("", style).lower()) is not None)

    def _text(self, text: str, *, hidden: bool, noted: bool) -> None:
        if hidden:
            self._hidden = self._hidden or (noted and bool(text.strip(_PADDING)))
            return
        if self._pre:
            self._out.append(text.replace("\r\n", "\n"))
            return
        text = _BLANKS.sub(" ", text)
        if text.startswith(" ") and (not self._out or self._out[-1].endswith((" ", "\n"))):
            text = text[1:]
        if text:
            self._out.append(text)

    def _line(self, breaks: int = 1) -> None:
        """At least so many line breaks stand at the end, unless nothing stands before."""
        if not self._out:
            return
        if not self._pre:
            self._out[-1] = self._out[-1].rstrip(" ")
        tail = "".join(self._out[-2:])
        have = len(tail) - len(tail.rstrip("\n"))
        if breaks > have:
            self._out.append("\n" * (breaks - have))

    def _open(self, tag: str, attributes: dict[str, str]) -> None:
        if tag == "br":
            self._out.append("\n")
        elif tag in ("td", "th"):
            if self._out and not self._out[-1].endswith(("\n", " ")):
                self._out.append(" ")
        elif tag == "img":
            alternative = one_line(attributes.get("alt", ""))[:200]
            if alternative:
                self._out.append(f"[image: {alternative}]")
        elif tag == "a":
            self._links.append((len(self._out), attributes.get("href", "")))
        elif tag in _BLOCKS:
            self._line(2 if tag in _SPACED else 1)
            if tag == "li":
                self._out.append("- ")
            elif tag == "hr":
                self._out.append("---")
            elif tag == "pre":
                self._pre += 1
            elif tag == "blockquote":
                self._quoted += 1
                self._out.append("\x01")

    def _close(self, tag: str) -> None:
        if tag == "a" and self._links:
            at, href = self._links.pop()
            shown = "".join(self._out[at:]).strip()
            lead = destination(href, shown)
            if lead:
                self._out.append(f" [→ {lead}]" if shown else f"[→ {lead}]")
        elif tag in _BLOCKS:
            if tag == "blockquote" and self._quoted:
                self._quoted -= 1
                while self._out and not self._out[-1].strip():
                    self._out.pop()
                self._out.append("\x02")
            self._line(2 if tag in _SPACED else 1)
            if tag == "pre":
                self._pre = max(0, self._pre - 1)

    def _finished(self) -> str:
        lines: list[str] = []
        depth = 0
        for line in "".join(self._out).split("\n"):
            depth += line.count("\x01")
            prefix = "> " * min(depth, 5)
            depth = max(0, depth - line.count("\x02"))
            bare = line.replace("\x01", "").replace("\x02", "").rstrip(" \t")
            lines.append((prefix + bare).rstrip())
        text = _EMPTY_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
        return _OPENS_TAG.sub("‹", text)

"""Static files and styles: from memory, under their hashes, ours alone, readable."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import gateway.desk
from gateway.desk.assets import assets
from gateway.desk.openapi import document
from gateway.desk.rendering import environment

FOLDER = Path(gateway.desk.__file__).parent
FORBIDDEN = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "parseFromString",
    "createContextualFragment", "http://", "https://", "srcdoc", 'setTimeout("',
)  # fmt: skip


def test_every_name_bears_its_own_hash_and_modules_import_hashed_names() -> None:
    found = assets()
    for name, asset in found.by_name.items():
        assert re.fullmatch(r"[a-z-]+\.[0-9a-f]{16}\.(css|js|svg)", name)
        if name.endswith(".js"):
            imports = re.findall(r'(?:from|import) "([^"]+)"', asset.body.decode())
            assert all(path.removeprefix("/static/") in found.by_name for path in imports), name


def test_no_script_makes_markup_from_text_or_fetches_from_elsewhere() -> None:
    for file in FOLDER.glob("static/*.js"):
        text = file.read_text()
        for word in FORBIDDEN:
            assert word not in text, (file.name, word)


def test_templates_hold_no_script_no_style_and_no_handler() -> None:
    for file in FOLDER.glob("templates/*.html"):
        text = file.read_text()
        assert not re.search(r"<style|\sstyle=|\son[a-z]+=|javascript:|\|safe|autoescape", text), file.name
        assert not re.search(r"<script(?![^>]*\bsrc=)", text), file.name
        assert not re.search(r"https?://(?!www\.w3\.org)", text), file.name
        environment().get_template(file.name)


def test_styles_fetch_nothing() -> None:
    for file in FOLDER.glob("static/*.css"):
        assert not re.search(r"url\(|@import|@font-face", file.read_text()), file.name


def tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block))


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def themes() -> dict[str, dict[str, str]]:
    light, _, dark = (FOLDER / "static" / "tokens.css").read_text().partition("@media (prefers-color-scheme: dark)")
    return {"light": tokens(light), "dark": tokens(light) | tokens(dark)}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_is_seven_to_one_on_every_ground_and_controls_four_and_a_half(theme: str) -> None:
    found = themes()[theme]
    grounds = ("ground", "surface", "raised", "sunken", "hover", "chosen")
    for text in ("ink", "ink-soft"):
        for ground in (*grounds, "mask-ground"):
            assert contrast(found[text], found[ground]) >= 7, (text, ground)
    for text in ("accent", "proven", "look", "stopped"):
        for ground in ("surface", "ground", "hover", "chosen"):
            assert contrast(found[text], found[ground]) >= (4.5 if ground in ("chosen", "hover") else 7), (text, ground)
    for tone in ("proven", "look", "stopped"):
        assert contrast(found[tone], found[f"{tone}-ground"]) >= 7, tone
    for accent in ("accent", "accent-strong"):
        assert contrast(found["on-accent"], found[accent]) >= 7, accent
    for ground in ("surface", "ground"):
        assert contrast(found["edge"], found[ground]) >= 3.5, ground


def test_the_openapi_document_is_valid_and_tells_of_every_api_route() -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    from gateway.desk.application import API_ROUTES

    found = document(API_ROUTES, "1.0")
    OpenAPIV31SpecValidator(found).validate()
    told = {(method.upper(), path) for path, methods in found["paths"].items() for method in methods}
    assert told == {(route.method, route.path) for route in API_ROUTES}
    ids = [one["operationId"] for methods in found["paths"].values() for one in methods.values()]
    assert len(ids) == len(set(ids))


def test_every_post_of_the_api_counts_once_and_every_answer_has_a_type() -> None:
    from gateway.desk.application import API_ROUTES

    for route in API_ROUTES:
        assert route.once == (route.method == "POST"), route.path
        assert route.summary, route.path
        assert route.answer is not None or route.status == 204 or route.stream or route.path.endswith("openapi.json")

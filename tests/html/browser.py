"""What the tests of pages ask a real browser."""

from __future__ import annotations

import shutil

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

DRAWN = """() => [...document.querySelectorAll("figure svg")].map(svg => {
    const box = svg.getBoundingClientRect();
    const paths = [...svg.querySelectorAll("path")].filter(path => {
        const own = path.getBoundingClientRect();
        return own.width + own.height > 0;
    });
    const texts = [...svg.querySelectorAll("text")].map(text => text.getBoundingClientRect());
    return {
        width: box.width, height: box.height, paths: paths.length, texts: texts.length,
        size: box.width / svg.viewBox.baseVal.width * Math.min(
            ...[...svg.querySelectorAll("text")].map(text => parseFloat(getComputedStyle(text).fontSize))),
        outside: texts.filter(text => text.left < box.left - 2 || text.right > box.right + 2).length,
    };
})"""

# Pairs of texts of one picture that overlap; turned texts are left out, whose boxes say little.
OVERLAPS = """() => [...document.querySelectorAll("figure svg")].flatMap(svg => {
    const turned = /rotate\\((?!-?0\\b)/;
    const texts = [...svg.querySelectorAll("text")].filter(text => !turned.test(text.getAttribute("transform")));
    const boxes = texts.map(text => [text.textContent, text.getBoundingClientRect()]);
    return boxes.flatMap(([one, a], place) => boxes.slice(place + 1)
        .filter(([, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2)
        .map(([other]) => `${one} | ${other}`));
})"""

# The contrast of each text with the nearest ground below it, by WCAG 2.
CONTRASTS = """() => {
    const numbers = text => (text.match(/[0-9.]+/g) || [0, 0, 0, 0]).map(Number);
    const light = ([r, g, b]) => [r, g, b].map(c => c / 255)
        .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
        .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
    const found = [];
    for (const node of document.querySelectorAll("body *")) {
        const own = [...node.childNodes].filter(c => c.nodeType === 3).map(c => c.data.trim()).join("");
        const box = node.getBoundingClientRect();
        if (!own || !box.width || !box.height || node.closest("style")) continue;
        const style = getComputedStyle(node), svg = node.closest("svg") !== null;
        let ground = [255, 255, 255], opacity = 1;
        for (let up = node; up; up = up.parentElement) opacity *= Number(getComputedStyle(up).opacity);
        for (let up = node; up; up = up.parentElement) {
            const colour = numbers(getComputedStyle(up).backgroundColor);
            if (colour.length === 3 || colour[3] > 0) { ground = colour; break; }
        }
        const colour = numbers(svg ? style.fill : style.color).slice(0, 3);
        const ink = colour.map((c, i) => opacity * c + (1 - opacity) * ground[i]);
        const [high, low] = [light(ink), light(ground)].sort((a, b) => b - a);
        found.push({text: own, svg, contrast: (high + 0.05) / (low + 0.05)});
    }
    return found;
}"""


@pytest.fixture(scope="module")
def browser():
    """Chromium, where it and playwright are installed."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no chromium, chromium-browser or google-chrome on the path")
    with api.sync_playwright() as running:
        found = running.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield found
        found.close()


@pytest.fixture
def opened(browser):
    """A page at a width in a colour scheme, and what it said and asked for."""
    pages = []

    def open_page(path, width, scheme):
        page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
        heard, asked = [], []
        page.on("console", lambda message: heard.append(message.text))
        page.on("pageerror", lambda error: heard.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        assert heard == []
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        return page

    yield open_page
    for page in pages:
        page.close()

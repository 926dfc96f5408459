"""The pages in a real browser."""

import shutil

import pytest

from simclip.face.report import write_comparison, write_report
from simclip.study.arms import planned_trials

api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the path")

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


@pytest.fixture
def page_of(make_up, tmp_path):
    """Pages of all sorts of studies, by name."""
    flickr = {"kind": "retrieval", "name": "test", "tsv": "/data/test.tsv", "image_dir": "/data/images"}

    def make(kind):
        if kind == "finished":
            return write_report(make_up(test=[flickr]).search().confirm().folder)
        if kind == "empty":
            return write_report(make_up().folder)
        if kind == "sides":
            folders = [make_up(name).search().confirm().folder for name in ("one", "two")]
            return write_comparison(folders, tmp_path / "sides.html")
        parameters = {
            "cluster_size": {"values": [4, 8, 16]},
            "proportion": {"min": 0.3, "max": 1.0},
            "learning_rate": {"min": 1e-5, "max": 1e-3, "distribution": "log_uniform_values"},
            "model": {"values": ["/models/" + "a-long-name-of-a-model" * 2, "/models/b"]},
        }
        fields = {"searcher": "random", "scheduler": "asha", "trials": 14, "confirm": None, "seeds": [1]}
        made = make_up(parameters=parameters, train={"epochs": 12}, **fields)
        for number, trial in enumerate(planned_trials(made.study)):
            epochs, outcome = ((12, "finished"), (2, "stopped"), (12, "finished"), (3, None))[number % 4]
            made.play(trial, epochs, outcome)
        made.play(trial, 1, "failed", "OSError: " + "/a/very/long/path" * 20)
        return write_report(made.folder)

    return make


@pytest.mark.parametrize("kind", ["finished", "running", "empty", "sides"])
def test_every_picture_is_drawn_and_nothing_is_wider_than_a_phone(page_of, opened, kind):
    path = page_of(kind)
    for width, scheme in ((400, "dark"), (1200, "light")):
        page = opened(path, width, scheme)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        drawn = page.evaluate(DRAWN)
        assert bool(drawn) == (kind != "empty")
        for picture in drawn:
            assert picture["width"] > 200 and picture["height"] > 50
            assert picture["paths"] > 3 and picture["texts"] > 3
            assert picture["outside"] == 0 and picture["size"] >= 8  # pixels


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(page_of, opened, scheme):
    page = opened(page_of("finished"), 1200, scheme)
    found = page.evaluate(CONTRASTS)
    assert len(found) > 300
    assert [each for each in found if each["contrast"] < (3 if each["svg"] else 4.5)] == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) > 384) == (scheme == "light")


def test_pictures_take_on_the_colour_scheme(page_of, opened):
    path = page_of("finished")
    fill = "getComputedStyle(document.querySelector('figure svg text')).fill"
    assert opened(path, 400, "light").evaluate(fill) != opened(path, 400, "dark").evaluate(fill)

"""The pages in a real browser."""

import io

import pytest
from PIL import Image

from simclip.report import write_comparison, write_report
from simclip.study.search.plan import planned_trials
from tests.html.browser import CONTRASTS, DRAWN, OVERLAPS

pytestmark = pytest.mark.slow

TEST = {"kind": "retrieval", "name": "test", "tsv": "/data/test.tsv", "image_dir": "/data/images"}


@pytest.fixture
def page_of(make_up, tmp_path):
    """Pages of all sorts of studies, by name."""

    def make(kind):
        if kind == "finished":
            return write_report(make_up(test=[TEST]).search().confirm().folder)
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


def test_columns_that_are_cut_off_can_be_seen_to_be_and_reached(make_up, opened):
    """All columns of the confirmed arms fit on a laptop; on a phone a shadow shows that there are more."""
    page = opened(write_report(make_up(test=[TEST]).search().confirm().folder), 1200, "light")
    widths = "each => [each.scrollWidth, each.clientWidth]"
    wide, room = page.eval_on_selector("#table-confirmed .scroll", widths)
    assert wide <= room
    narrow = opened(write_report(make_up("again", test=[TEST]).search().confirm().folder), 400, "light")
    table = narrow.locator("#table-confirmed .scroll")
    wide, room = table.evaluate(widths)
    assert wide > room
    edges = [_edge_colours(table, scrolled) for scrolled in (0, wide)]
    assert edges[0] == (False, True) and edges[1][1] is False
    name, frame = table.locator("tbody th").first.bounding_box(), table.bounding_box()
    assert abs(name["x"] - frame["x"]) < 2  # after scrolling to the far end


def _edge_colours(table, scrolled):
    """Whether the left and the right edge of a scrolled table are darker than its middle."""
    table.evaluate("(each, to) => { each.scrollLeft = to }", scrolled)
    picture = Image.open(io.BytesIO(table.screenshot())).convert("L")
    last = picture.height - 3  # below the text of the last row
    middle = picture.getpixel((picture.width // 2, last))
    return tuple(picture.getpixel((x, last)) < middle - 8 for x in (1, picture.width - 2))


def test_the_labels_of_an_axis_do_not_overlap(make_up, opened):
    """Values of a grid that lie close together on a log axis, and a range of five decades."""
    close = {
        "learning_rate": {"values": [1e-6, 1e-5, 1.2e-5, 1.5e-5, 2e-5, 3e-5, 1e-4]},
        "cluster_size": {"values": [4]},
    }
    wide = {"learning_rate": {"min": 1e-7, "max": 1e-2, "distribution": "log_uniform_values"}}
    wide["cluster_size"] = {"values": [4, 8]}
    train = {"proportion": 1.0}
    for name, fields in (
        ("close", {"parameters": close}),
        ("wide", {"parameters": wide, "searcher": "random", "trials": 8}),
    ):
        made = make_up(name, train=train, confirm=None, seeds=[1], **fields).search()
        page = opened(write_report(made.folder), 1200, "light")
        overlaps = page.evaluate(OVERLAPS)
        assert overlaps == []


def test_pictures_of_a_comparison_have_one_size(make_up, opened, tmp_path):
    """Also a picture that only one of the studies has."""
    one = make_up("one").search().folder
    two = make_up("two", parameters={"cluster_size": {"values": [4]}}, train={"proportion": 1.0}).search().folder
    page = opened(write_comparison([one, two], tmp_path / "sides.html"), 1200, "light")
    widths = page.eval_on_selector_all(".row .picture", "all => all.map(each => each.getBoundingClientRect().width)")
    rows = page.eval_on_selector_all(".row", "all => all.map(each => each.querySelectorAll('.picture').length)")
    assert {1, 2} <= set(rows)
    assert max(widths) - min(widths) < 1

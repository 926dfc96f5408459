"""The pages in a real browser."""

import pytest

from simclip.report import write_comparison, write_report
from simclip.study.search.plan import planned_trials
from tests.html.browser import CONTRASTS, DRAWN

pytestmark = pytest.mark.slow


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

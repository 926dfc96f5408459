import csv
import re
from html.parser import HTMLParser

import pytest

from simclip.cli.wording.verdict import sentences
from simclip.errors import InputError
from simclip.report import write_comparison, write_report
from simclip.study.analysis.confirm import confirm_trials
from simclip.study.search.plan import planned_trials
from simclip.study.store.folder import StudyFolder


class Page(HTMLParser):
    """What a browser would make of it, roughly."""

    def __init__(self, text):
        super().__init__()
        self.text, self.ids, self.links, self.tags, self._silent = "", [], [], [], 0
        self.feed(text)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        fields = dict(attrs)
        self.tags.append(tag)
        self._silent += tag == "style"
        self.ids += [fields["id"]] if "id" in fields else []
        self.links += [value for name in ("href", "src", "xlink:href") if (value := fields.get(name))]
        self.links += re.findall(r"url\(([^)]*)\)", " ".join(str(value) for value in fields.values()))

    def handle_endtag(self, tag):
        self._silent -= tag == "style"

    def handle_data(self, data):
        self.text += "" if self._silent else data


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def pictures(folder):
    return {path.stem for path in (folder.path / "report").glob("*.svg")}


def check_self_contained(page):
    assert len(page.ids) == len(set(page.ids))
    assert all(link.lstrip("#") in page.ids for link in page.links if link.startswith("#"))
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not {"script", "img", "iframe", "object"} & set(page.tags)


def test_a_finished_study_says_its_verdict_first_and_shows_every_picture(make_up):
    fields = {"cluster_size": [4, 8, 16], "proportion": [0.5, 1.0], "proportion_warmup": [False, True]}
    parameters = {name: {"values": values} for name, values in fields.items()}
    made = make_up(description="Is it <better> & by how much?", parameters=parameters).search().confirm()
    path = write_report(made.folder)
    page = read(path)
    check_self_contained(page)
    said = sentences(made.results)
    places = [page.text.index(" ".join(each.split())) for each in said]
    assert places == sorted(places) and places[-1] < page.text.index("Cluster size by proportion")
    assert page.text.index("Cluster size by proportion") < page.text.index("Arms of the search")
    assert page.text.index("Arms of the search") < page.text.index("python tune.py reproduce")
    assert "Is it <better> & by how much?" in page.text
    assert {"forest", "map-1", "map-2", "ranking", "curves-search", "curves-confirm", "gains"} < pictures(made.folder)
    assert {"over-cluster_size", "over-proportion", "over-proportion_warmup"} < pictures(made.folder)
    assert page.tags.count("svg") == len(pictures(made.folder))
    assert {each.stem for each in (made.folder.path / "report").glob("*.png")} == pictures(made.folder)
    for text in ("1000, 1001, 1002, 1003, 1004", "torch", "name: toy", "git commit"):
        assert text in page.text


def test_the_same_records_make_the_same_files(make_up):
    made = make_up().search().confirm()
    files = [write_report(made.folder), *sorted((made.folder.path / "report").iterdir())]
    before = [file.read_bytes() for file in files]
    write_report(made.folder)
    assert [file.read_bytes() for file in files] == before


def test_a_study_without_any_trial(make_up):
    made = make_up()
    page = read(write_report(made.folder))
    check_self_contained(page)
    assert "No trial has begun yet." in page.text and "svg" not in page.tags


def test_a_running_study_with_a_failed_trial(make_up):
    made = make_up()
    trials = planned_trials(made.study)
    for trial in trials[:5]:
        made.play(trial)
    made.play(trials[5], epochs=1, outcome="failed", error="OSError: no such file: <a> & 'b'")
    made.play(trials[6], epochs=2, outcome=None)
    made.play(trials[7], epochs=0, outcome=None)
    page = read(write_report(made.folder))
    check_self_contained(page)
    assert "2 trials unfinished" in page.text and f"python tune.py report {made.folder.path}" in page.text
    assert "OSError: no such file: <a> & 'b'" in page.text
    assert str(made.folder.logs / f"{trials[5].name}.log") in page.text
    assert "not confirmed yet" in page.text and "forest" not in pictures(made.folder)


def test_a_confirm_stage_that_has_only_begun(make_up):
    made = make_up().search().confirm(5)
    page = read(write_report(made.folder))
    assert "confirming" in page.text and "curves-confirm" in pictures(made.folder)


def test_looks_and_margin_are_shown(make_up):
    """Arms are crippled or the same: the first end at three seeds, the others at five."""
    made = make_up(
        gain=lambda config: -0.3 * (config.cluster_size == 8), confirm={"arms": 4, "seeds": [3, 5, 8], "margin": "3%"}
    ).search()
    while trials := [each for each in confirm_trials(made.results) if each.name not in made.results.records]:
        for trial in trials:
            made.play(trial)
    page = read(write_report(made.close().folder))
    assert "(look at 3 seeds)" in page.text and "band: within ±3.0 points, which does not matter" in page.text
    with (made.folder.path / "report" / "looks.csv").open(encoding="utf-8", newline="") as file:
        rows = [(line["seeds"], line["arm"], line["verdict"]) for line in csv.DictReader(file)]
    taken = made.results.looks.taken
    assert rows == [(str(look.seeds), name, arm.word) for look in taken for name, arm in look.arms.items()]
    assert "Looks at the confirm stage" in page.text and len(taken) > 1


def test_a_single_arm_that_minimises_a_loss(make_up):
    made = make_up(parameters={}, confirm=None, metric="val/loss", mode="min").search()
    page = read(write_report(made.folder))
    check_self_contained(page)
    assert "search only" in page.text and pictures(made.folder) == {"ranking", "curves-search", "gains"}


@pytest.mark.parametrize(
    ("gain", "word"),
    [(0.06, "better than plain fine-tuning"), (-0.06, "worse than plain fine-tuning"), (0.0, "undecided")],
)
def test_the_verdict_in_a_word(make_up, gain, word):
    made = make_up(gain=lambda config: gain * (not config.is_control)).search().confirm()
    page = write_report(made.folder).read_text(encoding="utf-8")
    assert re.search(r'class="badge">([^<]*)<', page)[1] == word
    assert (f'class="verdict card {word.split()[0]}"' in page) == bool(gain)


def test_early_stopping_is_looked_at_afterwards(make_up):
    parameters = {"cluster_size": {"values": [4, 8, 16]}, "proportion": {"min": 0.3, "max": 1.0}}
    fields = {"searcher": "random", "scheduler": "asha", "trials": 14, "confirm": None, "seeds": [1]}
    made = make_up(parameters=parameters, train={"epochs": 12}, **fields)
    for number, trial in enumerate(planned_trials(made.study)):
        stopped = number % 3 == 1
        made.play(trial, epochs=2 if stopped else 12, outcome="stopped" if stopped else "finished")
    page = read(write_report(made.close().folder))
    assert {"rungs", "importance"} < pictures(made.folder)
    assert "PED-ANOVA of Optuna" in page.text and "trials stopped" in page.text


def test_a_page_elsewhere_has_its_pictures_beside_it(make_up, tmp_path):
    made = make_up().search()
    path = write_report(made.folder, tmp_path / "elsewhere" / "toy.html")
    assert path == tmp_path / "elsewhere" / "toy.html" and (tmp_path / "elsewhere" / "toy" / "ranking.png").exists()
    assert not (made.folder.path / "report").exists()


def test_several_studies_side_by_side(make_up, tmp_path):
    helped = make_up("helped").search().confirm()
    naught = make_up("naught", gain=lambda config: 0.0, train={"epochs": 4}).search().confirm()
    begun = make_up("begun")
    path = write_comparison([helped.folder, naught.folder, begun.folder], tmp_path / "comparison.html")
    page = read(path)
    check_self_contained(page)
    for made in (helped, naught, begun):
        assert sentences(made.results)[0] in page.text
    settings = (tmp_path / "comparison" / "settings.csv").read_text(encoding="utf-8")
    assert "train.epochs,6,4,6" in settings.splitlines() and "train.batch_size" not in settings
    assert {path.name for path in (tmp_path / "comparison").iterdir() if path.is_dir()} == {"helped", "naught", "begun"}


def test_two_results_of_one_study_keep_apart(make_up, tmp_path):
    first = make_up().search()
    second = StudyFolder(tmp_path / "again")
    first.folder.path.rename(second.path)
    first = make_up().search()
    page = read(write_comparison([first.folder, second], tmp_path / "both.html"))
    check_self_contained(page)
    assert (tmp_path / "both" / "toy-1" / "ranking.svg").exists() and "toy-2" in page.text


def test_a_folder_that_holds_no_study(tmp_path):
    with pytest.raises(InputError, match="results folder of a study"):
        write_report(StudyFolder(tmp_path))

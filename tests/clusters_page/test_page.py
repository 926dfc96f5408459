"""`tune.py clusters`: what the page shows, on data whose duplicates are known."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from PIL import Image

from simclip.clusters_page.duplicates import normalized
from simclip.demo.dataset import ensure_dataset
from simclip.study.spec.single_run import single_run
from simclip.study.spec.study import Resources
from simclip.study.store.folder import StudyFolder
from simclip.study.store.study_file import load_study
from simclip.train.config import TrainConfig
from tests.conftest import tiny_run, write_study
from tests.models.families import write_family
from tune import main

Typed = Callable[..., str]


@pytest.fixture
def data(pairs: Path, tmp_path: Path) -> Path:
    """Forty pairs, and two more: a copied picture under another caption, and a caption once more, in capitals."""
    folder = shutil.copytree(pairs, tmp_path / "data")
    shutil.copy(folder / "images" / "003.png", folder / "images" / "copy.png")
    Image.new("RGB", (40, 90), "yellow").save(folder / "images" / "tall.png")
    lines = [line.rsplit("\t", 2)[0] for line in (folder / "train.tsv").read_text().splitlines()]
    caption = lines[8].split("\t")[1]
    lines += ['copy.png\tnothing <b>like</b> it & "so"', f"tall.png\t{caption.upper()}"]
    (folder / "train.tsv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture
def typed(data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Typed:
    """From words behind a TSV, its folder and a model to the page; what is printed stands in `printed.txt`."""

    def page(*words: str) -> str:
        out = tmp_path / "page.html"
        tsv = [str(data / "train.tsv"), "--image-dir", str(data / "images"), "--model", str(tiny_model)]
        assert main(["clusters", *tsv, "--out", str(out), *words]) == 0
        (tmp_path / "printed.txt").write_text(capsys.readouterr().out)
        return out.read_text(encoding="utf-8")

    return page


def clusters_of(page: str) -> list[str]:
    return re.findall(r'<section class="cluster card".*?</section>', page, flags=re.DOTALL)


def anchor_of(cluster: str) -> str:
    return re.findall(r'class="file">([^<]+)', cluster)[0]


def test_captions_are_compared_without_what_does_not_matter() -> None:
    assert (
        normalized("  A dog  on &amp; off a Beach .")
        == normalized("a dog on & off a beach")
        != normalized("a dog on a beach")
    )


def test_every_row_is_an_anchor_if_asked_and_duplicates_are_marked(typed: Typed, tmp_path: Path) -> None:
    page = typed("--k", "4", "--anchors", "42")
    found = clusters_of(page)
    assert len(found) == 42 and all(each.count("<img ") == 4 for each in found)
    anchors = [anchor_of(each) for each in found]
    assert len(set(anchors)) == 42
    twin = found[anchors.index("tall.png")]
    assert "007.png" in twin and "same caption" in twin and "1.000" in twin
    assert "In clusters of 4 by text" in page and "In clusters of 4 by text" in (tmp_path / "printed.txt").read_text()
    assert "nothing &lt;b&gt;like&lt;/b&gt; it &amp; &#34;so&#34;" in page
    assert "the same image file, the same caption, or a similarity of at least" in page
    assert "which 1% of all nearest neighbours reach" in page
    assert len(re.findall("tighter than", page)) == 42


def test_the_page_counts_what_an_epoch_shows_by_method(typed: Typed) -> None:
    page = typed("--k", "4")
    table = re.findall(r"What an epoch shows of these data.*?</table>", page, flags=re.DOTALL)[0]
    rows = [re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.DOTALL) for row in table.split("<tr")]
    lines = {cells[0].strip(): [cell.strip() for cell in cells[1:]] for cells in rows if len(cells) == 4}
    for name in ("plain fine-tuning", "clusters", "graph", "partition"):
        assert lines[name] == ["0.0%", "1", "42"]  # one batch of all 42 rows, whatever is similar


def test_pictures_are_within_the_page_and_copies_are_found(typed: Typed) -> None:
    page = typed("--k", "2", "--anchors", "42", "--similarity", "image")
    sources = re.findall(r'<img src="([^"]{30})', page)
    assert sources and all(each.startswith("data:image/jpeg;base64,") for each in sources)
    assert not re.search(r'(?:src|href)="(?!data:|#)', page) and "<script" not in page
    copies = [each for each in clusters_of(page) if 'class="file">copy.png' in each and "same image" in each]
    assert len(copies) == 2 and all('class="file">003.png' in each for each in copies)  # each is the other's nearest


def test_pictures_are_turned_as_training_turns_them(
    data: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for number in range(40):
        Image.new("RGB", (60, 20), (6 * number, 0, 9)).save(data / "images" / f"{number:03d}.png", exif=exif)
    for how, upright in (("apply", True), ("ignore", False)):
        study = write_study(tiny_run(data, tiny_model), tmp_path / "turned.yaml", train={"exif": how})
        assert main(["clusters", str(study), "--out", str(tmp_path / "page.html"), "--k", "2", "--anchors", "3"]) == 0
        capsys.readouterr()
        sources = re.findall(r'<img src="data:image/jpeg;base64,([^"]+)"', (tmp_path / "page.html").read_text())
        sizes = [Image.open(io.BytesIO(base64.b64decode(each))).size for each in sources]
        assert ((20, 60) in sizes) == upright and ((60, 20) in sizes) != upright


def test_max_similarity_shows_what_is_left_out(typed: Typed, tmp_path: Path) -> None:
    page = typed("--k", "3", "--anchors", "42", "--similarity", "image", "--max-similarity", "0.99999")
    both = [each for each in clusters_of(page) if anchor_of(each) in ("copy.png", "003.png")]
    assert len(both) == 2 and all(each.count(">left out<") == each.count(">same image<") == 1 for each in both)
    assert "max_similarity 0.99999" in page and "(given)" in page
    assert "at least 1.000 (max_similarity)" in (tmp_path / "printed.txt").read_text()
    assert "Training would stop: max_similarity -0.9 leaves row" in typed("--k", "3", "--max-similarity", "-0.9")


def test_a_studys_limits_hold_on_the_page(
    config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # A margin so large that an anchor keeps all of its neighbours if its own cosine is positive, and none if negative.
    limits = {"relative_margin": 1e9, "skip_nearest": 1}
    study = write_study(config, tmp_path / "limited.yaml", train=limits)
    assert main(["clusters", str(study), "--out", str(tmp_path / "page.html"), "--k", "2", "--anchors", "40"]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "skip_nearest 1" in page and "relative_margin 1e+09" in page
    assert "Training would stop: skip_nearest 1 with relative_margin 1000000000.0 leaves row" in page


def test_the_same_seed_draws_the_same_anchors(typed: Typed) -> None:
    first, again, other = (typed("--k", "3", "--anchors", "5", "--seed", seed) for seed in ("1", "1", "2"))
    assert clusters_of(first) == clusters_of(again) != clusters_of(other)


def test_a_studys_results_and_its_file(config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the largest k of its arms, and its own fields."""
    train = config.model_dump(mode="json", exclude_unset=True, exclude={"cluster_size", "seed", "proportion"})
    content = {"name": "tiny", "train": {**train, "similarity": "image", "proportion": 1.0, "max_similarity": 0.999999},
               "parameters": {"cluster_size": {"values": [2, 8, 4]}}, "confirm": None}  # fmt: skip
    file = tmp_path / "tiny.yaml"
    file.write_text(yaml.safe_dump(content))
    results = StudyFolder(tmp_path / "results" / "tiny")
    results.claim(load_study(file))
    monkeypatch.chdir(tmp_path)
    assert main(["clusters", str(results.path)]) == main(["clusters", str(file)]) == 0
    pages = [path.read_text() for path in (results.path / "clusters.html", tmp_path / "clusters.html")]
    assert pages[0] == pages[1]
    for said in ("<h1>tiny</h1>", "In clusters of 8 by image", "max_similarity 0.999999", "40 rows"):
        assert said in pages[0]
    assert main(["clusters", str(file), "--k", "3", "--similarity", "text", "--model", config.model]) == 0
    assert "In clusters of 3 by text" in (tmp_path / "clusters.html").read_text()


def test_a_study_of_random_weights_says_so_and_another_family_is_looked_at(
    typed: Typed, config: TrainConfig, tmp_path: Path
) -> None:
    content = {"name": "tiny", "train": {**config.model_dump(mode="json", exclude_unset=True, exclude={"seed"}),
                                         "pretrain": True}, "parameters": {}, "confirm": None}  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(content))
    assert main(["clusters", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / "random.html")]) == 0
    assert "random weights (pretrain)" in (tmp_path / "random.html").read_text()
    write_family("chinese_clip", tmp_path / "other", ["red left on blue"])
    assert f"model {tmp_path / 'other'}" in typed("--k", "3", "--model", str(tmp_path / "other"))


def test_a_single_runs_results(config: TrainConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, size in (("clustered", 2), ("plain", 1)):
        run = config.model_copy(update={"cluster_size": size})
        StudyFolder(tmp_path / name).claim(single_run(name, run, Resources()))
    assert main(["clusters", str(tmp_path / "clustered")]) == 0
    assert "In clusters of 2 by text, an anchor's neighbour has" in capsys.readouterr().out
    assert main(["clusters", str(tmp_path / "plain")]) == 2
    assert "k = 1: a cluster has at least 2 rows; give another --k" in capsys.readouterr().err
    assert main(["clusters", str(tmp_path / "plain"), "--k", "3"]) == 0


def test_the_demo(tmp_path: Path) -> None:
    ensure_dataset()
    assert main(["clusters", "studies/demo.yaml", "--anchors", "2", "--out", str(tmp_path / "demo.html")]) == 0
    assert len(clusters_of((tmp_path / "demo.html").read_text())) == 2


WRONG: dict[str, tuple[list[str], str]] = {
    "nothing there": (["nowhere"], "nowhere: no such folder or file; give a study's results folder, a study file, or"),
    "no such TSV": (["nowhere.tsv", "--image-dir", "."], "no such TSV file: nowhere.tsv"),
    "no such study file": (["nowhere.yaml"], "nowhere.yaml: no such file"),
    "a TSV elsewhere": (["{data}/train.tsv"], "42 of 42 images are not in"),
    "a folder for a study": (["studies/demo.yaml", "--image-dir", "."], "--image-dir is for a table"),
    "no results": (["{data}"], "study.yaml; give the results folder of a study"),
    "k of one": (["{tsv}", "--k", "1"], "k = 1: a cluster has at least 2 rows; give another --k"),
    "k of more than there are": (["{tsv}", "--k", "43"], "42 rows: too few for the 42 neighbours of an anchor"),
    "s of nothing": (["{tsv}", "--neighborhood", "0"], "neighborhood: should be greater than or equal to 1; got 0"),
    "max_similarity of 2": (["{tsv}", "--max-similarity", "2"], "max_similarity"),
    "no anchors": (["{tsv}", "--anchors", "0"], "--anchors 0: expected at least 1"),
    "more anchors than rows": (["{tsv}", "--anchors", "43"], "--anchors 43: there are 42 rows"),
    "a negative seed": (["{tsv}", "--seed", "-1"], "--seed -1: expected at least 0"),
    "nowhere to write": (["{tsv}", "--out", "no/such/page.html"], "--out no/such/page.html: no such folder"),
    "no such model": (["{tsv}", "--model", "./nothing"], "no such model folder: ./nothing"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_wrong_input_is_one_line_and_code_two(
    words: list[str], said: str, data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tsv = [str(data / "train.tsv"), "--image-dir", str(data / "images")]
    given = [part for word in words for part in (tsv if word == "{tsv}" else [word.format(data=data)])]
    model = [] if "--model" in given else ["--model", str(tiny_model)]
    assert main(["clusters", *given, *model]) == 2
    error = capsys.readouterr().err
    assert said in error and error.startswith("error: ") and error.count("\n") == 1


def test_a_broken_image_is_one_line(data: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (data / "images").iterdir():
        path.write_bytes(b"no image")
    words = ["clusters", str(data / "train.tsv"), "--image-dir", str(data / "images"), "--model", str(tiny_model)]
    assert main([*words, "--k", "3"]) == 2
    error = capsys.readouterr().err
    assert "cannot be read as an image" in error and error.count("\n") == 1

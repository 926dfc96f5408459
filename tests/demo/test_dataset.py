import csv
import hashlib
import multiprocessing
import random
import re
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from simclip.demo import dataset
from simclip.demo.dataset import FAMILY_SIZE, ensure_dataset, held_out, split
from simclip.demo.flags import NATIONS
from simclip.demo.scenes import KNOWN_KINDS, UNKNOWN, attributes, swapped, unrelated

NAMES = ("train", "val", "test", "rare")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ensure_dataset(tmp_path_factory.mktemp("demo") / "demo")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "TRAIN_FAMILIES", 2)
    for name in ("VAL_FAMILIES", "TEST_FAMILIES", "RARE_TRAIN", "RARE_TEST"):
        monkeypatch.setattr(dataset, name, 1)


def rows(tsv: Path) -> list[list[str]]:
    return [line.split("\t") for line in tsv.read_text(encoding="utf-8").splitlines()]


def digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize(("name", "count"), [("train", 1920), ("val", 448), ("test", 448), ("rare", 80)])
def test_tables_are_well_formed(demo: Path, name: str, count: int) -> None:
    header, *body = rows(demo / f"{name}.tsv")
    assert header == ["image", "caption1", "caption2", "caption3", "caption4", "caption5"]
    assert len(body) == count
    assert all(len(set(row)) == 6 and all(row) for row in body)
    assert '"' not in (demo / f"{name}.tsv").read_text()


def test_every_picture_belongs_to_one_row_and_is_48_pixels_rgb(demo: Path) -> None:
    named = [row[0] for name in NAMES for row in rows(demo / f"{name}.tsv")[1:]]
    assert sorted(named) == sorted(path.name for path in (demo / "images").iterdir())
    for name in named[::97]:
        with Image.open(demo / "images" / name) as picture:
            assert (picture.size, picture.mode) == ((48, 48), "RGB")


def test_no_two_pictures_are_the_same(demo: Path) -> None:
    pictures = {path: key for path, key in digest(demo).items() if path.endswith(".png")}
    assert len(set(pictures.values())) == len(pictures)


@pytest.mark.parametrize(("name", "pictures"), [("swapped", "val"), ("test_swapped", "test")])
def test_swapped_captions_have_the_words_of_the_true_ones(demo: Path, name: str, pictures: str) -> None:
    header, *body = rows(demo / f"{name}.tsv")
    assert header == ["image", "caption", "negative_caption", "category"]
    named = {row[0]: row[1:] for row in rows(demo / f"{pictures}.tsv")[1:]}
    counts = Counter(row[3] for row in body)
    assert {*counts} == {"colour", "shape", "size"} and min(counts.values()) > 80
    assert len({(image, category) for image, _, _, category in body}) == len(body)
    for image, caption, negative, _ in body:
        assert image in named and caption != negative
        assert Counter(without_articles(caption)) == Counter(without_articles(negative))


def without_articles(caption: str) -> list[str]:
    return [word for word in re.findall(r"\w+", caption) if word not in ("a", "an")]


def test_swapped_scenes_differ_in_the_attributes_that_changed_places() -> None:
    for scene in split()[1]:
        for category, other in swapped(scene).items():
            changed = dict(attributes(scene).items() - attributes(other).items())
            assert len(changed) == 2 and other.is_sound() and swapped(other)[category] == scene
            assert sorted(changed.values()) == sorted(attributes(other)[name] for name in changed)


@pytest.mark.parametrize("name", ["rare_test", "test_rare"])
def test_rare_sets_have_a_folder_of_twenty_pictures_for_each_nation(demo: Path, name: str) -> None:
    counts = {folder.name: len(list(folder.glob("*.png"))) for folder in (demo / name).iterdir()}
    assert counts == {nation.replace(" ", "_"): 20 for nation in NATIONS}


def test_no_scene_occurs_twice_or_in_two_splits() -> None:
    train, val = split()
    test = held_out()
    assert len({*train, *val, *test}) == len(train) + len(val) + len(test)
    assert all(scene.is_sound() for scene in (*train, *val, *test))


def test_the_base_was_not_trained_on_a_test_scene() -> None:
    train, val = split()
    trained_on = set(unrelated(4000, random.Random("any"), {*train, *val}, KNOWN_KINDS, UNKNOWN))
    assert len(trained_on) > 1000
    assert trained_on.isdisjoint(held_out())


def test_the_splits_are_those_that_the_shipped_base_was_trained_without() -> None:
    assert hashlib.sha256(repr(split()).encode()).hexdigest()[:16] == "fc14946d4b62d5ff"


def test_members_of_a_family_differ_from_its_first_scene_in_one_detail() -> None:
    for scenes in (*split(), held_out()):
        for start in range(0, len(scenes), FAMILY_SIZE):
            first, *others = (attributes(scene) for scene in scenes[start : start + FAMILY_SIZE])
            assert all(len(first.items() - other.items()) == 1 for other in others)


def test_there_are_more_families_than_a_batch_of_64_has_rows() -> None:
    assert len(split()[0]) // FAMILY_SIZE > 64


@pytest.mark.usefixtures("small")
def test_the_same_code_makes_the_same_bytes(tmp_path: Path) -> None:
    assert digest(ensure_dataset(tmp_path / "a")) == digest(ensure_dataset(tmp_path / "b"))


@pytest.mark.usefixtures("small")
def test_a_second_call_leaves_the_data_alone(tmp_path: Path) -> None:
    folder = ensure_dataset(tmp_path / "demo")
    (folder / "mark").touch()
    assert ensure_dataset(folder) == folder
    assert (folder / "mark").exists()


@pytest.mark.usefixtures("small")
def test_data_of_another_generator_and_remains_of_a_killed_one_are_replaced(tmp_path: Path) -> None:
    folder = ensure_dataset(tmp_path / "demo")
    whole = digest(folder)
    (folder / "version.txt").write_text("of old\n")
    (folder / "images" / "stray.png").touch()
    (tmp_path / ".demo.part" / "images").mkdir(parents=True)
    ensure_dataset(folder)
    assert digest(folder) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_two_processes_at_once_make_one_whole_data_set(demo: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=ensure_dataset, args=(tmp_path / "demo",)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert digest(tmp_path / "demo") == digest(demo)


def test_tables_read_the_same_with_the_csv_module(demo: Path) -> None:
    with open(demo / "val.tsv", newline="", encoding="utf-8") as file:
        read = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert read == rows(demo / "val.tsv")

"""Tables that are written are tables that are read, with what was kept out and changed counted."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from simclip.data.pair_table import read_table
from simclip.errors import InputError
from simclip.prepare.annotations import Described
from simclip.prepare.coco_ids import coco_id
from simclip.prepare.exclude import exclude
from simclip.prepare.write_table import prepare_table


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """a.png, b.png, c.png and sub/d.png."""
    folder = tmp_path / "images"
    for name in ("a", "b", "c", "sub/d"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    return folder


ROWS = [
    Described("a.png", ["one", " two\n", "three\tfour  \r\n five", ""]),
    Described("b.png", [" ", "\n"]),
    Described("sub/d.png", ["None"]),
    Described("c.png", ['"quoted"', "\x00a\u2028b"]),
]


def test_what_is_written_is_what_is_read(images: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "pairs.tsv"
    prepared = prepare_table(ROWS, images, out)
    assert out.read_text().splitlines()[0] == "image\tcaption1\tcaption2\tcaption3"
    table = read_table(out, images)
    assert [path.relative_to(images).as_posix() for path in table.images] == ["a.png", "sub/d.png", "c.png"]
    assert table.captions == ["one", "two", "three four five", "None", '"quoted"', "a\u2028b"]
    assert (prepared.images, prepared.captions, prepared.fewest, prepared.most) == (3, 6, 1, 3)
    assert (prepared.spaced, prepared.blank, prepared.bare) == (2, 3, ["b.png"])
    assert stat.S_IMODE(out.stat().st_mode) == 0o644
    assert [path.name for path in out.parent.iterdir()] == ["pairs.tsv"]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(TEXT, max_size=4), min_size=1, max_size=4))
def test_any_text_comes_back_in_one_line(images: Path, tmp_path: Path, captions: list[list[str]]) -> None:
    rows = [Described("a.png", each) for each in captions]
    try:
        prepared = prepare_table(rows, images, tmp_path / "pairs.tsv")
    except InputError as error:
        assert "is left with a caption" in str(error)
        return
    table = read_table(tmp_path / "pairs.tsv", images)
    assert prepared.images == len(rows) - len(prepared.bare)
    assert len(table) == 1  # rows of one image, merged as they are read
    assert len(table.captions) == prepared.captions == sum(map(len, captions)) - prepared.blank
    words = [word for each in captions for word in "".join(" " if ord(x) < 32 or 127 <= ord(x) < 160 else x for x in
             "\n".join(each)).split()]  # fmt: skip
    assert [word for caption in table.captions for word in caption.split()] == words


def test_a_missing_image_is_named_counted_and_listed_for_exclusion(images: Path, tmp_path: Path) -> None:
    rows = [*ROWS, *(Described(f"{number}.png", ["x"]) for number in range(1200))]
    with pytest.raises(
        InputError, match=r"1,200 of 1,203 images are not in .*images, the first 0.png: .*--exclude"
    ) as error:
        prepare_table(rows, images, tmp_path / "pairs.tsv")
    assert not (tmp_path / "pairs.tsv").exists()
    listing = str(error.value).split("--exclude ")[1].split(",")[0]
    prepared = prepare_table(rows, images, tmp_path / "pairs.tsv", [listing])
    assert (prepared.images, prepared.exclusions[0].kept_out, prepared.exclusions[0].not_met) == (3, 1200, [])
    Path(listing).unlink()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("a\tb.png", "rename the file"),
        ("a\n.png", "rename the file"),
        (" a.png", "cannot store spaces around a name"),
        ("a\udc80.png", "invalid characters"),
        ("/etc/hostname", "a path inside the image folder"),
        ("../images/a.png", "a path inside the image folder"),
        ("", "a path inside the image folder"),
    ],
)
def test_names_that_no_table_holds(image: str, message: str, images: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as caught:
        prepare_table([Described(image, ["x"])], images, tmp_path / "pairs.tsv")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pairs.tsv").exists()


def test_what_cannot_be_written_leaves_what_was_there(images: Path, tmp_path: Path) -> None:
    rows = [Described("a.png", ["x"])]
    prepare_table(rows, images, tmp_path / "pairs.tsv")
    with pytest.raises(InputError, match="half a surrogate"):
        prepare_table([Described("a.png", ["\ud83d"])], images, tmp_path / "pairs.tsv")
    assert read_table(tmp_path / "pairs.tsv", images).captions == ["x"]
    with pytest.raises(InputError, match=r"images cannot be written: Is a directory"):
        prepare_table(rows, images, images)
    with pytest.raises(InputError, match=r"below.tsv cannot be written: (Not a directory|File exists)"):
        prepare_table(rows, images, tmp_path / "pairs.tsv" / "below.tsv")
    with pytest.raises(InputError, match="no such image folder"):
        prepare_table(rows, tmp_path / "none", tmp_path / "pairs.tsv")
    with pytest.raises(InputError, match=r"none of 1 images is left with a caption"):
        prepare_table([Described("a.png", [])], images, tmp_path / "pairs.tsv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "pairs.tsv"]


def row(image: str) -> Described:
    return Described(image, ["x"])


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ("b.jpg\n\n  sub/d.jpg \nnowhere.jpg", "names.txt"),
        ("\ufeffb.jpg\r\nsub/d.jpg\r\nnowhere.jpg\r\n", "names"),
        ("image\nb.jpg\nsub/d.jpg\nnowhere.jpg\n", "names.tsv"),
        ("caption\timage\nx\tb.jpg\nx\t./sub/d.jpg\n\tnowhere.jpg\n", "pairs.tsv"),
        (
            json.dumps({"images": [{"filename": n, "split": "val" if n[0] in "bn" else "test", "sentences": []}
                                   for n in ("b.jpg", "nowhere.jpg", "sub/d.jpg")]
                        + [{"filename": "a.jpg", "split": "train", "sentences": []}]}),
            "dataset.json",
        ),
    ],
    ids=["list", "list with carriage returns", "column", "table", "splits"],
)  # fmt: skip
def test_every_way_to_name_what_is_kept_out(content: str, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    source = str(tmp_path / name) + (":val,test" if name.endswith("json") else "")
    kept, (done,) = exclude([row("a.jpg"), row("b.jpg"), row("sub/d.jpg"), row("d.jpg")], [source])
    assert [each.image for each in kept] == ["a.jpg", "d.jpg"]
    assert (done.source, done.names, done.kept_out, done.not_met) == (source, 3, 2, ["nowhere.jpg"])


def test_coco_is_met_by_number(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("val2014/COCO_val2014_000000000042.jpg\nCOCO_val2014_000000000043.jpg\n")
    rows = [row("000000000042.jpg"), row("000000000044.jpg"), row("train2017/000000000043.jpg"), row("42.jpg")]
    kept, (done,) = exclude(rows, [str(tmp_path / "test.txt")])
    assert [each.image for each in kept] == ["000000000044.jpg", "42.jpg"]
    assert (done.kept_out, done.not_met) == (2, [])
    assert coco_id("val2014/COCO_val2014_000000391895.jpg") == coco_id("000000391895.jpg") == 391895
    assert coco_id("my_000000391895.jpg") is coco_id("391895.jpg") is coco_id("000000391895.jpg.txt") is None


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("none.txt", "--exclude .*none.txt: no such file"),
        ("dataset.json", r"name the splits to keep out, such as .*dataset.json:val,test"),
        ("dataset.json:test", "no such annotation file"),
        ("wide.tsv", "no column 'image' but name, caption"),
        ("latin", "not UTF-8"),
    ],
)
def test_wrong_lists(source: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "wide.tsv").write_text("name\tcaption\na.jpg\tx\n")
    (tmp_path / "latin").write_bytes(b"caf\xe9.jpg\n")
    with pytest.raises(InputError, match=message):
        exclude([row("a.jpg")], [str(tmp_path / source)])

"""Caption tables: ordinary text as it stands, and one clear line for whatever is wrong."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from simclip.data.pair_table import CaptionTable, read_captions, read_names, read_table, read_training_tables
from simclip.data.table import Reading, Table
from simclip.errors import InputError
from tests.data.formats import captions_of

Read = Callable[..., CaptionTable]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """images/ with a.png, b.png, c.png and sub/d.png."""
    for name in ("a", "b", "c", "sub/d"):
        path = tmp_path / "images" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(path)
    return tmp_path


@pytest.fixture
def read(folder: Path) -> Read:
    """Reads a table of the given text."""

    def read_text(text: str | bytes, **options: object) -> CaptionTable:
        (folder / "pairs.tsv").write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_table(folder / "pairs.tsv", folder / "images", **options)  # type: ignore[arg-type]

    return read_text


def test_rows_images_and_captions(read: Read, folder: Path) -> None:
    table = read("image\tcaption1\tcaption2\na.png\tone\ttwo\nsub/d.png\tthree\tfour\n")
    assert len(table) == 2
    assert table.images == [folder / "images" / "a.png", folder / "images" / "sub" / "d.png"]
    assert captions_of(table) == [["one", "two"], ["three", "four"]]
    assert table.row_of_caption.tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "caption",
    ["None", "NA", "nan", "null", "007", "1e5", "True", '"quoted"', 'a stray " quote', "'", "#1", "a, b; c", "\\t", "ü",
     "一只狗在草地上", "собака", "كلب", "🐕‍🦺 dog", "line\u2028separator", "&amp;"],
)  # fmt: skip
def test_text_is_taken_as_it_stands(read: Read, caption: str) -> None:
    assert captions_of(read(f"image\tcaption\na.png\t{caption}\nb.png\tnext\n")) == [[caption], ["next"]]


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.lists(TEXT, min_size=3, max_size=3).filter(lambda row: any(map(str.strip, row))), min_size=1))
def test_any_text_comes_back(read: Read, rows: list[list[str]]) -> None:
    lines = ["image\tcaption1\tcaption2\tcaption3", *("\t".join(["a.png", *row]) for row in rows)]
    expected = [text.strip() for row in rows for text in row if text.strip()]
    assert captions_of(read("\n".join(lines))) == [expected]  # the rows of an image are one


def test_a_stray_quote_merges_no_rows(read: Read) -> None:
    assert len(read('image\tcaption\na.png\t"one\nb.png\ttwo\nc.png\tthree"\n')) == 3


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbfimage\tcaption\na.png\tone\nb.png\ttwo\n",
        b"image\tcaption\r\na.png\tone\r\nb.png\ttwo\r\n",
        b"image\tcaption\n\na.png\tone\n\n\nb.png\ttwo\n\n",
        b"image\tcaption\na.png\tone\n \t \nb.png\ttwo",
        b"image\tcaption\n a.png \t one \nb.png\t\xc2\xa0two\n",
    ],
    ids=["byte order mark", "CRLF", "blank lines", "a line of spaces, no last newline", "spaces around"],
)
def test_ways_of_writing_the_same_table(read: Read, text: bytes) -> None:
    table = read(text)
    assert [path.name for path in table.images] == ["a.png", "b.png"]
    assert captions_of(table) == [["one"], ["two"]]


def test_an_empty_field_is_one_caption_less(read: Read) -> None:
    table = read("image\tcaption1\tcaption2\tcaption3\na.png\t\tx\t\nb.png\ty\nc.png\tz\tz\tw\n")
    assert captions_of(table) == [["x"], ["y"], ["z", "z", "w"]]


def test_any_column_that_starts_with_caption_and_no_other(read: Read) -> None:
    text = "caption_long\tnote\timage\tcaption\nl\tn\ta.png\tc\n"
    assert captions_of(read(text)) == [["l", "c"]]
    assert captions_of(read(text, reading=Reading(caption_columns=["note", "caption"]))) == [["n", "c"]]


BAD_TABLES = {
    "empty": ("", r"pairs.tsv is empty: expected a header with image, caption1"),
    "blank": ("\n\n", r"pairs.tsv is empty"),
    "header only": ("image\tcaption\n", r"pairs.tsv has a header but no rows: expected a line per pair"),
    "no image column": ("picture\tcaption\na.png\tx\n", r"no column 'image' but picture, caption: name it"),
    "commas": ("image,caption\na.png,x\n", r"its header 'image,caption' has no tab: separate the fields"),
    "no caption column": ("image\twords\na.png\tx\n", r"no caption column but image, words: name them caption1"),
    "no caption": (
        "image\tcaption\na.png\tx\n\nb.png\t \n",
        r"pairs.tsv, line 4: the column caption is empty; write a",
    ),
    "no captions": (
        "image\tcaption1\tcaption2\na.png\t\t\n",
        r"line 2: the columns caption1, caption2 are empty; write a",
    ),
    "no name": ("image\tcaption\n\tx\n", r"pairs.tsv, line 2: the image name is empty; write one or remove the line"),
    "tab in the first row": (
        "image\tcaption\na.png\tx\ty\nb.png\tx\n",
        r"line 2.*may not contain a tab: fix that line",
    ),
    "tab in every row": ("image\tcaption\na.png\tx\ty\nb.png\tx\ty\n", r"line 2.*may not contain a tab: fix that line"),
    "tab in a later row": ("image\tcaption\na.png\tx\nb.png\tx\ty\n", r"line 3.*may not contain a tab: fix that line"),
    "tab after a short row": (
        "image\tcaption1\tcaption2\na.png\tx\nb.png\tx\ty\tz\n",
        r"line 3.*may not contain a tab",
    ),
    "Latin-1": ("image\tcaption\na.png\tcafé\n".encode("latin-1"), r"pairs.tsv is not UTF-8 text \(.*\): convert it"),
    "UTF-16": ("image\tcaption\na.png\tx\n".encode("utf-16"), r"pairs.tsv is not UTF-8 text \(.*\): convert it"),
    "missing": ("image\tcaption\na.png\tx\ne.png\tx\nf.png\tx\n", r"2 of 3 images are not in .*images: e.png, f.png$"),
    "a folder": ("image\tcaption\nsub\tx\n", r"1 of 1 images are not in .*images: sub$"),
    "columns swapped": (f"image\tcaption\n{'word ' * 99}\ta.png\n", r"1 of 1 images are not in .*images: word word"),
    "leaves its folder": ("image\tcaption\n../images/a.png\tx\n", r"line 2: image '../images/a.png' leaves its folder"),
    "leaves it inside": ("image\tcaption\na.png\tx\nsub/../../x.png\tx\n", r"line 3: image .* use a path inside it"),
    "absolute": ("image\tcaption\n/etc/hostname\tx\n", r"line 2: image '/etc/hostname' leaves its folder"),
}


@pytest.mark.parametrize(("text", "message"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_bad_input_is_one_clear_line(read: Read, text: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(text)
    assert "\n" not in str(caught.value)
    assert "pairs.tsv" in str(caught.value)


def test_no_such_file_folder_or_column(read: Read, folder: Path) -> None:
    with pytest.raises(InputError, match=r"no such TSV file: .*none.tsv; give the path"):
        read_table(folder / "none.tsv", folder / "images")
    with pytest.raises(InputError, match=r"images is a folder without metadata.jsonl"):
        read_table(folder / "images", folder / "images")
    read("image\tcaption\na.png\tx\n")
    with pytest.raises(InputError, match=r"no such image folder: .*none \(for .*pairs.tsv\)"):
        read_table(folder / "pairs.tsv", folder / "none")
    with pytest.raises(InputError, match=r"no column title but image, caption: fix train.caption_columns"):
        read("image\tcaption\na.png\tx\n", reading=Reading(caption_columns=["caption", "title"]))


def test_all_of_many_missing_images_are_named_and_counted(read: Read) -> None:
    names = [f"{number:03d}.png" for number in range(300)]
    with pytest.raises(InputError, match=r"300 of 301 images are not in ") as caught:
        read("image\tcaption\na.png\tx\n" + "".join(f"{name}\tx\n" for name in names))
    found = re.search(r"all of them in (\S+)\)$", str(caught.value))
    assert found
    listing = Path(found[1])
    assert listing.read_text().split() == names
    listing.unlink()


def test_captions_without_images(folder: Path) -> None:
    path = folder / "text.tsv"
    path.write_text("image\tcaption1\tcaption2\nnone.png\tone\t\nnone.png\ttwo\tthree\n")
    assert read_captions(path) == ["one", "two", "three"]
    assert read_captions(path, Reading(caption_columns=["caption1"])) == ["one", "two"]


def test_tables_follow_each_other_cut_and_repeated(folder: Path) -> None:
    (folder / "one.tsv").write_text("image\tcaption\na.png\ta\nb.png\tb\nc.png\tc\n")
    (folder / "two.tsv").write_text("image\tcaption1\tcaption2\nd.png\td\te\n")
    one = Table(tsv=folder / "one.tsv", image_dir=folder / "images", limit=2, repeat=2)
    two = Table(tsv=folder / "two.tsv", image_dir=folder / "images" / "sub", limit=99, repeat=3)
    table = read_training_tables([one, two])
    assert [path.name for path in table.images] == ["a.png", "b.png"] * 2 + ["d.png"] * 3
    assert captions_of(table) == [["a"], ["b"]] * 2 + [["d", "e"]] * 3
    assert table.starts.dtype == np.int64
    with pytest.raises(InputError, match=r"no training data: set train\.train_tsv and train\.train_image_dir"):
        read_training_tables([])


def test_selected_rows_keep_their_captions(read: Read) -> None:
    table = read("image\tcaption1\tcaption2\na.png\t1\t2\nb.png\t3\nc.png\t4\t5\n").select(np.array([2, 0, 2]))
    assert [path.name for path in table.images] == ["c.png", "a.png", "c.png"]
    assert captions_of(table) == [["4", "5"], ["1", "2"], ["4", "5"]]


def test_rows_that_repeat_an_image_are_one_with_all_their_captions(read: Read, folder: Path) -> None:
    table = read("image\tcaption1\tcaption2\nb.png\t1\t2\na.png\t3\n./b.png\t4\nc.png\t5\na.png\t6\t7\n")
    assert [path.name for path in table.images] == ["b.png", "a.png", "c.png"]
    assert captions_of(table) == [["1", "2", "4"], ["3", "6", "7"], ["5"]]
    assert table.notes == (f"{folder / 'pairs.tsv'}: 5 rows name 3 images; the captions of each image are merged",)
    assert read("image\tcaption\na.png\t1\nb.png\t1\n").notes == ()


def test_an_image_of_several_training_tables_is_one_row_of_the_first(folder: Path) -> None:
    (folder / "one.tsv").write_text("image\tcaption\na.png\ta\nb.png\tb\nc.png\tc\n")
    (folder / "two.tsv").write_text("image\tcaption\nsub/d.png\td\nc.png\tC\nc.png\tCC\na.png\tA\n")
    one = Table(tsv=folder / "one.tsv", image_dir=folder / "images", repeat=2)
    two = Table(tsv=folder / "two.tsv", image_dir=folder / "images", repeat=3, limit=2)
    table = read_training_tables([one, two])
    assert [path.name for path in table.images] == ["a.png", "b.png", "c.png"] * 2 + ["d.png"] * 3
    assert captions_of(table) == [["a"], ["b"], ["c", "C", "CC"]] * 2 + [["d"]] * 3
    assert table.notes == (
        f"{folder / 'two.tsv'}: 4 rows name 3 images; the captions of each image are merged",
        "the training tables together: 5 rows name 4 images; the captions of each image are merged",
    )


@pytest.mark.parametrize("name", ["captions.tsv.gz", "captions.tsv"])
def test_a_compressed_table_is_refused_before_it_takes_memory(name: str, tmp_path: Path) -> None:
    """A few kB can stand for gigabytes."""
    (tmp_path / name).write_bytes(gzip.compress(b"image\tcaption\n" + b"1.jpg\ta dog\n" * 10_000))
    for read in (read_captions, read_names):
        with pytest.raises(InputError, match=rf"{name} is compressed.*: decompress it"):
            read(tmp_path / name)

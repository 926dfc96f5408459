"""Every format yields the rows of the TSV; what is wrong with a file is one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simclip.data.image_store import open_pictures
from simclip.data.images import resize_antialiased
from simclip.data.members import Members, joined, numbered, stamps
from simclip.data.pair_table import read_names, read_table, read_training_tables
from simclip.data.sources import parquet
from simclip.data.sources.places import files_of
from simclip.data.table import Reading, Table
from simclip.errors import InputError
from tests.data.formats import Row, captions_of, write_csv, write_jsonl, write_parquet, write_shards

Write = Callable[[Path, list[Row], Path], Path]
WRITERS: dict[str, Write] = {
    "csv": lambda folder, rows, images: write_csv(folder / "train.csv", rows),
    "jsonl": lambda folder, rows, images: write_jsonl(folder / "train.jsonl", rows),
    "parquet": lambda folder, rows, images: write_parquet(folder / "train.parquet", rows, images),
    "parquet of paths": lambda folder, rows, images: write_parquet(folder / "train.parquet", rows, None),
    "shards": write_shards,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_rows_captions_and_pictures_are_those_of_the_tsv(
    write: Write, rows: list[Row], images: Path, tmp_path: Path
) -> None:
    table = read_table(write(tmp_path, rows, images), images)
    assert captions_of(table) == [captions for _, captions in rows]
    assert [each.read_bytes() for each in table.images] == [(images / name).read_bytes() for name, _ in rows]
    paths = [images / name for name, _ in rows]
    for store in ("on", "off"):
        ours, theirs = (open_pictures(those, 8, resize_antialiased, store) for those in (table.images, paths))
        assert all((ours[row] == theirs[row]).all() for row in (0, 17, 39))


def test_a_folder_globs_and_braces(rows: list[Row], images: Path, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "metadata.jsonl", rows)
    for name, _ in rows:
        (tmp_path / name).symlink_to(images / name)
    assert captions_of(read_table(tmp_path)) == [captions for _, captions in rows]
    for number in range(3):
        write_csv(tmp_path / f"part-{number}.csv", rows[number::3])
    there = {"{0..2}": [0, 1, 2], "{2,0}": [2, 0], "*": [0, 1, 2], "[01]": [0, 1]}
    for pattern, numbers in there.items():
        read = read_table(tmp_path / f"part-{pattern}.csv")
        assert captions_of(read) == [captions for number in numbers for _, captions in rows[number::3]]
    with pytest.raises(InputError, match=r"no file matches .*none-\*\.csv"):
        files_of(tmp_path / "none-*.csv")
    with pytest.raises(InputError, match=r"stands for no file, or for more than 100,000"):
        files_of("x/{0..99999999}.tar")
    with pytest.raises(InputError, match=r"images is a folder without metadata.jsonl"):
        files_of(images)


def test_columns_of_openclip_and_of_hugging_face(images: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('filepath,title,note\n000.png,"a, b",n\n001.png,"say ""hi""",m\n')
    assert captions_of(read_table(tmp_path / "a.csv", images)) == [["a, b"], ['say "hi"']]
    (tmp_path / "b.csv").write_text('filepath\ttitle\n000.png\t"a, b"\n')  # as OpenCLIP's own example is
    assert captions_of(read_table(tmp_path / "b.csv", images)) == [["a, b"]]
    (tmp_path / "c.tsv").write_text('filepath\ttitle\n000.png\t"a, b"\n')  # a TSV is literal
    assert captions_of(read_table(tmp_path / "c.tsv", images)) == [['"a, b"']]
    chosen = Reading(image_column="picture", caption_columns=["x"])
    (tmp_path / "d.jsonl").write_text('{"picture": "000.png", "x": ["a", " ", "b"], "text": "no"}\n\n')
    assert captions_of(read_table(tmp_path / "d.jsonl", images, chosen)) == [["a", "b"]]
    inside = {"file_name": str(images.absolute() / "000.png"), "text": "x"}
    (tmp_path / "e.jsonl").write_text(json.dumps(inside))
    assert len(read_table(tmp_path / "e.jsonl", images)) == 1


BAD_TEXTS = {
    "empty.jsonl": ("", r"empty.jsonl is empty: expected lines such as"),
    "cut.jsonl": ('{"file_name": "000.png", "text": "a"}\n{"file_n', r"cut.jsonl, line 2: not JSON .*cut off"),
    "list.jsonl": ("[1]\n", r"list.jsonl, line 1: expected an object"),
    "number.jsonl": ('{"image": "000.png", "caption": 3}', r"number.jsonl, line 1: a caption is 3, not a text"),
    "none.jsonl": ('{"image": "000.png", "caption": []}', r"none.jsonl, line 1: the column caption is empty"),
    "name.jsonl": ('{"image": null, "caption": "x"}', r"name.jsonl, line 1: image is None, not the name of a picture"),
    "out.jsonl": (
        '{"image": "../000.png", "caption": "x"}',
        r"out.jsonl, line 1: image '../000.png' leaves its folder",
    ),
    "root.csv": ("image,caption\n/etc/hostname,x\n", r"root.csv, row 1: image '/etc/hostname' leaves its folder"),
    "deep.jsonl": ("[" * 100_000, r"deep.jsonl, line 1: not JSON"),
    "open.csv": ('image,caption\n000.png,"x\n', r"open.csv: .*EOF inside string"),
    "more.csv": ("image,caption\n000.png,x,y\n", r"more.csv, line 2: more fields .* a comma in a field needs quotes"),
    "columns.csv": ("a,b\n1,2\n", r"columns.csv has no column 'image' but a, b"),
    "table.csv.gz": ("", r"table.csv.gz is compressed.*: decompress it"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_bad_text_table_is_one_clear_line(name: str, images: Path, tmp_path: Path) -> None:
    text, message = BAD_TEXTS[name]
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_table(tmp_path / name, images)
    assert "\n" not in str(caught.value)


# Parquet


def test_parquet_with_text_with_plain_bytes_and_with_pictures_missing(images: Path, tmp_path: Path) -> None:
    content = [(images / f"{number:03d}.png").read_bytes() for number in range(3)]
    plain = pa.table({"image": pa.array([*content, None], pa.large_binary()), "text": ["a", "b", "c", "d"]})
    pq.write_table(plain, tmp_path / "plain.parquet", row_group_size=3)
    table = read_table(tmp_path / "plain.parquet")
    assert [each.read_bytes() for each in table.images] == [*content, b""]
    with pytest.raises(InputError, match=r"plain.parquet/3 cannot be read as an image \(the file is empty\)"):
        open_pictures(table.images, 8, resize_antialiased)
    named = pa.table({"file_name": ["000.png", "001.png"], "text": [["a", "b"], ["c"]]})
    pq.write_table(named, tmp_path / "named.parquet")
    assert read_table(tmp_path / "named.parquet", images).images == [images / "000.png", images / "001.png"]


def test_bad_parquet_is_one_clear_line(
    rows: list[Row], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_parquet(tmp_path / "a.parquet", rows, images)
    whole = path.read_bytes()
    for damaged in (whole[:-100], whole[: len(whole) // 2], b"", b"PAR1" + bytes(99)):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match=r"a.parquet is damaged or no Parquet file \([^\n]*\): replace it$"):
            read_table(path)
    path.write_bytes(whole)
    monkeypatch.setattr(parquet, "MAX_GROUP", 1000)
    with pytest.raises(InputError, match=r"a.parquet: row group 0 has .* write the file again with smaller row groups"):
        read_table(path)
    pq.write_table(pa.table({"image": [1.5], "text": ["a"]}), path)
    with pytest.raises(InputError, match=r"column image of double holds neither pictures nor the paths"):
        read_table(path)
    out = pa.table({"image": pa.array([{"bytes": None, "path": "../x.png"}]), "text": ["a"]})
    pq.write_table(out, path)
    with pytest.raises(InputError, match=r"a.parquet, row 0: image '../x.png' leaves its folder"):
        read_table(path, images)


def test_a_table_may_name_pictures_in_shards(rows: list[Row], images: Path, tmp_path: Path) -> None:
    write_shards(tmp_path / "shards", rows, images)
    (tmp_path / "new.tsv").write_text("image\tcaption\n00001.tar/000017.png\tseventeen\n00000.tar/000002.png\ttwo\n")
    table = read_table(tmp_path / "new.tsv", tmp_path / "shards")
    assert [each.read_bytes() for each in table.images] == [
        (images / name).read_bytes() for name in ("017.png", "002.png")
    ]
    (tmp_path / "new.tsv").write_text("image\tcaption\n00001.tar/000002.png\ttwo\n")
    with pytest.raises(InputError, match=r"1 of 1 images are not in .*shards: 00001.tar/000002.png"):
        read_table(tmp_path / "new.tsv", tmp_path / "shards")
    assert read_names(tmp_path / "shards" / "00001.tar")[0] == "00001.tar/000016.png"


# Many pictures


def test_pictures_as_arrays_behave_as_a_list(rows: list[Row], images: Path, tmp_path: Path) -> None:
    shards = read_table(write_shards(tmp_path, rows, images)).images
    bytes_ = read_table(write_parquet(tmp_path / "a.parquet", rows, images)).images
    assert isinstance(shards, Members) and isinstance(bytes_, Members)
    together = joined([bytes_, shards, shards])
    assert isinstance(together, Members) and [*together] == [*bytes_, *shards, *shards]
    assert len({*together}) == 80 and len({str(each) for each in together}) == 80
    repeated = together.take(np.array([5, 3, 50, 5, 90, 50]))
    unique, number = numbered(repeated)
    assert [*unique] == [*dict.fromkeys(repeated)]
    assert [unique[each] for each in number] == [*repeated]
    assert [*repeated[1:3]] == [together[3], together[50]]
    mixed = joined([[images / "000.png"], shards])
    assert isinstance(mixed, list) and stamps(mixed) != stamps([images / "000.png", *bytes_])


def test_training_tables_of_several_formats(pairs: Path, rows: list[Row], images: Path, tmp_path: Path) -> None:
    tables = [
        Table(tsv=write_shards(tmp_path, rows[:20], images), limit=5, repeat=2),
        Table(tsv=pairs / "train.tsv", image_dir=images, limit=3),
        Table(tsv=write_parquet(tmp_path / "a.parquet", rows, images), limit=4),
    ]
    table = read_training_tables(tables)
    numbers = [*range(5), *range(5), *range(3), *range(4)]
    assert captions_of(table) == [rows[number][1] for number in numbers]
    assert [each.read_bytes() for each in table.images] == [(images / rows[n][0]).read_bytes() for n in numbers]

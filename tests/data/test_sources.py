"""Every format yields the rows of the TSV; what is wrong with a file is one clear line."""

from __future__ import annotations

import json
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simclip.data.image_store import open_pictures
from simclip.data.images import resize_antialiased
from simclip.data.members import Members, joined, numbered, stamps
from simclip.data.pair_table import CaptionTable, read_names, read_table, read_training_tables
from simclip.data.sources import parquet, tar
from simclip.data.sources.places import files_of
from simclip.data.table import Reading, Table
from simclip.errors import InputError
from tests.data.formats import Row, rows_of, write_csv, write_jsonl, write_parquet, write_shards, write_tar

SKIP = Reading(skip_bad=True)


@pytest.fixture
def images(pairs: Path) -> Path:
    return pairs / "images"


@pytest.fixture
def rows(pairs: Path) -> list[Row]:
    return rows_of(pairs / "train.tsv")


def captions_of(table: CaptionTable) -> list[list[str]]:
    return [table.captions[begin:end] for begin, end in zip(table.starts, table.starts[1:], strict=False)]


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


# Tar


def members(images: Path, count: int = 4) -> list[tuple[str, bytes]]:
    return [
        (f"{row:03d}.{kind}", content)
        for row in range(count)
        for kind, content in (("png", (images / f"{row:03d}.png").read_bytes()), ("txt", f"caption {row}".encode()))
    ]


def test_layouts_of_tar_files(images: Path, tmp_path: Path) -> None:
    plain = members(images)
    layouts = {
        "plain": plain,
        "texts after all pictures": [*plain[::2], *plain[1::2]],
        "in a folder": [(f"./part/{name}", content) for name, content in plain],
        "long names": [("x" * 150 + name, content) for name, content in plain],
        "ü": [(f"ü{name}", content) for name, content in plain],
        "with others": [*plain, ("README", b"x"), ("000.seg.png", b"x"), ("._000.png", b"x")],
    }
    for number, (name, content) in enumerate(layouts.items()):
        for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
            if form != tarfile.USTAR_FORMAT or name != "long names":
                path = write_tar(tmp_path / f"{number}-{form}.tar", content, format=form)
                table = read_table(path)
                assert captions_of(table) == [[f"caption {row}"] for row in range(4)], name
                assert [each.read_bytes() for each in table.images] == [each for _, each in plain[::2]], name


def test_captions_in_text_and_json(images: Path, tmp_path: Path) -> None:
    picture = (images / "000.png").read_bytes()
    both = {"caption": "from json", "title": "a title", "width": 3}
    content = [("0.png", picture), ("0.txt", b" from text \n"), ("0.json", json.dumps(both).encode())]
    path = write_tar(tmp_path / "a.tar", content)
    assert captions_of(read_table(path)) == [["from text"]]
    wanted = Reading(caption_columns=["title", "caption"])
    assert captions_of(read_table(path, reading=wanted)) == [["a title", "from json"]]
    assert str(read_table(path).images[0]) == f"{path}/0.png"


PROBLEMS = {
    "no caption": ([("9.png", b"x")], r"a.tar/9: no caption \(txt or json\): replace it, or leave it out"),
    "no picture": ([("9.txt", b"x")], r"a.tar/9: no picture \(jpg, jpeg, png, webp\)"),
    "two pictures": ([("9.png", b"x"), ("9.jpg", b"x"), ("9.txt", b"x")], r"a.tar/9: has more than one picture"),
    "a repeated key": ([("000.txt", b"x"), ("9.png", b"x")], r"a.tar/000: has more than one txt \(2 such problems"),
    "an empty text": ([("9.png", b"x"), ("9.txt", b" ")], r"a.tar/9: its txt has no caption"),
    "not UTF-8": ([("9.png", b"x"), ("9.txt", b"\xff")], r"a.tar/9: its txt is no caption \('utf-8' codec"),
    "not JSON": ([("9.png", b"x"), ("9.json", b"{")], r"a.tar/9: its json is no caption"),
    "a list": ([("9.png", b"x"), ("9.json", b"[]")], r"a.tar/9: its json"),
    "no such field": ([("9.png", b"x"), ("9.json", b'{"url": "x"}')], r"a.tar/9: its json has no caption column but u"),
    "a long text": (
        [("9.png", b"x"), ("9.txt", b"x" * (tar.MAX_TEXT + 1))],
        r"a.tar/9: its txt has more than 1,048,576",
    ),
    "a newline": ([("9\n.png", b"x"), ("9\n.txt", b"x")], r"a.tar/9\\n: is no valid key"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_bad_pair_is_one_line_or_left_out(name: str, images: Path, tmp_path: Path) -> None:
    extra, message = PROBLEMS[name]
    path = write_tar(tmp_path / "a.tar", [*members(images), *extra])
    with pytest.raises(InputError, match=message) as caught:
        read_table(path)
    assert "\n" not in str(caught.value)
    table = read_table(path, reading=SKIP)
    assert len(table) + sum("/000" in each for each in table.left_out) == 4
    assert "pairs left out (train.bad_images=skip), the first" in table.notes[0]
    assert table.left_out


def damaged(images: Path, change: Callable[[bytearray], bytearray | bytes], path: Path) -> Path:
    write_tar(path, members(images), format=tarfile.USTAR_FORMAT)
    path.write_bytes(change(bytearray(path.read_bytes())))
    return path


def resized(position: int, field: bytes) -> Callable[[bytearray], bytearray]:
    """Another size in the header at a position, with the right checksum."""

    def change(content: bytearray) -> bytearray:
        header = content[position : position + 512]
        header[124:136] = field
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
        content[position : position + 512] = header
        return content

    return change


THIRD = 3 * 512 + 512  # of four members of one block each, the header of the third: 000.png, 000.txt, 001.png
DAMAGES: dict[str, Callable[[bytearray], bytearray | bytes]] = {
    "cut in a picture": lambda content: content[: THIRD + 700],
    "cut in a header": lambda content: content[: THIRD + 100],
    "cut between members": lambda content: content[:THIRD],
    "a header overwritten": lambda content: content[:THIRD] + b"x" * 512 + content[THIRD + 512 :],
    "a size beyond the end": resized(THIRD, b"77777777777\0"),
    "a negative size": resized(THIRD, b"\xff" + struct.pack(">q", -1024).rjust(11, b"\xff")),
    "a huge size": resized(THIRD, b"\x80" + b"\x7f" * 11),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_shard_is_one_line_or_what_is_before_the_damage(name: str, images: Path, tmp_path: Path) -> None:
    path = damaged(images, DAMAGES[name], tmp_path / "a.tar")
    with pytest.raises(InputError, match=r"a.tar/\(end\): the shard is damaged after key 00[01]: ") as caught:
        read_table(path)
    assert "\n" not in str(caught.value)
    table = read_table(path, reading=SKIP)
    assert set(table.captions) <= {"caption 0"}
    assert all(each.read_bytes() == (images / "000.png").read_bytes() for each in table.images)


def test_headers_that_claim_much_take_no_memory(images: Path, tmp_path: Path) -> None:
    """An extended header of a gigabyte, in a sparse file, is refused by its size; so are thousands in a row."""
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("././@PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 1 << 30
    path.write_bytes(info.tobuf())
    os.truncate(path, 1 << 30)
    with pytest.raises(InputError, match=r"a header claims 1073741824 bytes"):
        read_table(path)
    info.size = 512
    path.write_bytes((info.tobuf() + b"30 comment=xxxxxxxxxxxxxxxxxx\n".ljust(512, b"\0")) * 3000)
    with pytest.raises(InputError, match=r"the shard is damaged"):
        read_table(path)


def test_links_in_a_shard_are_not_followed(images: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        link = tarfile.TarInfo("9.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    with write_tar(tmp_path / "b.tar", [("9.txt", b"x"), ("../../8.png", b"x"), ("../../8.txt", b"x")]).open("rb") as b:
        path.write_bytes(path.read_bytes()[:512] + b.read())
    with pytest.raises(InputError, match=r"a.tar/9: no picture"):
        read_table(path)
    (outside,) = read_table(path, reading=SKIP).images  # a name alone: nothing is written anywhere
    assert outside.read_bytes() == b"x"


@pytest.mark.parametrize("mode", ["gz", "bz2", "xz"])
def test_a_compressed_shard_is_refused_by_name_and_by_content(mode: str, tmp_path: Path) -> None:
    for name in (f"a.tar.{mode}", "a.tar"):
        with tarfile.open(tmp_path / name, f"w:{mode}"):
            pass
        with pytest.raises(InputError, match=rf"{name} is compressed.*: decompress it"):
            read_table(tmp_path / name)


def test_the_index_is_kept_until_a_shard_changes(
    rows: list[Row], images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed: list[str] = []
    index = tar._index
    monkeypatch.setattr(tar, "_index", lambda file, columns: indexed.append(file.path.name) or index(file, columns))
    place = write_shards(tmp_path, rows, images)
    first = stamps(read_table(place).images)
    assert sorted(indexed) == ["00000.tar", "00001.tar", "00002.tar"]
    assert stamps(read_table(place).images) == first and len(indexed) == 3
    os.utime(tmp_path / "00001.tar", ns=(1, 1))
    assert stamps(read_table(place).images) != first
    assert indexed[3:] == ["00001.tar"]


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

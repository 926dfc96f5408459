"""Tar shards: their layouts, and what is wrong with one is a clear line or left out."""

from __future__ import annotations

import json
import os
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from simclip.data.members import stamps
from simclip.data.pair_table import read_table
from simclip.data.sources import tar
from simclip.data.table import Reading
from simclip.errors import InputError
from tests.data.formats import Row, captions_of, write_shards, write_tar

SKIP = Reading(skip_bad=True)


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

"""Pairs of a true and a false caption, read from TSV and from JSON as SugarCrepe publishes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simclip.data.caption_pairs import read_caption_pairs
from simclip.errors import InputError

ENTRY = {"filename": "a.jpg", "caption": "a red dog", "negative_caption": "a dog in red"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def written(folder: Path, content: Any, name: str = "swap_att.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=4), encoding="utf-8")
    return path


def test_sugar_crepes_files_are_read_as_published(folder: Path) -> None:
    # Indices may have gaps, captions spaces at their ends.
    first = {"0": ENTRY, "7": {"filename": "b.jpg", "caption": 'a "cat" ', "negative_caption": "no cat"}}
    files = [written(folder, first, "swap_obj.json"), written(folder, {"0": ENTRY}, "add_att.json")]
    pairs = read_caption_pairs(files, folder)
    assert pairs.images == [folder / "a.jpg", folder / "b.jpg", folder / "a.jpg"]
    assert pairs.captions == ["a red dog", 'a "cat"', "a red dog"]
    assert pairs.negatives == ["a dog in red", "no cat", "a dog in red"]
    assert pairs.categories == ["swap_obj", "swap_obj", "add_att"]
    assert pairs.category_names == ["swap_obj", "add_att"]


def test_sugar_crepe_plus_plus_has_a_list_and_a_second_caption(folder: Path) -> None:
    entries = [{"id": number, **ENTRY, "caption2": f" second {number}"} for number in range(2)]
    pairs = read_caption_pairs([written(folder, entries), written(folder, {"0": ENTRY}, "old.json")], folder)
    assert pairs.seconds == ["second 0", "second 1", "a red dog"]
    assert pairs.categories == ["swap_att", "swap_att", "old"]
    tsv = written(folder, "image\tcaption\tnegative_caption\tcaption2\na.jpg\tx\ty\tz\n", "x.tsv")
    assert read_caption_pairs([tsv], folder).seconds == ["z"]
    with pytest.raises(InputError, match=r"swap_att.json, entry '1': no caption2; write one or remove the entry"):
        read_caption_pairs([written(folder, [entries[0], {**ENTRY, "caption2": ""}])], folder)


def test_a_folder_stands_for_its_json_files_by_name(folder: Path) -> None:
    for name in ("swap_obj", "add_att"):
        written(folder, {"0": ENTRY}, f"{name}.json")
    assert read_caption_pairs([folder], folder).category_names == ["add_att", "swap_obj"]


def test_a_tsv_has_its_categories_in_a_column_or_in_its_name(folder: Path) -> None:
    head = "image\tcaption\tnegative_caption"
    with_column = written(folder, f'{head}\tcategory\na.jpg\tx\ty\tcolour\n\nb.jpg\tNA\t"z\tsize\n', "x.tsv")
    without = written(folder, f"{head}\tnote\na.jpg\tx\ty\t\n", "order.tsv")
    pairs = read_caption_pairs([with_column, without], folder)
    assert pairs.categories == ["colour", "size", "order"]
    assert (pairs.captions, pairs.negatives) == (["x", "NA", "x"], ["y", '"z', "y"])


def without(name: str) -> dict[str, str]:
    return {key: value for key, value in ENTRY.items() if key != name}


JSON = {
    "no JSON": ('{"0": {', r"swap_att.json, line 1: not JSON \(.*\); expected {\"0\": {\"filename\": ..., .*}"),
    "a TSV": ("image\tcaption\n", r"swap_att.json, line 1: not JSON"),
    "a list, as ARO's": ([ENTRY], r"swap_att.json: expected {\"0\": .*, found a list$"),
    "nothing": ({}, r"swap_att.json: expected .*, found an object without entries$"),
    "a number": (7, r"swap_att.json: expected .*, found a number$"),
    "texts": ({"0": "x"}, r"swap_att.json, entry '0': expected filename, caption, negative_caption, found a text$"),
    "no negative": (
        {"3": without("negative_caption")},
        r"swap_att.json, entry '3': negative_caption is missing; every entry has filename, caption, negative_caption$",
    ),
    "no file": ({"3": without("filename")}, r"entry '3': filename is missing"),
    "several negatives": (
        {"3": {**ENTRY, "negative_caption": ["x"]}},
        r"entry '3': negative_caption is a list, not te",
    ),
    "null": ({"3": {**ENTRY, "caption": None}}, r"entry '3': caption is null, not text"),
    "an empty negative": (
        {"3": {**ENTRY, "negative_caption": " "}},
        r"swap_att.json, entry '3': no negative_caption; write one or remove the entry$",
    ),
    "an absent image": ({"3": {**ENTRY, "filename": "c.jpg"}}, r"swap_att.json: 1 of 1 images are not in .*: c.jpg$"),
    "an image elsewhere": ({"3": {**ENTRY, "filename": "../a.jpg"}}, r"entry '3': image '../a.jpg' leaves its folder"),
}
TSV = {
    "no negatives": (
        "image\tcaption\na.jpg\tx\n",
        r"x.tsv has no column negative_caption but image, caption: pairs are scored by the columns image, caption, "
        r"negative_caption and, optionally, category$",
    ),
    "no negative": (
        "image\tcaption\tnegative_caption\na.jpg\tx\ty\na.jpg\tx\t\n",
        r"x.tsv, line 3: no negative_caption; write one or remove the line$",
    ),
    "no category": (
        "image\tcaption\tnegative_caption\tcategory\na.jpg\tx\ty\tcolour\na.jpg\tx\ty\t\n",
        r"x.tsv, line 3: no category; write one or remove the line$",
    ),
    "a slash": (
        "image\tcaption\tnegative_caption\tcategory\na.jpg\tx\ty\ta/b\n",
        r"x.tsv, line 2: category 'a/b' has a slash",
    ),
    "nothing": ("", r"x.tsv is empty: expected a header with image, caption, negative_caption and a line per pair$"),
}


@pytest.mark.parametrize("case", JSON)
def test_json_that_is_not_what_it_says_is_refused(folder: Path, case: str) -> None:
    content, said = JSON[case]
    with pytest.raises(InputError, match=said) as error:
        read_caption_pairs([written(folder, content)], folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", TSV)
def test_a_tsv_that_is_not_what_it_says_is_refused(folder: Path, case: str) -> None:
    content, said = TSV[case]
    with pytest.raises(InputError, match=said) as error:
        read_caption_pairs([written(folder, content, "x.tsv")], folder)
    assert "\n" not in str(error.value)


def test_files_that_are_not_there_or_no_text_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"^no such JSON file: .*absent.json$"):
        read_caption_pairs([folder / "absent.json"], folder)
    with pytest.raises(InputError, match=r"^no such TSV file: .*absent.tsv; .* image, caption, negative_caption$"):
        read_caption_pairs([folder / "absent.tsv"], folder)
    with pytest.raises(InputError, match=r"has no .json file: expected SugarCrepe's, one for each category$"):
        read_caption_pairs([folder], folder)
    (folder / "swap.json").write_bytes(b'{"0": "\xff"}')
    with pytest.raises(InputError, match=r"swap.json is not UTF-8 text"):
        read_caption_pairs([folder / "swap.json"], folder)
    with pytest.raises(InputError, match=r"^no such image folder: .*nowhere"):
        read_caption_pairs([written(folder, {"0": ENTRY})], folder / "nowhere")

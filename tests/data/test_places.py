"""Data in a bucket: copied once per node and version, read as files are, and nothing secret on record."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from simclip.data.image_store import open_pictures
from simclip.data.images import resize_antialiased
from simclip.data.pair_table import read_table
from simclip.data.sources import places
from simclip.data.sources.places import files_of
from simclip.errors import InputError
from simclip.runtime.cache import cache_folder
from simclip.train.config import TrainConfig
from tests.data.formats import Row, write_parquet, write_shards


@pytest.fixture(params=["memory", "s3"])
def bucket(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "memory":
        yield f"memory://{tmp_path.name}"
    else:
        request.getfixturevalue("s3")
        yield f"s3://studies/{tmp_path.name}"


def send(path: Path, uri: str) -> None:
    files, there = fsspec.core.url_to_fs(f"{uri}/{path.name}")
    files.put_file(str(path), there)


def test_shards_and_parquet_are_copied_once_and_again_when_they_change(
    bucket: str, rows: list[Row], pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    make = places._Copy.make
    monkeypatch.setattr(places._Copy, "make", lambda each: made.append(each.title) or make(each))
    here = tmp_path / "shards"
    write_shards(here, rows, pairs / "images")
    send(write_parquet(tmp_path / "a.parquet", rows, pairs / "images"), bucket)
    for shard in here.iterdir():
        send(shard, bucket)
    expected = [(pairs / "images" / name).read_bytes() for name, _ in rows]
    for place in ("{00000..00002}.tar", "*.tar", "a.parquet"):
        table = read_table(f"{bucket}/{place}")
        assert [each.read_bytes() for each in table.images] == expected, place
        assert table.captions == [caption for _, captions in rows for caption in captions]
    assert str(table.images[3]).endswith(f"/{tmp_path.name}/a.parquet/3/003.png")
    assert sorted(Path(each).name for each in made) == ["00000.tar", "00001.tar", "00002.tar", "a.parquet"]
    assert len(open_pictures(table.images, 8, resize_antialiased, "on")) == 40

    send(write_parquet(tmp_path / "a.parquet", rows[:7], pairs / "images"), bucket)
    fsspec.core.url_to_fs(bucket)[0].invalidate_cache()
    assert len(read_table(f"{bucket}/a.parquet")) == 7 and len(made) == 5


def test_what_is_not_in_the_bucket_is_one_line(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for place, message in (("none.tar", rf"^{bucket}/none.tar: \w+: "), ("none-*.tar", "no file matches")):
        with pytest.raises(InputError, match=message) as caught:
            files_of(f"{bucket}/{place}")
        assert "\n" not in str(caught.value)
    fsspec.core.url_to_fs(bucket)[0].pipe_file(fsspec.core.url_to_fs(f"{bucket}/a.tar")[1], b"x" * 1000)
    monkeypatch.setattr(places.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 10}))
    with pytest.raises(InputError, match=r"a.tar: a copy in .* takes 1e-06 GB, but only 1e-08 GB are free"):
        files_of(f"{bucket}/a.tar")
    assert not [*cache_folder().glob("copy-*")]


def test_a_uri_stays_as_it_is_and_a_secret_in_it_is_refused() -> None:
    uri = "s3://bucket/shards/{00000..00331}.tar"
    config = TrainConfig(train_tsv=uri, evaluate=[{"kind": "retrieval", "name": "x", "tsv": uri}])
    assert config.train_tsv == uri and config.tables[0].tsv == uri
    again: Any = TrainConfig.model_validate_json(config.model_dump_json())
    assert again == config and json.loads(config.model_dump_json())["evaluate"][0]["tsv"] == uri
    for secret in ("s3://me:planted@bucket/a.tar", "https://host/a.tar?signature=planted"):
        with pytest.raises(InputError, match="the URI holds a password or key") as caught:
            read_table(secret)
        assert "planted" not in str(caught.value)
        with pytest.raises(InputError, match="the URI holds a password or key"):
            TrainConfig(train_tsv=secret)

"""Files that are there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from simclip.runtime.files import PART, drop_parts, write_atomically


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, "one")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "two \ud800")
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_what_was_being_written_is_dropped(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "kept", "")
    (tmp_path / "a" / f".kept.123{PART}").write_text("ha")
    drop_parts(tmp_path)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["kept"]

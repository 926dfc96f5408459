"""The demo's data are generated for a study that uses them, once it is known to be right."""

from __future__ import annotations

import pytest

from simclip.errors import InputError
from simclip.study.store import study_file
from simclip.study.store.study_file import DEMO, load_with_data


def test_a_wrong_study_is_refused_before_the_demos_data_are_generated(monkeypatch: pytest.MonkeyPatch) -> None:
    generated: list[object] = []
    monkeypatch.setattr(study_file, "ensure_dataset", lambda notify: generated.append(notify))
    with pytest.raises(InputError, match="did you mean epochs"):
        load_with_data(DEMO, ("train.epoch=2",))
    assert generated == []
    load_with_data(DEMO, ("train.epochs=2",), notify=print)
    assert generated == [print]

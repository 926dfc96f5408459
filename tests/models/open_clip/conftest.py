"""OpenCLIP, where it is installed."""

from __future__ import annotations

from types import ModuleType

import pytest


@pytest.fixture(scope="module")
def open_clip() -> ModuleType:
    return pytest.importorskip("open_clip", reason="pip install -r requirements-evaluation.txt")

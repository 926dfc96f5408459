"""Compile the card and run a script on it: `python -m tests.fake_cuda step vit-b-32:1024:31`."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from tests.fake_cuda import library

with tempfile.TemporaryDirectory() as folder:
    os.environ["FAKE_CUDA"] = str(library(Path(folder)))
    code = os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", "tests.fake_cuda.load", *sys.argv[1:]])
sys.exit(code)

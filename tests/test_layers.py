"""Imports point one way only: core <- study <- face. The core does without Ray, wandb and Optuna."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import tune

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "simclip").rglob("*.py"))


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> str:
    """The layer of a module of the project; `python -m simclip` is a face too."""
    if module == "simclip.__main__":
        return "face"
    second = [*module.split("."), ""][1]
    return second if second in ("study", "face") else "core"


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


LAYERS = {
    layer: [path for path in SOURCES if layer_of(module_of(path)) == layer] for layer in ("core", "study", "face")
}
FORBIDDEN = {"core": ("study", "face"), "study": ("face",), "face": ()}


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_imports_point_one_way(layer: str) -> None:
    for path in LAYERS[layer]:
        upwards = [
            each for each in imports_of(path) if each.startswith("simclip.") and layer_of(each) in FORBIDDEN[layer]
        ]
        assert not upwards, f"{path} imports {upwards}"


def test_the_core_imports_no_ray_wandb_or_optuna() -> None:
    """In a fresh process, every module of the core."""
    modules = [module_of(path) for path in LAYERS["core"]]
    assert {"simclip.training", "simclip.clusters.plan", "simclip.evaluation.recall"} <= set(modules)
    program = (
        "import importlib, sys\n"
        f"for module in {modules}: importlib.import_module(module)\n"
        "found = {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(', '.join(sorted(found & {'ray', 'wandb', 'optuna'})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", ["fields", "prepare", "status", "report"])
def test_what_trains_nothing_does_not_wait_for_torch(command: str) -> None:
    program = (
        f"import sys, tune; tune.command({command!r}); print(*sorted({{'torch', 'transformers'}} & {{*sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "" and done.returncode == 0, done


def test_the_help_names_every_command_as_its_own_help_does() -> None:
    """The list is made without importing them."""
    assert set(tune.COMMANDS) >= {"run", "report", "reproduce", "clusters"}
    for name in tune.COMMANDS:
        assert tune.described(name).__doc__ == inspect.getdoc(tune.command(name))

"""Imports go one way: each package imports only those before it. What comes before `study` does without Ray."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted((ROOT / "simclip").rglob("*.py"))

#: The packages of simclip from the bottom up; those of one line do not import each other.
ORDER = [
    ("errors",),
    ("config",),
    ("runtime",),
    ("data",),
    ("models", "prepare"),
    ("clusters", "evaluation", "demo"),
    ("train",),
    ("study.spec",),
    ("study.search",),
    ("study.store",),
    ("study.analysis",),
    ("study.interpolation",),
    ("study.execution",),
    ("cli.wording",),
    ("html", "cli.terminal"),
    ("report", "clusters_page"),
    ("cli", "cli.commands", "tiny", "notebook", "__main__"),
]
LEVELS = {package: level for level, packages in enumerate(ORDER) for package in packages}
CORE = LEVELS["study.spec"]


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def package_of(module: str) -> str | None:
    """The package of a module of the project in ORDER; None for `simclip` and `simclip.study`, which hold no code."""
    if not module.startswith("simclip."):
        return None
    first, second = (*module.split(".")[1:], "", "")[:2]
    return next((name for name in (f"{first}.{second}", first) if name in LEVELS), None)


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


def test_every_module_has_its_place_in_the_order() -> None:
    without = [path for path in SOURCES if package_of(module_of(path)) is None]
    assert {module_of(path) for path in without} == {"simclip", "simclip.study"}


@pytest.mark.parametrize("package", LEVELS)
def test_a_package_imports_only_those_before_it(package: str) -> None:
    for path in (path for path in SOURCES if package_of(module_of(path)) == package):
        others = [each for each in imports_of(path) if package_of(each) not in (None, package)]
        allowed = LEVELS[package] + (package.partition(".")[0] in ("cli", "tiny", "notebook", "__main__"))
        upwards = [each for each in others if LEVELS[package_of(each) or ""] >= allowed]
        assert not upwards, f"{path} imports {upwards}"


def test_modules_import_nothing_in_a_circle() -> None:
    modules = {module_of(path): imports_of(path) for path in SOURCES}
    graph = {module: {each for each in imports if each in modules} for module, imports in modules.items()}
    while leaves := {module for module, imports in graph.items() if not imports - {module}}:
        graph = {module: imports - leaves for module, imports in graph.items() if module not in leaves}
    assert not graph, f"among these is a circle: {sorted(graph)}"


def test_no_module_is_long_and_no_folder_is_full() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert {name: lines for name, lines in lengths.items() if lines > 300} == {}
    folders: dict[Path, int] = {}
    for path in SOURCES:
        folders[path.parent] = folders.get(path.parent, 0) + (path.name != "__init__.py")
    assert {str(folder): count for folder, count in folders.items() if count > 15} == {}


def test_no_import_of_our_own_is_for_type_checkers_alone() -> None:
    """Torch and numpy may be: modules that are read without them name their types."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                assert "simclip" not in ast.unparse(node), path


def test_the_core_imports_no_ray_wandb_or_optuna() -> None:
    """In a fresh process, every module of the core."""
    modules = [module_of(path) for path in SOURCES if LEVELS.get(package_of(module_of(path)) or "", CORE) < CORE]
    assert {"simclip.train.loop", "simclip.clusters.plan", "simclip.evaluation.kinds.retrieval"} <= set(modules)
    program = (
        "import importlib, sys\n"
        f"for module in {modules}: importlib.import_module(module)\n"
        "found = {name.partition('.')[0] for name in sys.modules}\n"
        "sys.exit(', '.join(sorted(found & {'ray', 'wandb', 'optuna'})) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

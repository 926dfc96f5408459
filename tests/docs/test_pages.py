"""Links, anchors, paths, headings, defaults and figures of the pages."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest
from torch import nn

from simclip.evaluation.kinds import KINDS
from simclip.train.config import CLUSTER_FIELDS, TrainConfig
from tests.docs.defaults import BEGIN, END, tables
from tests.docs.pages import BY_NAME, PAGES, README, ROOT, Page
from tests.test_layers import ORDER, SOURCES
from tests.train.made import optimizer_of, schedule_of

#: Made by the demo or by an example, and not in a clone.
MADE = ("datasets/demo/", "datasets/mnist/", "datasets/coco/")
EVERY_PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    assert len(README.text.splitlines()) <= 250
    assert {page.name for page in PAGES[1:]} <= set(README.links)
    for page in PAGES[1:]:
        assert "[← README](../README.md)" in page.text


@EVERY_PAGE
def test_every_relative_link_leads_somewhere(page: Page) -> None:
    pictures = re.findall(r"!\[[^]]*\]\(([^)\s]+)\)", page.prose)
    for link in [*page.links, *pictures]:
        if link.startswith(("https://", "http://")):
            continue
        target, _, anchor = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        assert path.exists(), link
        if anchor:
            assert anchor in next(each for each in PAGES if each.path == path).anchors, link


@EVERY_PAGE
def test_every_file_of_the_project_that_is_named_exists(page: Page) -> None:
    tops = {path.name for path in ROOT.iterdir()} - {"results"}
    for span in page.spans:
        if re.fullmatch(r"[\w./-]+", span) and span.split("/")[0] in tops and not span.startswith(MADE):
            assert (ROOT / span).exists(), span
    for dotted in re.findall(r"`(?:python -m )?((?:simclip|tests)(?:\.\w+)+)`", page.prose):
        path = ROOT / dotted.replace(".", "/")
        assert path.is_dir() or path.with_suffix(".py").is_file(), dotted


def test_the_tree_names_every_package() -> None:
    (tree,) = [block for block in README.blocks("text") if "simclip/\n" in block]
    inside = [line for line in tree.splitlines() if line.startswith("  ")]
    named = [f"simclip/{line.split()[0]}" for line in inside]
    outside = [line.split()[0] for line in tree.splitlines() if not line.startswith("  ")]
    assert all((ROOT / name).exists() for name in [*named, *outside])
    packages = {str(path.parent.relative_to(ROOT)) for path in SOURCES} - {"simclip", "simclip/study"}
    folders = tuple(name for name in named if name.endswith("/"))
    assert {name for name in packages if not f"{name}/".startswith(folders)} == set()


def test_the_six_files_are_six() -> None:
    files = re.findall(r"^\d\. `(simclip/[\w/]+\.py)`", README.section("Read these six files first"), re.MULTILINE)
    assert len(set(files)) == 6
    assert all((ROOT / file).is_file() for file in files)


def test_contributing_has_the_packages_in_their_order() -> None:
    said = [re.findall(r"`([\w/]+)`", level) for level in BY_NAME["contributing"].section("The packages").split("→")]
    said[0] = [name for name in said[0] if name in ("errors", "demo")]
    flat = [name.replace("/", ".") for level in said for name in level]
    inner = {"cli.commands", "tiny", "__main__"}
    assert flat == [name for level in ORDER for name in level if name not in inner]


def test_the_tables_of_defaults_are_those_of_the_code() -> None:
    """`python -m tests.docs` writes them."""
    shown = BY_NAME["study-files"].text.split(BEGIN)[1].split(END)[0]
    assert shown.strip() == tables().strip()


def test_cluster_settings_and_metrics_are_all_described() -> None:
    settings = BY_NAME["study-files"].section("Cluster settings")
    assert [field for field in CLUSTER_FIELDS if f"`{field}`" not in settings] == []
    text = BY_NAME["evaluation-sets"].text
    for kind, schema in KINDS.items():
        (row,) = [line for line in text.splitlines() if line.startswith(f"| `{kind}` |")]
        left_out = [name for name in schema.metrics if f"`{name}`" not in row and not name.startswith("i2t_")]
        assert left_out == []


@pytest.mark.parametrize(
    ("pretrain", "rate", "steps", "name"), [(False, "1e-5", 200, "constant"), (True, "5e-4", 2000, "cosine")]
)
def test_learning_rate_warmup_and_schedule(pretrain: bool, rate: str, steps: int, name: str) -> None:
    section = BY_NAME["study-files"].section("Learning rate, warm-up and schedule")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("| ")]
    column = 2 if pretrain else 1
    assert [row[column].split()[0] for row in rows[2:]] == [rate, str(steps), name]

    config, long = TrainConfig(pretrain=pretrain), 10 * steps
    optimizer = optimizer_of(nn.Linear(2, 2), config)
    assert optimizer.param_groups[0]["lr"] == float(rate)
    schedule = schedule_of(optimizer, config, long)
    rates = []
    for _ in range(long):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert rates[0] == 0
    assert rates[steps] == max(rates) == float(rate)
    assert (rates[-1] == float(rate)) == (name == "constant")
    assert [TrainConfig().warmup_steps(length) for length in (500, 1000, 5000)] == [100, 200, 200]
    assert TrainConfig(lr_warmup_steps=300).warmup_steps(500) == 300
    said = [f"weight decay {config.weight_decay:g}", f"betas {config.beta1:g} and {config.beta2:g}", "epsilon 1e-6"]
    assert config.epsilon == 1e-6
    assert all(each in " ".join(section.split()) for each in said)


@pytest.mark.parametrize("message", [each for each in BY_NAME["troubleshooting"].headings if each.startswith("`")])
def test_every_message_of_troubleshooting_is_one_of_the_code(message: str) -> None:
    assert any(message.strip("`") in text for path in (*SOURCES, ROOT / "tune.py") for text in texts(path))


@functools.cache
def texts(path: Path) -> list[str]:
    """The text of every string of a module; what an f-string fills in is a brace."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(each.value) if isinstance(each, ast.Constant) else "{" for each in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found

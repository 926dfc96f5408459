"""Study files: reading them with their overrides, paths and the demo's data resolved, and writing them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from simclip.config.explain import explain
from simclip.config.schema import DEFAULT_METRIC, Strict
from simclip.demo.dataset import ensure_dataset
from simclip.errors import InputError
from simclip.study.search.plan import foreseen_arms, searcher_of
from simclip.study.spec.overrides import Override, overridden, read_mapping, read_overrides
from simclip.study.spec.portable_paths import PROJECT, portable
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import STUDY_FIELDS, settings_of
from simclip.train.config import TrainConfig

DEMO = Path("studies/demo.yaml")
DEMO_DATA = "datasets/demo/"
#: Stands for the demo block of a file that has none.
MISSING = object()
#: Fields of a study that describe its data and machines; with --demo, those of the demo study replace them.
REPLACED = ("train", "test", "confirm", "resources", "max_concurrent")


def load_with_data(
    path: Path, overrides: tuple[str, ...] = (), demo: bool = False, notify: Callable[[str], object] | None = None
) -> StudyConfig:
    """Read a study file (see `load_study`), and generate the demo's data if it uses them.

    A wrong study is refused before anything is generated. Paths are looked up again once the data exist.
    """
    located = locate(path)
    text = located.read_text(encoding="utf-8", errors="replace") if located.is_file() else ""
    shared = read_mapping(locate(DEMO)) if demo else None
    study = load_study(path, overrides, shared)
    if demo or DEMO_DATA in " ".join([text, *overrides]):
        ensure_dataset(notify=notify)
        study = load_study(path, overrides, shared)
    return study


def load_study(path: Path, overrides: Sequence[str] = (), demo: dict[str, Any] | None = None) -> StudyConfig:
    """Read a study file.

    Numbers such as 1e-5, which YAML takes for text, and fractions such as 1/2 for proportions are read as numbers.
    Relative paths are looked up from the working directory, then from the project's folder, and made absolute.

    Args:
        path: The YAML file; a relative path is looked up in the same way.
        overrides: Words such as `train.epochs=2` or `parameters.cluster_size.values=[4,8]`.
        demo: Content of the demo study, to run this study on its data, as its `demo` block says; None ignores the
            block.

    Raises:
        InputError: The file, an override or an arm is wrong.
    """
    path = locate(path) if locate(path).exists() else path
    changes = read_overrides(overrides)
    content, block = read_content(path)
    try:
        if demo is not None:
            StudyConfig.model_validate(content)
            content = _on_demo(path, content, block, demo)
        content = overridden(content, changes)
        study = _with_absolute_paths(StudyConfig.model_validate(content))
    except ValidationError as error:
        raise explain(error, _origin(error.errors()[0]["loc"], path, changes), StudyConfig) from None
    if wrong := study.contradiction or study.resources.refusal:
        raise InputError(f"{_origin(wrong.partition(':')[0].split('.'), path, changes)}: {wrong}")
    try:
        searcher = searcher_of(study)
    except ValueError as error:
        raise InputError(f"{_origin(('searcher',), path, changes)}: {error}") from None
    try:
        searcher.check(study)
        foreseen_arms(study)  # which refuses arms that make no valid training run
    except (ValueError, InputError) as error:
        raise InputError(f"{path}: {error}") from None
    return study


def read_content(path: Path) -> tuple[dict[str, Any], Any]:
    """Read a study file as it is written.

    Returns:
        The fields of the study, and the `demo` block, which is not one of them; MISSING if the file has none.
    """
    content = read_mapping(path)
    return content, content.pop("demo", MISSING)


def _on_demo(path: Path, content: Mapping[str, Any], block: Any, demo: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a study file that asks the same question of the demo's data.

    Args:
        path: The file.
        content: Its content without the block.
        block: Its `demo` block: fields that change, e.g. {parameters: {cluster_size: {values: [2, 4]}}}. Its train,
            parameters and other mappings are merged with those of the study; an entry replaces the one of its name.
        demo: Content of the demo study.
    """
    if block is MISSING:
        raise InputError(
            f"{path}: --demo needs a demo block that says what changes on the demo data, with batches of "
            f"{demo['train']['batch_size']}: add e.g. demo: {{parameters: {{cluster_size: {{values: [2, 4]}}}}}}, or "
            "demo: {} to keep every value"
        )
    if not isinstance(block, dict):
        raise InputError(f"{path}: demo: expected a mapping such as {{train: {{cluster_size: 2}}}}, not {block!r}")
    small = {key: value for key, value in content.items() if key not in REPLACED}
    small |= {"name": f"{content['name']}-demo", "train": demo["train"]}
    if content.get("confirm", {}) is None:
        small["confirm"] = None
    else:
        small |= {key: demo[key] for key in ("confirm", "test") if key in demo}
        asked = {**content, **block}.get("metric", DEFAULT_METRIC)
        if asked != demo.get("metric", DEFAULT_METRIC):  # of which the demo's margin is a difference
            small["confirm"] = {key: value for key, value in demo["confirm"].items() if key != "margin"}
    for key, value in block.items():
        merge = isinstance(value, dict) and isinstance(small.get(key), dict)
        small[key] = {**small[key], **value} if merge else value
    return small


def dump(study: StudyConfig) -> str:
    """The study as YAML with all defaults; load_study reads it back as an equal study."""
    content = study.model_dump(mode="json", exclude={"train": set(STUDY_FIELDS), "parameters": True})
    given = {name: each.model_dump(mode="json", exclude_unset=True) for name, each in study.parameters.items()}
    content = portable({**content, "parameters": given})
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


class _Dumper(yaml.SafeDumper):
    """Quotes strings with Unicode line breaks, which would otherwise be read back as other characters."""


def _quoted(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    breaks = any(mark in text for mark in "\x85\u2028\u2029")
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if breaks else None)


_Dumper.add_representer(str, _quoted)


def locate(path: Path) -> Path:
    """The absolute path, relative to the working directory, or to the project's folder if it exists only there."""
    here = path.expanduser().absolute()
    shipped = PROJECT / path
    return shipped if not here.exists() and shipped.exists() else here


def absolute_paths(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Training fields with all paths made absolute, and model and preprocessor too if they name a folder."""
    located = {field: _located(value) for field, value in fields.items()}
    for field in ("model", "preprocessor"):
        folder = locate(Path(located.get(field) or "."))
        if located.get(field) and folder.is_dir():
            located[field] = str(folder)
    return located


def _located(value: Any) -> Any:
    if isinstance(value, Path):
        return locate(value)
    if isinstance(value, Strict):
        return value.model_copy(update=_located({name: getattr(value, name) for name in value.model_fields_set}))
    if isinstance(value, dict):
        return {key: _located(each) for key, each in value.items()}
    return [_located(each) for each in value] if isinstance(value, list) else value


def _with_absolute_paths(study: StudyConfig) -> StudyConfig:
    def change(name: str) -> Any:
        def located(value: Any) -> Any:
            settings = absolute_paths(settings_of(name, value))
            return settings[name] if name in TrainConfig.model_fields else settings

        return located

    train = study.train
    given = absolute_paths({name: getattr(train, name) for name in train.model_fields_set})
    parameters = {name: each.changed(change(name)) for name, each in study.parameters.items()}
    update = {"train": train.model_copy(update=given), "parameters": parameters, "test": _located(study.test)}
    return study.model_copy(update=update)


def _origin(loc: Sequence[int | str], path: Path, changes: Sequence[Override]) -> str:
    """The override that set the field at a location, or else the file."""
    for word, keys, _ in reversed(changes):
        if loc and all(key == str(part) for key, part in zip(keys, loc, strict=False)):
            return f"override {word!r}"
    return str(path)

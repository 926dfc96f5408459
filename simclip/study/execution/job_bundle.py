"""The files that travel with a study's Ray job, and paths that would not be found there; needs no Ray."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
from pydantic import BaseModel

from simclip.config.uris import is_uri
from simclip.errors import InputError
from simclip.study.spec.overrides import overridden, read_overrides
from simclip.study.spec.portable_paths import PROJECT
from simclip.study.spec.study import StudyConfig
from simclip.study.store.study_file import locate, read_content

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
#: Connection timeout, in seconds; Ray's own requests wait for minutes.
ANSWER_SECONDS = 10
NO_DASHBOARD = (
    "{}: no Ray dashboard answers there ({}); give the address of the cluster's head, or of a tunnel to it, with "
    "--address"
)
#: Files in a job's working folder. The demo's pictures are drawn where the job runs; other data lie on the cluster.
SHIPPED = ("simclip/**/*", "studies/*.yaml", "datasets/*.tsv", "datasets/demo-base/*", "tune.py", "requirements.txt")
MADE_THERE = Path("datasets/demo")
#: Names of fields and parameter values that hold a hub name or a folder.
MODEL = re.compile(r"\b(model|preprocessor)(\.values?(\[\d+\])?)?$")


def dashboard(address: str | None) -> str:
    """The address of a cluster's dashboard, where something answers.

    Args:
        address: By default $RAY_API_SERVER_ADDRESS, else this machine's dashboard.

    Raises:
        InputError: It is not a URL, or nothing answers there.
    """
    address = address or os.environ.get("RAY_API_SERVER_ADDRESS") or DEFAULT_ADDRESS
    if not address.startswith(("http://", "https://")):
        raise InputError(f"--address {address}: expected the address of Ray's dashboard, e.g. {DEFAULT_ADDRESS}")
    try:
        requests.get(address, timeout=ANSWER_SECONDS)
    except (requests.RequestException, ConnectionError, ValueError) as error:
        raise InputError(NO_DASHBOARD.format(address, type(error).__name__)) from None
    return address


def results_of(results: str | None, study: StudyConfig) -> str:
    """The results folder of a study that runs as a job.

    Raises:
        InputError: It is not given, or relative: it would lie in the job's own folder, which is deleted with the job.
    """
    if results is None or not (is_uri(results) or results.startswith("/")):
        example = "/shared/results" if results is None else Path(results).absolute()
        raise InputError(
            f"--results {results or 'is missing'}: a job runs in a folder of its own: give an absolute path that every "
            f"node of the cluster sees, such as {example}, or a URI such as s3://bucket/results"
        )
    return f"{results.rstrip('/')}/{study.name}"


def bundle(file: Path, to: Path) -> str:
    """Copy the project's code and a study file into a folder; returns the path of the study file there."""
    for path in shipped():
        (to / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / path, to / path)
    located = locate(file)
    if located.is_relative_to(PROJECT) and located.relative_to(PROJECT) in shipped():
        return str(located.relative_to(PROJECT))
    shutil.copy2(located, to / located.name)
    return located.name


def shipped() -> set[Path]:
    """The files that travel with every job, relative to the project's folder."""
    files = {path for pattern in SHIPPED for path in PROJECT.glob(pattern) if path.is_file()}
    return {path.relative_to(PROJECT) for path in files if "__pycache__" not in path.parts}


def check_travels(file: Path, overrides: Sequence[str]) -> None:
    """Refuse relative paths unless they belong to the project: a job would look for them in its own folder.

    Args:
        file: A study file without other errors.
        overrides: Overrides of the study file.

    Raises:
        InputError: The first such path.
    """
    study = StudyConfig.model_validate(overridden(read_content(locate(file))[0], read_overrides(overrides)))
    files = shipped()
    there = {MADE_THERE, *files, *(folder for each in files for folder in each.parents)} - {Path(".")}
    for name, path in _paths(study, ""):
        ours = MADE_THERE in path.parents or path in there
        if not path.is_absolute() and not (ours and locate(path) == PROJECT / path):
            raise InputError(
                f"{file}: {name}: {path} is relative, and a job runs in a folder of its own: give the absolute path "
                f"that every node of the cluster sees, such as {locate(path)}"
            )


def _paths(value: Any, name: str) -> Iterator[tuple[str, Path]]:
    """Every path in a study with its dotted name, including models that are folders on this machine."""
    if isinstance(value, Path):
        yield name, value
    elif isinstance(value, str):
        if MODEL.search(name) and locate(Path(value)).is_dir():
            yield name, Path(value)
    elif isinstance(value, BaseModel):
        yield from _paths(value.model_dump(exclude_unset=True), name)
    elif isinstance(value, dict):
        for key, each in value.items():
            yield from _paths(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list | tuple):
        for number, each in enumerate(value):
            yield from _paths(each, f"{name}[{number}]")

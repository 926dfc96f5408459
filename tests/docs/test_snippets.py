"""Every YAML snippet of the pages is a study, a part of one, or a file of Ray's of the version that is required."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from simclip.study.spec.parameter import Parameter
from simclip.study.store.study_file import load_study
from tests.docs.pages import BY_NAME, PAGES, ROOT

SNIPPETS = [(page.path.stem, text) for page in PAGES for text in page.blocks("yaml")]
STUDIES = [text for page, text in SNIPPETS if page != "cluster"]
VAL = {"val_tsv": "val.tsv", "val_image_dir": "images"}
#: What a part of a study needs around it.
REST: dict[str, Any] = {"name": "part", "train": {"train_tsv": "train.tsv", "train_image_dir": "images", **VAL}}


@pytest.mark.parametrize("text", STUDIES)
def test_snippets_are_studies(text: str, tmp_path: Path) -> None:
    content = yaml.safe_load(text)
    train = REST["train"] | content.get("train", {})
    if "rare/top1" in text and "name: rare" not in text:
        train["evaluate"] = [{"kind": "classification", "name": "rare", "image_dir": "rare"}]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(REST | content | {"train": train}))
    assert load_study(file)


def test_the_example_names_most_fields_of_a_study() -> None:
    (example,) = [yaml.safe_load(text) for page, text in SNIPPETS if page == "study-files" and "linked:" in text]
    shown = {"train", "parameters", "seeds", "confirm", "test", "searcher", "scheduler", "metric", "budget"}
    assert shown <= set(example)


def test_the_forms_of_a_parameter_are_read() -> None:
    forms = re.findall(r"^\| `(\{.*\})` \|", BY_NAME["study-files"].section("What is searched"), re.MULTILINE)
    assert len(forms) >= 6
    for form in forms:
        assert Parameter.model_validate(yaml.safe_load(form))


def test_clusters_run_the_required_version_of_ray() -> None:
    aws, kubernetes = [yaml.safe_load(text) for page, text in SNIPPETS if page == "cluster"]
    (least,) = re.findall(r"^ray\[.*\]>=(\d+\.\d+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    (docker,) = BY_NAME["cluster"].blocks("dockerfile")
    for image in (aws["docker"]["image"], docker.splitlines()[0]):
        assert f"rayproject/ray:{least}." in image
    assert kubernetes["spec"]["rayClusterSpec"]["rayVersion"].startswith(f"{least}.")
    assert "tune.py run studies/coco.yaml --address auto" in kubernetes["spec"]["entrypoint"]


def test_every_inline_snippet_in_braces_is_yaml() -> None:
    for page in PAGES:
        for span in page.spans:
            if span.startswith(("{", "[")) and "..." not in span:
                assert yaml.safe_load(span) is not None, f"{page.name}: {span}"

"""OpenAI's prompts from the installed package, and sets that are scored with them."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from simclip.errors import InputError
from simclip.evaluation import prompts
from simclip.evaluation.evaluation_set import Embeddings
from simclip.evaluation.kinds.classification import ClassificationSet
from simclip.evaluation.prompts import imagenet_names, published_templates
from simclip.evaluation.ranks import ranks
from tests.evaluation.test_cifar import content, write_cifar

CODES = [f"n{number:08d}" for number in range(1000)]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of that name with files of that shape, and code that must not run."""
    data = tmp_path / "site" / "clip_benchmark" / "datasets"
    data.mkdir(parents=True)
    (data.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    templates = {
        "cifar100": ["a photo of a {c}.", "a blurry photo of the {c}."],
        "imagenet1k": ["the {c}", "{c}!", "a {c}"],
    }
    (data / "en_zeroshot_classification_templates.json").write_text(json.dumps(templates))
    (data / "en_classnames.json").write_text(json.dumps({"imagenet1k": [f"class {n}" for n in range(1000)]}))
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.delitem(sys.modules, "clip_benchmark", raising=False)  # another test has imported the real one
    importlib.invalidate_caches()
    prompts._shipped.cache_clear()
    yield data
    prompts._shipped.cache_clear()


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (2, 2)).save(path)
    return path


def test_cifar_with_its_templates_and_the_names_of_its_archive(package: Path, tmp_path: Path) -> None:
    archive, _ = write_cifar(tmp_path, *content())
    found = ClassificationSet(name="cifar", image_dir=archive, prompts="cifar100").read()
    assert found.texts[:3] == ["a photo of a class 00.", "a blurry photo of the class 00.", "a photo of a class 01."]
    assert len(found.texts) == 200 and found.targets.tolist() == [*range(20)] and len(found.images) == 20


def test_classes_without_pictures_are_candidates_too(package: Path, tmp_path: Path) -> None:
    """The archive's last labels have no picture here; their prompts stay the classes that they name."""
    archive, _ = write_cifar(tmp_path, *content())
    each = ClassificationSet(name="cifar", image_dir=archive, prompts="cifar100")
    found = each.read()
    texts = torch.eye(100).repeat_interleave(2, dim=0)
    images = torch.eye(100)[found.targets]
    images[0] = torch.eye(100)[99]
    targets = torch.from_numpy(found.targets)
    embeddings = Embeddings(images, texts, targets, each.metrics, lambda images, texts: images.sum(), 4, ranks)
    scores = each.scores(embeddings)
    assert scores["top1"] == 19 / 20


@pytest.mark.parametrize("layout", ["folders", "lines", "csv"])
def test_imagenets_layouts(layout: str, package: Path, tmp_path: Path) -> None:
    """Every third class has two pictures; names follow the codes in all three layouts."""
    folder, rows = tmp_path / "val", []
    for number, code in enumerate(sorted([*CODES, *CODES[::3]], key=lambda code: code[::-1])):
        name = f"ILSVRC2012_val_{number:08d}.JPEG"
        (folder / (code if layout == "folders" else "")).mkdir(parents=True, exist_ok=True)
        (folder / (code if layout == "folders" else "") / name).touch()
        rows.append((name, code))
    labels = None
    if layout != "folders":
        labels = tmp_path / "labels"
        answers = [
            "ImageId,PredictionString",
            *(f"{name[:-5]},{code} 1 2 3 4 {code} 5 6 7 8" for name, code in rows[::-1]),
        ]
        labels.write_text("\n".join([code for _, code in rows] if layout == "lines" else answers) + "\n")
    found = ClassificationSet(name="imagenet", image_dir=folder, labels=labels, prompts="imagenet1k").read()
    assert found.texts[:4] == ["the class 0", "class 0!", "a class 0", "the class 1"] and len(found.texts) == 3000
    truth = dict(rows)
    assert [CODES[label] for label in found.targets.tolist()] == [truth[path.name] for path in found.images]
    assert len(found.images) == len(rows) == 1334


def test_what_does_not_fit_the_prompts_is_one_line(package: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        picture(tmp_path / "few" / name / "x.png")
    flat = picture(tmp_path / "flat" / "x.png").parent
    for text, message in (
        ("7\n", "numbers, whose order is in ImageNet's meta.mat"),
        ("a\nb\n", "2 labels for 1 images"),
    ):
        (tmp_path / "labels.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            ClassificationSet(name="x", image_dir=flat, labels=tmp_path / "labels.txt").read()
    cases = {
        r"names 1,000 classes in the order .*few has 2 classes, the first 'a'": {"prompts": "imagenet1k"},
        "clip_benchmark has none of that name; did you mean cifar100": {"prompts": "cifar10"},
        "has templates of its own: leave out either": {"prompts": "cifar100", "templates": ["{}"]},
        "no such file of labels": {"labels": tmp_path / "none.txt"},
    }
    for message, fields in cases.items():
        with pytest.raises(InputError, match=rf"(?s)^evaluation set 'x': .*{message}"):
            ClassificationSet(name="x", image_dir=tmp_path / "few", **fields).read()


def test_without_the_package_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "find_spec", lambda name: None)
    prompts._shipped.cache_clear()
    with pytest.raises(
        InputError, match=r"pip install --no-deps clip_benchmark \(or give templates and class_names\)$"
    ):
        published_templates("cifar100")
    prompts._shipped.cache_clear()


def test_the_real_package_has_openais_prompts() -> None:
    """Against OpenCLIP's copy of them, where both packages are installed."""
    pytest.importorskip("clip_benchmark", reason="clip_benchmark is in requirements-evaluation.txt")
    metadata = pytest.importorskip("open_clip.zero_shot_metadata")
    prompts._shipped.cache_clear()
    assert published_templates("imagenet1k") == [each("{}") for each in metadata.OPENAI_IMAGENET_TEMPLATES]
    assert imagenet_names() == list(metadata.IMAGENET_CLASSNAMES)
    assert len(published_templates("cifar100")) == 18

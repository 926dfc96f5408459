"""Zero-shot classification: images compared with prompts that name the classes."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from simclip.data.picture import Picture
from simclip.data.table import KNOWN, Reading
from simclip.errors import InputError
from simclip.evaluation.evaluation_set import Embeddings, EvaluationSet, SetContents
from simclip.evaluation.prompts import IMAGENET, imagenet_names, published_templates

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


#: Kaggle's answers to ImageNet's validation set, LOC_val_solution.csv.
ANSWERS = "ImageId,PredictionString"
USUAL = ["a photo of a {}."]


class ClassificationSet(EvaluationSet):
    """Images of named classes, scored zero-shot by top-1 and top-5 accuracy."""

    metrics: ClassVar[tuple[str, ...]] = ("top1", "top5")

    kind: Literal["classification"] = "classification"
    image_dir: Path = Field(description="a folder of images per class, or CIFAR-100's archive or folder")
    labels: Path | None = Field(
        None, description="for images without class folders: their classes, line by line, or LOC_val_solution.csv"
    )
    prompts: str | None = Field(
        None, description="OpenAI's templates by clip_benchmark's name of the set (cifar100, imagenet1k), with the "
        "class names for imagenet1k",
    )  # fmt: skip
    templates: list[str] = Field(USUAL, min_length=1)
    class_names: dict[str, str] = Field(
        {}, description="what to call a class in prompts, by folder; else the folder's name with spaces for _"
    )

    def read(self, reading: Reading = KNOWN) -> SetContents:
        """The texts are the prompts, class by class; the targets are the class of each image, [images].

        Raises:
            InputError: A file, a folder or the package with the prompts is missing, a class has no images, a template
                does not have exactly one `{}`, or `class_names` names an unknown class.
        """
        try:
            images, labels, classes = self._classes()
            names = self._names(classes)
            prompts = [template.replace("{}", name) for name in names for template in self._templates()]
        except InputError as error:
            raise InputError(f"evaluation set {self.name!r}: {error}") from None
        return SetContents(images, prompts, labels, self.metrics)

    def scores(self, embeddings: Embeddings) -> dict[str, float]:
        """Zero-shot accuracy."""
        prompts = embeddings.texts
        by_class = prompts.view(-1, len(self._templates()), prompts.shape[1])
        return zero_shot_metrics(embeddings.images, embeddings.targets, class_embeddings(by_class), embeddings.ranks)

    def _templates(self) -> list[str]:
        if self.prompts is not None and self.templates != USUAL:
            raise InputError(f"prompts {self.prompts!r} has templates of its own: leave out either")
        templates = self.templates if self.prompts is None else published_templates(self.prompts)
        for template in templates:
            if template.count("{}") != 1:
                raise InputError(f"template {template!r} needs one {{}} where the class name goes")
        return templates

    def _names(self, classes: Sequence[str]) -> list[str]:
        """What each class is called."""
        if unknown := sorted(set(self.class_names) - {*classes}):
            raise InputError(f"class_names has {unknown[0]!r}, which is not a folder of {self.image_dir}")
        usual = [each.replace("_", " ") for each in classes]
        if self.prompts == IMAGENET:
            usual = imagenet_names()
            if len(classes) != len(usual) or not all(re.fullmatch(r"n\d{8}", each) for each in classes):
                raise InputError(
                    f"prompts {IMAGENET} names {len(usual):,} classes in the order of WordNet codes (n01440764, ...): "
                    f"{self.image_dir} has {len(classes):,} classes, the first {classes[0]!r}"
                )
        return [self.class_names.get(each, name) for each, name in zip(classes, usual, strict=True)]

    def _classes(self) -> tuple[Sequence[Picture], np.ndarray, list[str]]:
        """The images, the class of each, int64 [images], and the classes, sorted unless an archive orders them."""
        import numpy as np

        from simclip.evaluation.cifar import is_cifar, read_cifar

        if not self.image_dir.exists():
            raise InputError(f"no such folder: {self.image_dir}; it holds one folder of images per class")
        if is_cifar(self.image_dir):
            return read_cifar(self.image_dir)
        by_class = self._class_folders() if self.labels is None else self._labelled(self.labels)
        images = [path for paths in by_class.values() for path in paths]
        return images, np.repeat(np.arange(len(by_class)), [len(paths) for paths in by_class.values()]), [*by_class]

    def _class_folders(self) -> dict[str, list[Path]]:
        """The images of every class folder; folders and images are sorted by name."""
        folders = sorted(folder for folder in self.image_dir.iterdir() if folder.is_dir())
        if len(folders) < 2:
            raise InputError(f"{self.image_dir} has {len(folders)} class folders; two or more are needed (or `labels`, "
                             "for images without class folders)")  # fmt: skip
        classes = {folder.name: _images_in(folder) for folder in folders}
        for folder, images in classes.items():
            if not images:
                raise InputError(f"class folder {self.image_dir / folder} has no images; fill or remove it")
        return classes

    def _labelled(self, file: Path) -> dict[str, list[Path]]:
        """The images of every class in a flat folder, whose classes a file tells."""
        if not file.is_file():
            raise InputError(f"no such file of labels: {file}")
        lines = [
            line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
        images = _images_in(self.image_dir)
        if lines and lines[0] == ANSWERS:
            answers = {name: rest.split()[:1] for name, _, rest in (line.partition(",") for line in lines[1:])}
            labels = ["".join(answers.get(image.stem, [])) for image in images]
        else:
            labels = lines
        if len(labels) != len(images) or not all(labels):
            raise InputError(
                f"{file} has {sum(map(bool, labels)):,} labels for {len(images):,} images in {self.image_dir}"
            )
        if all(label.isdecimal() for label in labels):
            raise InputError(
                f"{file} has numbers, whose order is in ImageNet's meta.mat: give classes such as n01440764, as in "
                "imagenet_2012_validation_synset_labels.txt or LOC_val_solution.csv"
            )
        by_class: dict[str, list[Path]] = {label: [] for label in sorted(set(labels))}
        for label, image in zip(labels, images, strict=True):
            by_class[label].append(image)
        return by_class


def _images_in(folder: Path) -> list[Path]:
    from PIL import Image

    suffixes = tuple(Image.registered_extensions())
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)


def class_embeddings(prompts: Tensor) -> Tensor:
    """One embedding per class: the normalised mean of its normalised prompts, like open_clip's zero-shot classifier.

    Args:
        prompts: float32 [c, t, d], embeddings of t prompts for each of c classes.

    Returns:
        float32 [c, d], L2-normalised.
    """
    from torch.nn.functional import normalize

    return normalize(normalize(prompts, dim=-1).mean(1), dim=-1)


def zero_shot_metrics(
    images: Tensor, labels: Tensor, class_embeddings: Tensor, ranking: Callable[..., Tensor] | None = None
) -> dict[str, float]:
    """Share of images whose class has the highest score, or one of the five highest; ties go to the lower class.

    Args:
        images: float32 [n, d], L2-normalised, n at least 1.
        labels: int64 [n], the class of each image, from 0 to c - 1.
        class_embeddings: float32 [c, d], L2-normalised.
        ranking: Ranks queries among candidates; by default `ranks` with this worker alone.

    Returns:
        `top1` and `top5`, in [0, 1]; `top5` is 1 with at most five classes.
    """
    import numpy as np
    import torch

    from simclip.evaluation.items import Share
    from simclip.evaluation.ranks import ranks, within

    classes = torch.arange(len(class_embeddings), device=labels.device)
    class_ranks = (ranking or ranks)(images, class_embeddings, lambda block: labels[block, None] == classes)
    rows = np.arange(len(images))
    return {f"top{k}": Share(within(class_ranks, k, len(class_embeddings), rows)) for k in (1, 5)}

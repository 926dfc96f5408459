"""Zero-shot classification: images compared with prompts that name the classes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from simclip.data.table import KNOWN, Reading
from simclip.errors import InputError
from simclip.evaluation.evaluation_set import Embeddings, EvaluationSet, SetContents

if TYPE_CHECKING:
    from torch import Tensor


class ClassificationSet(EvaluationSet):
    """Images in one folder per class, scored zero-shot by top-1 and top-5 accuracy."""

    metrics: ClassVar[tuple[str, ...]] = ("top1", "top5")

    kind: Literal["classification"] = "classification"
    image_dir: Path
    templates: list[str] = Field(["a photo of a {}."], min_length=1)
    class_names: dict[str, str] = Field(
        {}, description="what to call a class in prompts, by folder; else the folder's name with spaces for _"
    )

    def read(self, reading: Reading = KNOWN) -> SetContents:
        """The texts are the prompts, class by class; the targets are the class of each image, [images]."""
        import numpy as np

        classes = self.class_folders()
        names = [self.class_names.get(folder.name, folder.name.replace("_", " ")) for folder in classes]
        prompts = [template.replace("{}", name) for name in names for template in self.templates]
        labels = np.array([label for label, images in enumerate(classes.values()) for _ in images])
        return SetContents([path for images in classes.values() for path in images], prompts, labels, self.metrics)

    def scores(self, embeddings: Embeddings) -> dict[str, float]:
        """Zero-shot accuracy."""
        labels, prompts = embeddings.targets, embeddings.texts
        by_class = prompts.view(int(labels.max()) + 1, -1, prompts.shape[1])
        return zero_shot_metrics(embeddings.images, labels, class_embeddings(by_class))

    def class_folders(self) -> dict[Path, list[Path]]:
        """The images of every class folder; folders and images are sorted by name.

        Raises:
            InputError: The folder or its classes are missing, a class has no images, a template does not have exactly
                one `{}`, or `class_names` names an unknown folder.
        """
        from PIL import Image

        where = f"evaluation set {self.name!r}"
        if not self.image_dir.is_dir():
            raise InputError(f"{where}: no such folder: {self.image_dir}; it holds one folder of images per class")
        for template in self.templates:
            if template.count("{}") != 1:
                raise InputError(f"{where}: template {template!r} needs one {{}} where the class name goes")
        folders = sorted(folder for folder in self.image_dir.iterdir() if folder.is_dir())
        if len(folders) < 2:
            raise InputError(f"{where}: {self.image_dir} has {len(folders)} class folders; two or more are needed")
        suffixes = tuple(Image.registered_extensions())
        classes = {folder: sorted(p for p in folder.iterdir() if p.suffix.lower() in suffixes) for folder in folders}
        for folder, images in classes.items():
            if not images:
                raise InputError(f"{where}: class folder {folder} has no images; fill or remove it")
        if unknown := set(self.class_names) - {folder.name for folder in folders}:
            raise InputError(
                f"{where}: class_names has {sorted(unknown)[0]!r}, which is not a folder of {self.image_dir}"
            )
        return classes


def class_embeddings(prompts: Tensor) -> Tensor:
    """One embedding per class: the normalised mean of its normalised prompts, like open_clip's zero-shot classifier.

    Args:
        prompts: float32 [c, t, d], embeddings of t prompts for each of c classes.

    Returns:
        float32 [c, d], L2-normalised.
    """
    from torch.nn.functional import normalize

    return normalize(normalize(prompts, dim=-1).mean(1), dim=-1)


def zero_shot_metrics(images: Tensor, labels: Tensor, class_embeddings: Tensor) -> dict[str, float]:
    """Share of images whose class has the highest score, or one of the five highest; ties go to the lower class.

    Args:
        images: float32 [n, d], L2-normalised, n at least 1.
        labels: int64 [n], the class of each image, from 0 to c - 1.
        class_embeddings: float32 [c, d], L2-normalised.

    Returns:
        `top1` and `top5`, in [0, 1]; `top5` is 1 with at most five classes.
    """
    import numpy as np
    import torch

    from simclip.evaluation.items import Share
    from simclip.evaluation.ranks import ranks, within

    classes = torch.arange(len(class_embeddings), device=labels.device)
    class_ranks = ranks(images, class_embeddings, lambda block: labels[block, None] == classes)
    rows = np.arange(len(images))
    return {f"top{k}": Share(within(class_ranks, k, len(class_embeddings), rows)) for k in (1, 5)}

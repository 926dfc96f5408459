"""The embedded demo: a data set generated on first use, and a tiny CLIP to fine-tune on it."""

from simclip.demo.dataset import BASE, FOLDER, ensure_dataset

__all__ = ["BASE", "FOLDER", "ensure_dataset"]

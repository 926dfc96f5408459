"""Everything that a run computes once per machine, computed in advance: tokens, stored images, checked files."""

from __future__ import annotations

from transformers.utils.logging import disable_progress_bar

from simclip.models.model_folder import brings_code
from simclip.train.config import TrainConfig
from simclip.train.load import load_data, load_evaluation_sets, load_model


def prepare(config: TrainConfig) -> list[str]:
    """Load model and data as the run will, which fills the cache.

    Args:
        config: The run.

    Returns:
        Notes on rows that are merged or left out, and captions that are truncated.

    Raises:
        InputError: Model or data are missing or wrong.
    """
    disable_progress_bar()  # for weights, which load within a second; downloads keep theirs
    clip = load_model(config)
    data = load_data(config, clip)
    sets = load_evaluation_sets(config, clip)
    foreign = [each for each in (config.model, config.preprocessor) if each and brings_code(each)]
    code = [f"{each} brings code of its own, which is never executed" for each in foreign]
    return [*code, *data.notes, *(note for each in sets for note in each.notes)]

"""All that a run makes once per machine, made ahead of it: tokens, stored images, checked files."""

from __future__ import annotations

from transformers.utils.logging import disable_progress_bar

from simclip.config.training import TrainConfig
from simclip.data.training_set import load_training_data
from simclip.evaluation.sets import load_sets
from simclip.models.clip import load_clip


def prepare(config: TrainConfig) -> list[str]:
    """Load model and data as the run will, and leave what is worth keeping in the cache.

    Args:
        config: The run.

    Returns:
        Lines about what was left out or cut.

    Raises:
        InputError: The model or the data are not as they should be.
    """
    disable_progress_bar()  # of a second's loading; downloads keep theirs
    clip = load_clip(config)
    data = load_training_data(config, clip.input_format)
    load_sets(config.evaluation_sets, clip.input_format, config.caption_columns, config.image_store)
    notes = []
    if data.skipped:
        notes.append(f"{data.skipped} rows left out: their images do not decode (bad_images=skip)")
    if data.tokens.shortened:
        notes.append(
            f"{data.tokens.shortened} of {len(data.tokens)} captions are longer than {clip.max_tokens} tokens and "
            "lose their end"
        )
    return notes

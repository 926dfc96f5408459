"""Load what a training run needs: model, training data and evaluation sets, as its configuration says."""

from __future__ import annotations

from simclip.data.training_set import TrainingData, load_training_data
from simclip.evaluation.sets import LoadedSet, load_sets
from simclip.models.clip import Clip, load_clip
from simclip.models.lora import add_adapters
from simclip.models.model_folder import known_loss
from simclip.train.config import TrainConfig


def load_model(config: TrainConfig) -> Clip:
    """Load the model that a run starts from (see `load_clip`)."""
    clip = load_clip(
        config.model,
        preprocessor=config.preprocessor,
        pretrain=config.pretrain,
        frozen=config.freeze,
        loss=config.loss,
        seed=config.seed,
    )
    if config.lora_rank:
        add_adapters(clip.model, config.lora_rank, config.lora_alpha, config.lora_targets, config.freeze, config.seed)
    if config.gradient_checkpointing:
        newer = getattr(clip.model, "activation_checkpointing_enable", None)  # its name from transformers 5.24 on
        (newer or clip.model.gradient_checkpointing_enable)({"use_reentrant": False})
    known_loss(clip.family, config.loss, config.hardness)  # a hub name's family was not known before
    return clip


def load_data(config: TrainConfig, clip: Clip) -> TrainingData:
    """Load the training data of a run for its model (see `load_training_data`)."""
    return load_training_data(
        config.tables,
        clip.input_format,
        batch_size=config.batch_size,
        reading=config.reading,
        bad_images=config.bad_images,
        exif=config.exif,
        image_store=config.image_store,
        store_size=config.store_size,
        crop_scale=config.crop_scale,
        flip=config.flip,
        data_workers=config.data_workers,
    )


def load_evaluation_sets(config: TrainConfig, clip: Clip) -> list[LoadedSet]:
    """Load the evaluation sets of a run for its model (see `load_sets`)."""
    return load_sets(config.evaluation_sets, clip.input_format, config.reading, config.image_store, config.exif)

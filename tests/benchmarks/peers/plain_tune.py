"""A plain Ray Tune function around the same training loop, as Ray's guide writes one."""

from __future__ import annotations

import logging
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simclip.train.config import TrainConfig


def trial_to_trial(folder: Path, config: TrainConfig, trials: int) -> float:
    """Seconds from a trial's last log line to the end of the next one's first step, median over trials in turn.

    Args:
        folder: Empty folder for logs and results.
        config: Training fields; `log_every` has to be 1.
        trials: Number of trials, which differ in their seed.

    Raises:
        RuntimeError: A trial failed.
    """
    from ray import tune

    from tests.benchmarks.overhead import LogWatch

    logs = folder / "logs"
    logs.mkdir(parents=True)
    watch = LogWatch(logs)
    train = config.model_dump(mode="json", exclude={"seed"})
    ends = tune.Tuner(
        tune.with_resources(run, {"cpu": 1}),
        param_space={"train": train, "seed": tune.grid_search(list(range(1, trials + 1))), "logs": str(logs)},
        tune_config=tune.TuneConfig(max_concurrent_trials=1),
        run_config=tune.RunConfig(storage_path=str(folder / "results"), verbose=0),
    ).fit()
    watch.stop()
    if ends.errors:
        raise RuntimeError(f"{len(ends.errors)} of {trials} trials failed") from ends.errors[0]
    order = sorted(watch.first_step, key=watch.first_step.__getitem__)
    return median(watch.first_step[after] - watch.last_line[before] for before, after in pairwise(order))


def run(config: dict[str, Any]) -> None:
    """The function that Tune calls for each trial."""
    from ray import tune

    from simclip.train.config import TrainConfig
    from simclip.train.loop import Training

    logging.basicConfig(filename=f"{config['logs']}/{config['seed']}.log", level=logging.INFO, force=True)

    def report(history: list[dict[str, Any]], checkpoint: Path | None) -> None:
        kept = tune.Checkpoint.from_directory(checkpoint) if checkpoint else None
        tune.report({"metric": history[-1]["metric"]}, checkpoint=kept)

    with TemporaryDirectory() as scratch:
        Training(TrainConfig(**config["train"], seed=config["seed"]), Path(scratch)).run(report)

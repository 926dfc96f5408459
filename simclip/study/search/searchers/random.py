"""Random search: independent draws from the parameters' distributions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simclip.errors import InputError
from simclip.runtime.randomness import generator
from simclip.study.search.searcher import BegunTrial, Searcher, TrialSource
from simclip.study.search.space import PATIENCE, is_plain, ordinary_parameters, plain_is_due, plain_settings
from simclip.study.spec.arms import Arm, Arms, Trial, needs_numbers
from simclip.study.spec.study import StudyConfig
from simclip.study.spec.typed_values import settings_of


class Drawn(NamedTuple):
    """Different arms, and the number of draws that made no valid training run."""

    arms: list[Arm]
    redrawn: int


class Random(Searcher):
    """Draws `trials` different settings, a share of them of plain fine-tuning.

    A longer search begins with the settings of a shorter one.
    """

    name = "random"

    def planned(self, study: StudyConfig) -> list[Arm]:
        """The arms drawn with the study's first seed; fewer if new ones no longer turn up."""
        return draw(study).arms

    def redrawn(self, study: StudyConfig) -> int:
        """The number of draws that made no valid training run."""
        return draw(study).redrawn

    def start(
        self, study: StudyConfig, planned: Sequence[Trial], begun: Mapping[str, BegunTrial], folder: Path | None
    ) -> TrialSource:
        """The planned trials."""
        source = super().start(study, planned, begun, folder)
        source.redrawn = self.redrawn(study)
        return source


def draw(study: StudyConfig) -> Drawn:
    """Draw the arms of a random search: plain fine-tuning and the rest from streams of their own, spread evenly."""
    arms, wanted = Arms(study, needs_numbers(study)), study.trials or 0
    plain = _different(
        study, arms, arms.add_control, "control parameter", ordinary_parameters(study), plain_settings(study)
    )
    add = arms.add_control if is_plain(study) else arms.add_arm
    others = _different(study, arms, add, "parameter", study.parameters, wanted - len(plain.arms))
    controls, total = len(plain.arms), len(plain.arms) + len(others.arms)
    mixed, placed = list[Arm](), 0
    for number in range(total):
        due = plain_is_due(placed, number - placed, controls, total)
        mixed.append(plain.arms[placed] if due else others.arms[number - placed])
        placed += due
    return Drawn(mixed, plain.redrawn + others.redrawn)


def _different(
    study: StudyConfig,
    arms: Arms,
    add: Callable[[dict[str, Any]], Arm | None],
    stream: str,
    names: Iterable[str],
    wanted: int,
) -> Drawn:
    """Draw settings until so many different arms are found, or none turns up any more.

    Raises:
        InputError: No draw makes a valid training run; says why the last does not.
    """
    found: list[Arm] = []
    redrawn = idle = 0
    refused: InputError | None = None
    for number in itertools.count():
        if len(found) == wanted or idle == PATIENCE:
            break
        settings: dict[str, Any] = {}
        for name in names:
            share = generator(study.seeds[0], f"{stream} {name}", number).random()
            settings |= settings_of(name, study.parameters[name].at(share))
        before, arm = len(arms), None
        try:
            arm = add(settings)
        except InputError as error:
            redrawn, refused = redrawn + 1, error
        if arm and len(arms) > before:
            found, idle = [*found, arm], 0
        else:
            idle += 1
    if refused and not found:
        raise refused
    return Drawn(found, redrawn)

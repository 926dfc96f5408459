"""StudyResults: a study and everything that its trial records say about it."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from simclip.study.analysis.comparison.evidence import Evidence
from simclip.study.analysis.comparison.looks import Look, Looks, Plan, follow
from simclip.study.analysis.ranking import ArmResult, Ranking, base_model_metrics
from simclip.study.analysis.spent import StudySpent, spent
from simclip.study.analysis.verdict import ConfirmedArm, Verdict, judge
from simclip.study.spec.arms import Stage, on_this_machine
from simclip.study.spec.study import FIRST_CONFIRM_SEED, StudyConfig
from simclip.study.store.folder import StudyFolder
from simclip.study.store.item_files import ItemFiles
from simclip.study.store.look_log import LookLog, read_looks
from simclip.study.store.records import Record, read_all
from simclip.train.config import control_of


@dataclass(frozen=True)
class Choice:
    """The best arm, the stage that found it, and the trial that represents it: that of its first seed."""

    arm: ArmResult | ConfirmedArm
    stage: Stage
    record: Record


class StudyResults:
    """The results of a study that runs or has ended; each property is computed when it is first read.

    Attributes:
        study: The study.
        records: The record of every trial that has begun, by the trial's name.
        items: The files with the test items of the confirm stage's trials; None covers no items.
        log: What is on record about the confirm stage's plan and its looks.
        dropped: Arms that take no more seeds although these results do not decide about them, and their numbers of
            seeds: another metric did.
    """

    def __init__(
        self,
        study: StudyConfig,
        records: Mapping[str, Record],
        items: ItemFiles | None = None,
        log: LookLog = LookLog(),  # noqa: B008  it cannot change
        dropped: Mapping[str, int] | None = None,
    ) -> None:
        self.study = study
        self.records = dict(records)
        self.items = items
        self.log = log
        self.dropped = dict(dropped or {})

    @classmethod
    def read(cls, folder: StudyFolder | Path | str) -> StudyResults:
        """Read the results in a folder, or at a URI.

        Raises:
            InputError: The folder holds no study's results, or its study file is wrong.
        """
        if not isinstance(folder, StudyFolder):
            folder = StudyFolder.at(folder)
        return cls(folder.study(), read_all(folder.trials), ItemFiles(folder.trials), read_looks(folder.looks))

    def of_stage(self, stage: Stage) -> dict[str, Record]:
        """The records of a stage, including those of trials that have not ended.

        Trials on seeds that the study no longer has are left out: `confirm` may be cut down, an Optuna search may
        change its seed.
        """
        seeds = {"search": self.study.seeds, "confirm": self.study.confirm_seeds}[stage]
        return {name: record for name, record in self.records.items() if record.stage == stage and record.seed in seeds}

    @cached_property
    def ended(self) -> dict[str, Record]:
        """The records of the trials that have ended."""
        return {name: record for name, record in self.records.items() if record.outcome}

    @cached_property
    def search(self) -> dict[str, Record]:
        """The records of the search's trials that have ended."""
        return {name: record for name, record in self.of_stage("search").items() if record.outcome}

    @cached_property
    def confirm(self) -> dict[str, Record]:
        """The records of the confirm stage's trials that have ended."""
        return {name: record for name, record in self.of_stage("confirm").items() if record.outcome}

    @cached_property
    def base_model(self) -> dict[str, float]:
        """The metrics of the model before any training, on all sets that either stage evaluates."""
        return base_model_metrics(self.search) | base_model_metrics(self.confirm)

    def with_record(self, record: Record) -> StudyResults:
        """The results with the record of one more ended trial; the ranking of the others is taken over."""
        records = {**self.records, record.trial: record}
        after = StudyResults(self.study, records, self.items, self.log, self.dropped)
        searched = record.stage == "search" and record.seed in self.study.seeds
        after.order = self.order.with_trial(record) if searched else self.order
        return after

    def with_log(self, log: LookLog) -> StudyResults:
        """The results with another log of looks; the ranking is taken over."""
        after = StudyResults(self.study, self.records, self.items, log, self.dropped)
        after.order = self.order
        return after

    @cached_property
    def order(self) -> Ranking:
        """The arms of the search in order, without what takes long to compute."""
        return Ranking(self.search.values())

    @property
    def ranking(self) -> list[ArmResult]:
        """The arms of the search, the best mean first."""
        return self.order.arms

    @cached_property
    def finished_arms(self) -> list[ArmResult]:
        """The arms of the search that finished all of their seeds, the best mean first."""
        return [arm for arm in self.ranking if arm.complete and len(arm.scores) >= len(self.study.seeds)]

    @property
    def search_best(self) -> ArmResult | None:
        """The best arm of the search among those that finished all of their seeds."""
        return next(iter(self.finished_arms), None)

    @property
    def control(self) -> ArmResult | None:
        """The best control of the search, which differences refer to."""
        return self.order.control

    @cached_property
    def own_controls(self) -> dict[str, ArmResult]:
        """The control with an arm's own ordinary settings, by the arm's name, where that is not the best control."""
        configs = {record.arm: on_this_machine(self.study, record.config) for record in self.search.values()}
        controls = {configs[arm.name].run_key: arm for arm in self.ranking if arm.control}
        if len(controls) < 2:
            return {}
        own = {arm.name: controls.get(control_of(configs[arm.name]).run_key) for arm in self.ranking if not arm.control}
        best = self.control.name if self.control else None
        return {name: control for name, control in own.items() if control and control.name != best}

    @cached_property
    def scored(self) -> list[tuple[Record, float]]:
        """The search's trials with a score: finished, or stopped by the scheduler. Failed trials are excluded."""
        kept = [record for record in self.search.values() if record.outcome in ("finished", "stopped")]
        return [(record, record.score) for record in kept if record.score is not None]

    @cached_property
    def arm_means(self) -> dict[str, float]:
        """The mean score of each arm of the search over its scored trials."""
        scores: dict[str, list[float]] = {}
        for record, score in self.scored:
            scores.setdefault(record.arm, []).append(score)
        return {arm: statistics.fmean(values) for arm, values in scores.items()}

    @cached_property
    def contenders(self) -> list[ArmResult]:
        """The arms that the confirm stage compares: the search's best control, then its best other arms.

        Only arms that finished all of their seeds are taken. Empty without a confirm stage, a control or another arm.
        """
        if self.study.confirm is None:
            return []
        controls = [arm for arm in self.finished_arms if arm.control]
        others = [arm for arm in self.finished_arms if not arm.control][: self.study.confirm.arms]
        return [controls[0], *others] if controls and others else []

    @cached_property
    def evidence(self) -> Evidence | None:
        """What the confirm stage's finished trials have scored; None before any has, or without a control."""
        return Evidence.of(self.study, self.contenders, self.confirm.values(), self.items)

    @cached_property
    def looks(self) -> Looks | None:
        """The looks at the confirm stage, those that its records make due included; None without arms to compare."""
        study, contenders, evidence = self.study, self.contenders, self.evidence
        if study.confirm is None or not contenders:
            return None
        over = {(each.arm, each.seed) for each in self.confirm.values()}

        def ended(arm: str, seeds: int) -> bool:
            most = min(seeds, self.dropped.get(arm, seeds))
            return all((arm, seed) in over for seed in study.confirm_seeds[:most])

        plan = Plan(study.confirm.looks, study.margin)
        if self.log.plan:
            plan = Plan(tuple(self.log.plan["seeds"]), self.log.plan["margin"])
        return follow(
            plan=plan,
            wanted=study.confirm.looks,
            taken=[Look.of(each) for each in self.log.looks],
            arms=[arm.name for arm in contenders[1:]],
            control=contenders[0].name,
            mode=study.mode,
            scores=lambda seeds: evidence.scores(study.confirm_seeds[:seeds]) if evidence else {},
            items=lambda seeds: evidence.item_covariance(study.confirm_seeds[:seeds]) if evidence else None,
            ended=ended,
        )

    @cached_property
    def verdict(self) -> Verdict | None:
        """What the confirm stage has found so far; None before one of its trials has finished."""
        if not self.confirm or self.evidence is None:
            return None
        return judge(self.study, self.confirm.values(), self.evidence, self.looks)

    @cached_property
    def best(self) -> Choice | None:
        """The arm with the best confirmed mean, or the search's best arm until every contender is confirmed.

        The control can be the best arm. None before an arm has finished all of its seeds.
        """
        verdict = self.verdict
        if verdict and verdict.complete and verdict.best:
            confirmed = next(arm for arm in verdict.arms if arm.name == verdict.best)
            return Choice(confirmed, "confirm", self.ended[f"{confirmed.name}-s{FIRST_CONFIRM_SEED}"])
        found = self.search_best
        return Choice(found, "search", self.ended[f"{found.name}-s{self.study.seeds[0]}"]) if found else None

    @cached_property
    def spent(self) -> StudySpent:
        """The hours that the ended trials took."""
        return spent(self.study, self.ended.values())

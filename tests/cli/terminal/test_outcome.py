import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from simclip.cli import session
from simclip.cli.exits import DONE, FAILED
from simclip.cli.terminal.outcome import closing, ranking
from simclip.study.analysis.results import StudyResults
from simclip.study.execution.events import Listener
from simclip.study.execution.run import StudyEnd
from simclip.study.store.folder import StudyFolder

FOLDER = StudyFolder(Path("results/toy"))
COMMAND = "python tune.py reproduce results/toy"


def printed(renderable, width=120):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(renderable)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def flat(renderable, width=120):
    return " ".join(" ".join(printed(renderable, width)).split())


@pytest.fixture
def played(make_study, trials, player):
    """Records of trials with the given objectives by epoch; the rare set's accuracy is half of each."""

    def play(scores, failed=(), stopped=(), **fields):
        study = make_study(seeds=[1, 2], **fields) if "seeds" not in fields else make_study(**fields)
        for name, metrics in scores.items():
            outcome = "failed" if name in failed else "stopped" if name in stopped else "finished"
            error = "OSError: no [room]/[x]" if name in failed else None
            player.run(Listener(), trials(study)[name], *metrics, outcome=outcome, error=error)
        return StudyResults(study, player.records)

    return play


def test_arms_stand_by_their_means_with_figures_as_computed_by_hand(played):
    results = played(
        {
            "control-s1": (0.40, 0.38),
            "control-s2": (0.41, 0.42),
            "k4-s1": (0.42, 0.43),
            "k4-s2": (0.41, 0.45),
            "k8-s1": (0.30, 0.10),
        },
        failed=["k8-s1"],
    )
    lines = printed(ranking(results))
    assert [line.split() for line in lines[:2]] == [
        ["val", "±", "vs", "rare", "best"],
        ["arm", "seeds", "mean_r1", "%", "sd", "control", "top1", "%", "epoch", "ended"],
    ]
    assert [line.split() for line in lines[3:8]] == [
        # means of (43, 45) and of (40, 42); deviations 2 / sqrt(2); differences 3 and 3
        ["★", "k4", "2", "44.0", "1.4", "+3.0", "22.0", "2", "2", "finished"],
        ["control", "2", "41.0", "1.4", "reference", "20.5", "1-2", "2", "finished"],
        ["✗", "k8", "0", "of", "2", "1", "1", "failed"],  # what a failed trial had reached is no score
        [],
        ["base", "model", "20.0", "10.0"],
    ]
    assert "OSError" not in " ".join(lines)
    end = flat(closing(results, FOLDER, COMMAND, retry="python tune.py run --retry-failed"))
    assert "Best arm: k4, val/mean_r1 44.0% on average over 2 seeds, +3.0 points against the control." in end
    assert "This ranking of 3 arms is optimistic" in end and "the best of many looks better than it is" in end
    assert "Best model results/toy/best (k4-s1) Reproduce it python tune.py reproduce results/toy" in end
    assert end.endswith(
        "1 trial failed: k8, seed 1: OSError: no [room]/[x] results/toy/logs/k8-s1.log "
        "To try again: python tune.py run --retry-failed"
    )


def test_an_arms_error_is_said_once_for_all_of_its_seeds(played):
    results = played({f"{arm}-s{seed}": (0.1,) for arm in ("k4", "k8") for seed in (2, 1)}, failed=["k4-s1", "k4-s2"])
    end = flat(closing(results, FOLDER, COMMAND))
    assert end.endswith("2 trials failed: k4, seeds 1, 2: OSError: no [room]/[x] results/toy/logs/k4-s1.log")


def test_a_loss_is_ranked_and_written_as_it_is(played):
    results = played(
        {"control-s1": (2.5, 2.0), "k4-p0.5-s1": (1.5, 1.75)}, seeds=[1], metric="val/loss", mode="min", sizes=[4]
    )
    lines = printed(ranking(results))
    assert [line.split() for line in lines[3:5]] == [
        ["★", "k4-p0.5", "1.500", "-0.500", "150.0", "75.0", "1"],
        ["control", "2.000", "reference", "200.0", "100.0", "2"],
    ]
    assert "lower is better" in flat(ranking(results)) and "points" not in flat(ranking(results))
    assert "Best arm: k4-p0.5, val/loss 1.500, -0.500 against the control." in flat(closing(results, FOLDER, COMMAND))


def test_when_the_control_is_best_it_says_so(played):
    results = played({"control-s1": (0.5,), "k4-p0.5-s1": (0.4,)}, seeds=[1], sizes=[4], train={"epochs": 1})
    assert "Best arm: control, val/mean_r1 50.0%. This is plain fine-tuning" in flat(closing(results, FOLDER, COMMAND))


def test_arms_that_did_not_finish_are_never_called_best(played):
    results = played(
        {"control-s1": (0.3, 0.3), "k4-s1": (0.9,), "k8-s1": (0.8,)}, seeds=[1], stopped=["k4-s1"], failed=["k8-s1"]
    )
    assert [line.split()[:2] for line in printed(ranking(results))[3:6]] == [
        ["■", "k4"],
        ["★", "control"],
        ["✗", "k8"],
    ]
    assert "■ 1 trial stopped early" in flat(ranking(results))
    others = {name: record for name, record in results.records.items() if name != "control-s1"}
    end = flat(closing(StudyResults(results.study, others), FOLDER, COMMAND))
    assert "No arm has finished all of its seeds" in end and COMMAND not in end and "Results results/toy" in end


ASHA = {"seeds": [1], "confirm": {"arms": 1, "seeds": 3}, "scheduler": "asha", "asha": {"grace_period": 1}}
UNCONFIRMED = [
    (
        {"control-s1": (0.3, 0.3), "k4-s1": (0.2,), "k8-s1": (0.2,)},
        {"stopped": ["k4-s1", "k8-s1"], **ASHA},
        "No confirm stage: no arm with clusters has finished all of its seeds (2 trials stopped by ASHA). Raise "
        "asha.grace_period or drop scheduler: asha, and run again with --fresh.",
        FAILED,
    ),
    (
        {"control-s1": (0.3, 0.3), "k4-s1": (0.2, 0.3), "k8-s1": (0.2, 0.2)},
        {"failed": ["control-s1"], **ASHA},
        "No confirm stage: no control has finished all of its seeds (1 trial failed). Mend what made trials fail, and "
        "run again with --retry-failed.",
        FAILED,
    ),
    (
        {"control-s1": (0.3, 0.3), "control-s2": (0.3, 0.3), "k4-s1": (0.2, 0.3)},
        {"confirm": {"arms": 1, "seeds": 3}, "budget": {"trials": 3}},
        "No confirm stage: no arm with clusters has finished all of its seeds. Raise the budget.",
        FAILED,
    ),
    (
        {"control-s1": (0.3, 0.3)},
        {"seeds": [1], "sizes": [1], "confirm": {"arms": 1, "seeds": 3}},
        "No confirm stage: the search had no arm with clusters. Add one, or set confirm: null.",
        DONE,
    ),
]


@pytest.mark.parametrize(("scores", "fields", "said", "code"), UNCONFIRMED)
def test_a_confirm_stage_that_cannot_happen_is_explained(played, scores, fields, said, code):
    results, out = played(scores, **fields), io.StringIO()
    assert said in flat(closing(results, FOLDER, COMMAND))
    assert session.conclude(Console(file=out), StudyEnd(results, interrupted=False), FOLDER, "", "") == code
    unfinished = {name: replace(record, outcome=None) for name, record in results.records.items()}
    assert "No confirm stage" not in flat(closing(StudyResults(results.study, unfinished), FOLDER, COMMAND))
    assert "No confirm stage" not in flat(closing(StudyResults(results.study, {}), FOLDER, COMMAND))


def test_a_weighted_objective_is_spelt_out(played):
    metric = {"val/mean_r1": 0.75, "rare/top1": 0.25}
    results = played({"control-s1": (0.5, 0.4)}, seeds=[1], sizes=[4], metric=metric)
    assert "objective %" in flat(ranking(results))
    assert "objective: weighted mean, 0.75 val/mean_r1 + 0.25 rare/top1" in flat(ranking(results))


def test_a_study_that_has_just_begun(make_study):
    assert printed(ranking(StudyResults(make_study(), {}))) == ["No trial has ended yet."]
    assert "No arm has finished" in flat(closing(StudyResults(make_study(), {}), FOLDER, COMMAND))


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_any_width_will_do(played, width):
    results = played(
        {"control-s1": (0.40, 0.38), "control-s2": (0.41, 0.42), "k4-s1": (0.42, 0.43), "k8-s2": (0.1,)},
        failed=["k8-s2"],
    )
    name = "k512-p0.00390625-nb3-warm-image-offline"
    longest = replace(results.records["k4-s1"], arm=name)
    results = StudyResults(results.study, {**results.records, longest.trial: longest})
    table = printed(ranking(results), width)
    end = printed(closing(results, StudyFolder(Path("/a/rather/long/" + "path/" * 20)), COMMAND), width)
    assert max(map(cell_len, table + end)) <= width
    text = " ".join(table)
    assert all(word in text for word in ("k4", "control", "base model", "41.0", "reference"))
    assert (name in text) == (width >= 120)

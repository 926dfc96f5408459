import csv
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from simclip.report import write_report
from simclip.report.coverage_table import coverage_table
from simclip.report.findings import Findings
from simclip.report.header import tiles
from simclip.report.learning_curves import learning_curves
from simclip.study.analysis.comparison.dunnett import critical
from simclip.study.search.plan import planned_trials
from simclip.study.store.records import read_records
from tests.report.conftest import rising

TEST = {"kind": "retrieval", "name": "test", "tsv": "/data/test.tsv", "image_dir": "/data/images"}


def rows(folder, name):
    with (folder.path / "report" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def by(name, lines):
    return {line[name]: line for line in lines}


def test_confirmed_arms_are_what_scipy_makes_of_the_records(make_up):
    made = make_up(test=[TEST]).search().confirm()
    write_report(made.folder)
    lines = by("arm", rows(made.folder, "confirmed"))
    scores = {}
    for record in read_records(made.folder.trials).values():
        if record.stage == "confirm":
            scores.setdefault(record.arm, {})[record.seed] = record.best["test/mean_r1"]
    assert len(scores) == 4 and set(lines) == {*scores, "base model"}
    table = np.array([[*values.values()] for values in scores.values()])
    residuals = table - table.mean(0) - table.mean(1, keepdims=True) + table.mean()
    error = math.sqrt(2 * (residuals**2).sum() / 12 / 5)  # of 4 arms on 5 seeds
    for arm, values in scores.items():
        line, own = lines[arm], list(values.values())
        assert float(line["test/mean_r1 %"]) == pytest.approx(statistics.fmean(own))
        assert float(line["± sd"]) == pytest.approx(statistics.stdev(own))
        low, high = stats.t.interval(0.95, 4, statistics.fmean(own), stats.sem(own))
        assert [float(end) for end in line["95% interval of mean"].split(" to ")] == pytest.approx([low, high])
        if arm != "control":
            low, high = map(float, line["95% interval on these test items"].split(" to "))
            value = statistics.fmean(score - scores["control"][seed] for seed, score in values.items())
            assert float(line["vs control"]) == pytest.approx(value) == pytest.approx((low + high) / 2)
            df = next(each.difference.df for each in made.results.verdict.arms if each.name == arm)
            used = (high - low) / 2 / critical(0.05, 3, df)
            assert error * critical(0.05, 3, 12) <= (high - low) / 2 * (1 + 1e-9)
            ends = np.full(3, value / used)
            inside = stats.multivariate_t.cdf(ends, shape=(np.eye(3) + 1) / 2, df=df, lower_limit=-ends, random_state=1)
            assert float(line["p"]) == pytest.approx(1 - inside, abs=5e-4)
    assert float(lines["base model"]["test/mean_r1 %"]) == pytest.approx(0.1)


def test_every_metric_of_every_set_stands_there_for_every_arm_and_the_untouched_model(make_up):
    made = make_up(test=[TEST]).search().confirm()
    write_report(made.folder)
    records = read_records(made.folder.trials)
    for name, stage in (("metrics", "search"), ("confirmed-metrics", "confirm")):
        of_stage = [record for record in records.values() if record.stage == stage]
        metrics = {key for key in of_stage[0].history[0] if "/" in key}
        assert ("test/loss" in metrics) == (stage == "confirm")
        lines = by("metric", rows(made.folder, name))
        assert set(lines) == metrics
        for metric, line in lines.items():
            assert float(line["base model"]) == pytest.approx(of_stage[0].history[0][metric])
            for arm in {record.arm for record in of_stage}:
                values = [record.best[metric] for record in of_stage if record.arm == arm]
                assert float(line[arm]) == pytest.approx(statistics.fmean(values))


def test_coverage_stands_for_every_arm_that_was_counted(make_up):
    made = make_up().search().confirm()
    older = next(record for record in read_records(made.folder.trials).values() if record.arm == "k4-p0.5")
    bare = [{name: value for name, value in row.items() if not name.startswith("train/")} for row in older.history]
    made.change(older.trial, history=bare)  # of a version that did not count
    table = coverage_table(Findings(made.folder))
    found = {row.cells[0].text: [cell.value for cell in row.cells[1:]] for row in table.rows}
    for arm, seen in {"control": 1.0, "k4-p0.5": 0.75, "k8-p1": 0.5}.items():
        assert found[arm] == pytest.approx([seen, 8, 900 * seen])
    (curves, *_) = learning_curves(Findings(made.folder))
    assert "share of the rows that an epoch saw" in curves.caption
    for name in read_records(made.folder.trials):
        made.change(name, history=bare)
    assert coverage_table(Findings(made.folder)) is None
    (curves, *_) = learning_curves(Findings(made.folder))
    assert "share of the rows" not in curves.caption


def test_the_base_model_has_its_tile_for_a_weighted_metric_too(make_up):
    made = make_up(metric={"val/mean_r1": 0.75, "flags/top1": 0.25}, confirm={"arms": 1, "seeds": 3}).search()
    for _ in ("search", "confirm"):
        tile = [*tiles(Findings(made.folder))][-1]
        # 0.1 and 1.3 * 0.1 + 0.4 before any training
        assert tile == {"name": "base model", "value": "20.8%", "more": "objective"}
        made.confirm()


def test_with_random_weights_the_base_model_is_a_mean(make_up):
    made = make_up(train={"pretrain": True}).search()
    write_report(made.folder)
    assert "base model: random weights, mean over seeds" in (made.folder.path / "report.html").read_text()


def test_what_is_forgotten_is_marked(make_up):
    made = make_up(gain=lambda config: -0.2 * (not config.is_control)).search()
    page = write_report(made.folder).read_text()
    assert page.count(">▼ ") > 0
    table = page[page.index('id="table-metrics"') :]
    line = table[table.index("flags/top1") :].split("</tr>")[0]
    # 53% before; the control has more, the arms with clusters less
    assert line.count('class="bad">▼') == 4


def test_costs_are_told_apart_by_how_trials_ended(make_up):
    made = make_up(confirm=None)
    trials = planned_trials(made.study)
    for trial in trials[:4]:
        made.play(trial)
    made.play(trials[4], epochs=1, outcome="failed", error="OSError: gone")
    made.play(trials[5], epochs=1, outcome=None)
    made.close()
    write_report(made.folder)
    found = {(line["stage"], line["ended"]): line for line in rows(made.folder, "cost")}
    assert set(found) == {("search", "finished"), ("search", "failed"), ("search", "all"), ("all", "all")}
    assert float(found["search", "finished"]["trial h"]) == pytest.approx(4 * 70 / 3600)
    assert float(found["search", "failed"]["trial h"]) == pytest.approx(20 / 3600)
    # each begins when half of the one before is over: 4 x 35, and the failed one within the last
    assert float(found["all", "all"]["wall h"]) == pytest.approx((3 * 35 + 70) / 3600)
    trials = by("trial", rows(made.folder, "trials"))
    assert [line["ended"] for line in trials.values()].count("unfinished") == 1 and len(trials) == 6


def test_more_arms_than_metrics_are_rows(make_up):
    parameters = {"cluster_size": {"values": [2, 4, 8, 16]}, "proportion": {"values": [0.25, 0.5, 0.75, 1.0]}}
    made = make_up(parameters=parameters, confirm=None, seeds=[1]).search()
    write_report(made.folder)
    lines = by("arm", rows(made.folder, "metrics"))
    records = {record.arm: record for record in read_records(made.folder.trials).values()}
    assert set(lines) == {"base model", *records} and len(lines) == 18
    for arm, record in records.items():
        assert float(lines[arm]["val/t2i_r5 %"]) == record.best["val/t2i_r5"]


def test_arms_are_compared_with_the_best_control_and_with_their_own(make_up):
    parameters = {"cluster_size": {"values": [4, 8]}, "learning_rate": {"values": [1e-5, 2e-5, 4e-5]}}
    gain = lambda config: rising(config) + 1000 * config.learning_rate  # noqa: E731
    made = make_up(parameters=parameters, train={"proportion": 1.0}, gain=gain, confirm=None).search()
    page = write_report(made.folder).read_text()
    lines = by("arm", rows(made.folder, "arms"))
    scores = {}
    for record in read_records(made.folder.trials).values():
        scores.setdefault(record.arm, {})[record.seed] = record.score
    means = {arm: statistics.fmean(values.values()) for arm, values in scores.items()}
    best = max((arm for arm in means if arm.startswith("control")), key=means.get)
    assert best == "control-lr4e-05"
    for arm in (name for name in scores if not name.startswith("control")):
        own = f"control-{arm.split('-', 1)[1]}"
        assert float(lines[arm]["vs best control"]) == pytest.approx(means[arm] - means[best])
        if own == best:
            assert lines[arm]["vs own control"] == ""
        else:
            assert float(lines[arm]["vs own control"]) == pytest.approx(means[arm] - means[own])
    assert "vs best control: mean difference on the seeds that both have to control-lr4e-05" in page

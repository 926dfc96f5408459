"""The head of a page: facts, verdict, main numbers and notes."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

from simclip.cli.wording.confirmed_arm import METHOD
from simclip.cli.wording.formatting import counted
from simclip.cli.wording.verdict import unconfirmed, what_arms_have
from simclip.config.schema import metric_weights
from simclip.evaluation.objective import objective
from simclip.report.findings import Findings
from simclip.study.analysis.boundary import boundary_warnings
from simclip.study.analysis.ranking import base_model_metrics


def facts(findings: Findings) -> Iterator[str]:
    """Short facts about the study."""
    study, records = findings.study, findings.records.values()
    yield f"decided by {findings.metric.name}"
    if study.test:
        yield f"confirmed on {findings.confirmed.name}"
    yield f"{study.searcher} search" + (" with ASHA" if study.scheduler == "asha" else "")
    if arms := len({record.arm for record in records}):
        yield counted(arms, "arm")
    for outcome in ("finished", "stopped", "failed"):
        if number := sum(record.outcome == outcome for record in records):
            yield f"{counted(number, 'trial')} {outcome}"
    if records and (latest := max(record.started + record.seconds for record in records)) > 0:
        yield f"as of {datetime.fromtimestamp(latest, timezone.utc):%Y-%m-%d %H:%M} UTC"


def mark(findings: Findings) -> dict[str, str]:
    """The verdict in a few words, and its CSS class."""
    verdict = findings.verdict
    if findings.study.contradiction:
        return {"text": "wrong mode", "style": "worse"}
    if verdict is None:
        waiting = "not confirmed" if unconfirmed(findings) else "not confirmed yet"
        return {"text": "search only" if findings.study.confirm is None else waiting, "style": ""}
    words = {arm.word for arm in verdict.arms if not arm.control}
    if not verdict.complete:
        return {"text": "confirming", "style": ""}
    if "better" in words:
        return {"text": f"better than {METHOD}", "style": "better"}
    if words == {"worse"}:
        return {"text": f"worse than {METHOD}", "style": "worse"}
    if words == {None}:
        return {"text": "no verdict", "style": ""}
    if words == {"no different"}:
        return {"text": f"no different from {METHOD}", "style": ""}
    return {"text": f"not better than {METHOD}" if words <= {"worse", "no different"} else "undecided", "style": ""}


def tiles(findings: Findings) -> Iterator[dict[str, str]]:
    """The main numbers: the best arm, plain fine-tuning and the base model."""
    verdict, metric = findings.verdict, findings.confirmed if findings.verdict else findings.metric
    if verdict:
        shown = [(arm.name, arm.control, arm.spread.mean, arm.spread.std, len(arm.scores)) for arm in verdict.arms]
    else:
        shown = [(arm.name, arm.control, arm.mean, arm.std, len(arm.scores)) for arm in findings.finished_arms]
    lead = next((each for each in shown if not each[1] and each[2] is not None), None)
    control = next((each for each in shown if each[1] and each[2] is not None), None)
    for each, title in ((lead, f"best with {what_arms_have(findings)}"), (control, "plain fine-tuning")):
        if each:
            name, _, mean, std, seeds = each
            spread = f" ± {metric.bare(std)}" if std is not None else ""
            yield {"name": title, "value": metric.formatted(mean), "more": f"{name}{spread}, {counted(seeds, 'seed')}"}
    start = base_model_metrics(findings.confirm if verdict else findings.search)
    weighted = findings.study.confirmed_metric if verdict else findings.study.metric
    if metric_weights(weighted).keys() <= start.keys():
        value = metric.formatted(objective(weighted, start))
        yield {"name": "base model", "value": value, "more": metric.name}


def notes(findings: Findings) -> Iterator[dict[str, Any]]:
    """Notes: unfinished and failed trials, and best values at the edge of the search space."""
    records = findings.records.values()
    if not records:
        yield {"text": "No trial has begun yet.", "warn": False}
    if unfinished := sum(record.outcome is None for record in records):
        report = shlex.join(["python", "tune.py", "report", findings.folder.place()])
        text = (
            f"{counted(unfinished, 'trial')} unfinished: the study is running or was interrupted. The curves show the "
            f"epochs so far; update this page with {report}"
        )
        yield {"text": text, "warn": False}
    if failed := sum(record.outcome == "failed" for record in records):
        yield {
            "text": f"{counted(failed, 'trial')} failed and count in no result. Their errors are listed below; "
            "--retry-failed runs them again.",
            "warn": True,
        }
    if redrawn := findings.recorded.get("search", {}).get("redrawn"):
        text = f"{counted(redrawn, 'setting')} made no valid training run and others were drawn instead."
        yield {"text": text, "warn": False}
    for warning in boundary_warnings(findings):
        yield {"text": warning.text, "warn": True}
